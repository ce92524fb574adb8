"""What a challenger learns before it races: where it starts, from which labelled events, how often.

A `Challenger` is a declaration. One whose window is among the last `LOOK_BACK_EVENTS` events, which the shard keeps, is trained by the
shard on the spot; a longer one is a *training*: a job for the trainer, off the hot path (law 6).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeAlias

from stream_retrain.core.contest.change_point import LOOK_BACK_EVENTS
from stream_retrain.core.contest.training import copy_of
from stream_retrain.models import AdditiveClassifier, AdditiveRegressor

__all__ = ["ADDITIVE", "FRESH", "RIVAL", "SINCE_CHANGE", "Challenger", "Start", "TopicRange", "Window"]

Start: TypeAlias = Literal["fresh", "champion", "given"]
ADDITIVE_MODEL: Final = "additive"
PAIRS: Final = 40
"""Of features, of which the additive challenger learns something; at half the rate of one without, because more weights share an error."""
RIVAL: Final = "rival"
"""The name of the contestant that stays for a rematch, also in the duel that takes it over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TopicRange:
    """A stretch of a topic to learn from in place of the window: all partitions, in order of offset, records of the pipeline's schema.

    The bounds are event times of the records (Kafka's timestamps) in seconds since the epoch; None: from the oldest retained, or to
    the newest there is when the training begins.
    """

    topic: str
    from_time_s: float | None = None
    to_time_s: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The labelled events to learn from, oldest first; exactly one of these says which.

    rows
        The last so many.
    seconds
        Those of the last so many seconds of event time.
    since_change
        Those since the most likely moment the errors rose, of the last `LOOK_BACK_EVENTS`.
    topic
        A range of a topic: the whole data set is learned anew.
    """

    rows: int | None = None
    seconds: float | None = None
    since_change: bool = False
    topic: TopicRange | None = None

    @property
    def kept_by_shard(self) -> bool:
        """Whether the shard itself keeps these events."""
        return self.since_change or (self.rows is not None and self.rows <= LOOK_BACK_EVENTS)

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        given = [self.rows is not None, self.seconds is not None, self.since_change, self.topic is not None]
        if sum(given) != 1:
            yield "a window is given by exactly one of rows, seconds, since_change and topic"
        if self.rows is not None and not (isinstance(self.rows, int) and self.rows >= 1):
            yield f"rows is {self.rows!r}; use a whole number of at least 1"
        if self.seconds is not None and not self.seconds > 0:
            yield f"seconds is {self.seconds!r}; use seconds of event time above 0"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Challenger:
    """A model that may take the champion's place.

    start
        "fresh": from nothing. "champion": from a copy of the champion as it is at the trigger (warm start). "given": from a copy of
        `model` with all it has learned, such as a stored version that the pipeline's module loads.
    window
        What it learns before it races; None: nothing, it learns from the live events like everyone.
    passes
        How often it goes over the window.
    model
        A River model of another family, or "additive": the additive one of `stream_retrain.models` for the task; None: the pipeline's.
    """

    name: str
    start: Start = "fresh"
    window: Window | None = None
    passes: int = 1
    model: Any = None

    @property
    def by_trainer(self) -> bool:
        """Whether the trainer trains it, and not the shard on the spot."""
        return self.window is not None and not (self.window.kept_by_shard and self.passes == 1)

    @property
    def from_nothing(self) -> bool:
        """Whether it has learned nothing when it begins to race."""
        return self.start == "fresh" and self.window is None

    def begin(self, own: Any, task: str) -> Any:
        """A model as this challenger begins, where it does not begin as a copy of the champion; `own` is the pipeline's."""
        if self.start == "given":
            return copy_of(self.model)
        if isinstance(self.model, str):
            return AdditiveRegressor(rate=0.05, pairs=PAIRS) if task == "regression" else AdditiveClassifier(rate=0.15, pairs=PAIRS)
        return (own if self.model is None else self.model).clone()

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        where = f"challenger {self.name!r}"
        if not isinstance(self.name, str) or self.name in ("", "champion", RIVAL):
            yield f"{where}: give it a name of its own"
        if self.start not in ("fresh", "champion", "given"):
            yield f"{where}: start is {self.start!r}; use 'fresh', 'champion' or 'given'"
        if self.window is not None:
            yield from (f"{where}: {fault}" for fault in self.window.faults())
        elif self.passes != 1:
            yield f"{where}: passes needs a window to go over"
        if not isinstance(self.passes, int) or self.passes < 1:
            yield f"{where}: passes is {self.passes!r}; use a whole number of at least 1"
        if self.model is not None and self.start == "champion":
            yield f"{where}: a copy of the champion cannot be of another family; give model or start='champion', not both"
        if self.start == "given" and (self.model is None or isinstance(self.model, str)):
            yield f"{where}: start='given' starts from what `model` has learned; give a trained River model"
        if isinstance(self.model, str) and self.model != ADDITIVE_MODEL:
            yield f"{where}: model is {self.model!r}; use a River model or {ADDITIVE_MODEL!r}"


FRESH: Final = Challenger(name="fresh")
SINCE_CHANGE: Final = Challenger(name="since_change", window=Window(since_change=True))
ADDITIVE: Final = Challenger(name="additive", model=ADDITIVE_MODEL)
