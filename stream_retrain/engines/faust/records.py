"""What a pipeline puts out, as Faust's typed records, for agents that subscribe to it.

Fields that a later release adds are passed over by these classes, so an agent made with them goes on.
"""

from __future__ import annotations

from typing import Any, Self

import faust

__all__ = ["DeadLetter", "Decision", "Prediction"]


class Prediction(faust.Record, serializer="json"):
    """What the model said of one question; `offset` is the question's in the source partition, `generation` the model's number."""

    id: str
    offset: int
    prediction: Any = None
    """A class, a number, or None from a model that has seen nothing."""
    probability: Any = None
    """Of the positive class, or of the predicted one; None for numbers, or where the model gives none."""
    generation: int = 0


class Decision(faust.Record, serializer="json"):
    """What was decided about a model: a CloudEvent (1.0), whose `data` has the cause with its counts, offsets and digests."""

    specversion: str
    id: str
    source: str
    type: str
    """`io.streamretrain.<kind>.v1`."""
    subject: str
    """`<topic>/<partition>` of the source."""
    time: str
    datacontenttype: str
    data: Any = None

    @property
    def kind(self) -> str:
        """The part of `type` that says what it is: `drift`, `promoted` and the like."""
        return self.type.removeprefix("io.streamretrain.").rpartition(".v")[0]


class DeadLetter(faust.Record, serializer="raw"):
    """A record of the source that is no event, as it came, with its place and the reason. `of` makes it from a Faust event."""

    reason: str
    detail: str
    field: str
    pipeline: str
    topic: str
    partition: int
    offset: int
    bytes: int
    """How large the record was."""
    value: Any = None
    """The record's bytes; None where it was too large, or had no value."""

    @classmethod
    def of(cls, event: Any) -> Self:
        """The dead letter of an event that an agent has from the topic `Attached.dead_letters`: the headers say what it is."""
        told: dict[str, Any] = {name.removeprefix("sr_"): (value or b"").decode() for name, value in dict(event.message.headers).items()}
        numbers = {name: int(told[name]) for name in ("partition", "offset", "bytes")}
        return cls(**told | numbers, value=event.message.value)
