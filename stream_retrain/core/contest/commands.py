"""What a shard wants done outside: commands, as values. The driver carries them out.

- `Train`: have a challenger trained off the hot path. One training at a time: a later `Train` of a shard takes the place of the one
  before. A shard that is restored while it waits for a training says so again (`Shard.outstanding`).
- `Stop`: a limit was reached whose reaction is to end the worker.
- `Cancel`: nobody waits for the training any more.
- `Keep`: keep a copy of the model of a generation, as it began to serve or as it was when it stopped. A checkpoint that has learned more
  than that is written only after the copy is kept, so that a crash loses none: a replay comes to the same `Keep` again. Made only where
  somebody has said that versions are kept (`core.contest.keeping`).
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from stream_retrain.core.contest.training import Training

__all__ = ["Cancel", "Command", "Keep", "Stop", "Train"]


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keep:
    """Keep a copy of the model of a generation; a later one of the same generation takes its place."""

    generation: int
    copy: Any = dataclasses.field(repr=False)
    """What whoever keeps versions has made of the model: it is as it was then, whatever the model learns since."""


Command: TypeAlias = Train | Cancel | Stop | Keep
