"""How the topic of requests is read, as facts of the thread that does, beside the worker's loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, TypeAlias

from stream_retrain.facts.records import RejectReason

__all__ = ["DoorFact", "RequestTopicChanged", "RequestTopicState", "RequestsRead"]

RequestTopicState: TypeAlias = Literal["starting", "running", "degraded", "stopped"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RequestsRead:
    """How reading gets on, about once a second; the counts are those since the last one."""

    taken: int
    """Requests put into the store."""
    refused: Mapping[RejectReason, int]
    """Records sent to the dead-letter topic, by reason."""
    lag_records: int | None
    """Records that are not read yet; None where another worker reads."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RequestTopicChanged:
    """The thread is in another state, and why. The worker goes on whatever it is."""

    state: RequestTopicState
    detail: str = ""


DoorFact: TypeAlias = RequestsRead | RequestTopicChanged
