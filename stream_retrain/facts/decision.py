"""A decision as others see it: one record of the decisions topic, read. It is the one argument of a callback."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Decision"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was detected or decided at one event; docs/messages.md has the fields of each kind.

    A decision may be handed over more than once, and its `id` is then the same: use it as an idempotency key.
    """

    id: str
    """Source topic, partition, offset, number and kind: the same decision of a pipeline always has the same."""
    kind: str
    """What it is: "drift.detected", "duel.ended" and so on."""
    type: str
    """The same as a CloudEvent's type."""
    time: str
    """Event time of the event at which it was decided (RFC 3339)."""
    pipeline: str
    topic: str
    """The source topic."""
    partition: int
    offset: int
    """Of the event in the source."""
    data: Mapping[str, Any]
    """The fields of its kind."""
    text: str
    """What happened, in words."""
    event: Mapping[str, Any] = dataclasses.field(repr=False)
    """The whole CloudEvent as it stands in the topic, parsed."""
