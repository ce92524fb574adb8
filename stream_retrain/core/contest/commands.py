"""What a shard wants done outside: commands, as values. The driver carries them out.

- `Train`: have a challenger trained off the hot path. One training at a time: a later `Train` of a shard takes the place of the one
  before. A shard that is restored while it waits for a training says so again (`Shard.outstanding`).
- `Stop`: a limit was reached whose reaction is to end the worker.
- `Cancel`: nobody waits for the training any more.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from stream_retrain.core.contest.training import Training

__all__ = ["Cancel", "Command", "Stop", "Train"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Train:
    """Train the challenger of `training`; what comes of it is to come back as an input (`Trained` or `NotTrained`)."""

    training: Training
    base: Any
    """The copy of the champion to start from; None: from a fresh model."""
    generation: int
    """The champion's, when it was asked for."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The training of that number is not wanted any more."""

    training: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End the worker, once everything so far is committed and saved."""

    reason: str


Command: TypeAlias = Train | Cancel | Stop
