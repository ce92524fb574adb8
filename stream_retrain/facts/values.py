"""The values that everything else is made of: shards, events, predictions, learned rows.

Facts about every event (`Predicted`, `Learned`) stand in plain lists, one for each batch, because the hot path makes one of each an
event. Time is event time, in seconds since the epoch (UTC); offsets are Kafka offsets of the shard's one partition.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

__all__ = [
    "ID_CHARS_MAX",
    "LABEL_CHARS_MAX",
    "Event",
    "EventId",
    "Feature",
    "Features",
    "Headers",
    "Label",
    "Learned",
    "Predicted",
    "Record",
    "ShardId",
]

Feature: TypeAlias = float | int | str | bool
Features: TypeAlias = dict[str, Feature | None]
"""None only where the schema keeps what is null."""
Label: TypeAlias = bool | int | str | float
EventId: TypeAlias = str | int | float | bool
"""As it came; an answer finds its question by the text of it (`lane.event_id.text_of_id`)."""
Headers: TypeAlias = "Sequence[tuple[str, bytes | None]] | None"
ID_CHARS_MAX: Final = 1_000
LABEL_CHARS_MAX: Final = 1_000
"""An id or a label that is longer is refused: both are echoed in outputs, whose size is bounded."""


class ShardId(NamedTuple):
    """Names a shard: the pipeline, and the partition it is learned from."""

    pipeline: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.topic}/{self.partition}"


class Record(NamedTuple):
    """One record of the source as it came: bytes and origin."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = None


class Event(NamedTuple):
    """One record, decoded.

    A question has `x` and no `y`; an answer has `y` and no `x`; an event with both is a question that is answered at once.
    """

    offset: int
    id: EventId
    time_s: float
    x: Features | None
    y: Label | None


class Predicted(msgspec.Struct, frozen=True, gc=False):
    """A question was predicted by the model of `generation`, which had learned nothing from this event.

    Its fields in this order are the prediction on the wire, so that it is encoded as it is.
    """

    id: EventId
    offset: int
    time_s: float
    prediction: Label | None
    """None: the model could not predict yet."""
    probability: float | None
    """Of the positive class (binary) or of the predicted one (multiclass); None for regression or where the model gives none."""
    generation: int
    model: str
    """The version of the model: `Pipeline.model_digest`, a hyphen, and the generation."""
    probabilities: dict[str, float] | msgspec.UnsetType | None = msgspec.UNSET
    """By class, where the pipeline asks for them; None where the model gives none yet."""


class Learned(NamedTuple):
    """A labelled event the model learned, with the prediction made for it before: a row of the window.

    `offset` is that of the record which brought the label; `x` is what the prediction was made from.
    """

    offset: int
    time_s: float
    x: Features
    y: Label
    y_pred: Label | None
