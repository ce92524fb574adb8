"""What can be seen of a shard from outside."""

from __future__ import annotations

import dataclasses
from typing import Any

from stream_retrain.core.signals import Reading

__all__ = ["Observation"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What can be seen of a shard at a moment, for metrics, status and reports."""

    generation: int
    events_seen: int
    questions_answered: int
    pending: int
    newest_time_s: float
    running: dict[str, float]
    rolling: dict[str, float]
    readings: dict[tuple[str, str], Reading]
    """By signal and detector."""
    dueling: bool = False
    training: int | None = None
    """The training it waits for."""
    members: Any = None
    """How the members of a model that adapts by itself stand (`stream_retrain.models.adaptive.Standing`)."""
