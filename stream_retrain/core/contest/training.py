"""Trainings: what a shard waits for, and the one function that teaches a challenger, wherever it runs, so that the same rows in the same
order make the same model.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_retrain.facts.values import Learned

__all__ = ["Training", "copy_of", "train"]

PROGRESS_ROWS: Final = 200


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training a shard waits for: what the trainer is asked, and what the shard must know when it comes back.

    It is part of the shard's state: after a restart the same training is asked for again.
    """

    number: int
    """Of the shard, from 0; each once."""
    rule: int
    """Which rule of the pipeline asked."""
    challenger: int
    """Which challenger of that rule's reaction."""
    through_offset: int
    """The last offset learned when it was asked for; events beyond it are caught up on before the challenger joins."""
    time_s: float
    """Event time then; `Window.seconds` counts back from it."""
    events_seen: int
    """Labelled events the shard had learned then."""
    cause: str


def copy_of(model: Any) -> Any:
    """The same model again, with all it has learned; several times quicker than deepcopy."""
    return pickle.loads(pickle.dumps(model, protocol=5))


def train(model: Any, rows: Iterable[Learned], passes: int = 1, progress: Callable[[int], None] = lambda _: None) -> int:
    """Teach `model` the rows, in order, `passes` times; how many lessons it had. `progress` is told every 200 lessons and may raise.

    A row the model raises on is left out, as the shard would have (reason "model").
    """
    lessons = 0
    repeated = [*rows] if passes > 1 else rows
    for _ in range(passes):
        for row in repeated:
            try:
                model.learn_one(row.x, row.y)
            except Exception:  # noqa: BLE001, S112 - the model is foreign code; the live path refuses such a row too
                continue
            lessons += 1
            if lessons % PROGRESS_ROWS == 0:
                progress(lessons)
    return lessons
