"""The stream of the benchmark of flatness: it has what makes a model grow.

Its concept changes every so many events (0: never); every third one is an old one. A number among the four features wanders, and a category
takes a value that never was before in every 500th event.
"""

from __future__ import annotations

import random
import statistics
from typing import Any, Final

import msgspec

from stream_retrain.core.schema import Task
from stream_retrain.lane.batch import Record, Records

__all__ = ["BATCH", "EVENTS_PER_S", "KINDS", "SCHEMA", "Stream"]

SCHEMA: Final = {"a": float, "b": float, "level": float, "kind": str}
KINDS: Final = tuple("pqrstuvw")
BATCH: Final = 500
"""Records of one poll."""
EVENTS_PER_S: Final = 1_000
NOISE: Final = 0.1
NEW_KIND: Final = 0.002
"""The part of events with a kind that never was before."""

_encode: Final = msgspec.json.Encoder().encode


class Stream:
    """Endless batches of records of a task; equal for an equal seed, and as it was after a pickle."""

    def __init__(self, task: Task, turn_events: int, seed: int = 1) -> None:
        self._task = task
        self._turn_events = turn_events
        self._seed = seed
        self._chance = random.Random(f"{task} {seed}")
        self._next = 0
        self._level = 0.0
        self._turn = -1
        self._weights: list[float] = []
        self._of_kind: dict[str, float] = {}
        self._median = 0.0

    def take(self) -> tuple[Records, list[Any]]:
        """The next records, and the labels in them."""
        numbers = range(self._next, self._next + BATCH)
        self._next += BATCH
        rows = [self._row(number) for number in numbers]
        records = [Record(number, b"k", _encode(row), number * 1_000 // EVENTS_PER_S) for number, row in zip(numbers, rows, strict=True)]
        return Records.of(records), [row["y"] for row in rows]

    def _row(self, number: int) -> dict[str, Any]:
        chance = self._chance
        turn = number // self._turn_events if self._turn_events else 0
        if turn != self._turn:
            self._begin(turn)
        self._level += 0.01 * (chance.random() - 0.5)
        a, b, kind = self._drawn(chance)
        if chance.random() < NEW_KIND:
            kind = f"k{number}"
        score = self._score(a, b, kind) - self._median
        if self._task == "regression":
            y: Any = round(score + 0.2 * chance.gauss(0.0, 1.0), 3)
        else:
            y = (score > 0.0) != (chance.random() < NOISE)
        return {"a": a, "b": b, "level": self._level + a, "kind": kind, "y": y}

    @staticmethod
    def _drawn(chance: random.Random) -> tuple[float, float, str]:
        return chance.random(), 10.0 * chance.random(), chance.choice(KINDS)

    def _score(self, a: float, b: float, kind: str) -> float:
        of_a, of_b, of_both, bend = self._weights
        both = of_both if (a > 0.5) is (b > 5.0) else -of_both
        return of_a * a + of_b * abs(b / 10.0 - bend) + self._of_kind.get(kind, 0.0) + both

    def _begin(self, turn: int) -> None:
        """The concept of a turn: its own, or in every third one an old one."""
        self._turn = turn
        chance = random.Random(f"{self._seed} {turn // 2 if turn % 3 == 2 else turn}")
        self._weights = [chance.choice((-1, 1)) * chance.uniform(*size) for size in ((1.0, 2.0), (1.0, 2.0), (0.2, 0.4))]
        self._weights.append(chance.random())
        self._of_kind = {kind: chance.gauss(0.0, 0.3) for kind in KINDS}
        self._median = statistics.median(self._score(*self._drawn(chance)) for _ in range(1_001))
