"""Triggers: what must happen for a rule to hold, as declarations and as running state.

A trigger declares; `.build(saved)` gives the running one, which is shown every labelled event as a `Moment`, in order, and says at
each whether it fires there. Those of drifts, warnings and requests fire only where something of the kind happened; schedules,
thresholds and `AllOf` also between, and are shown every event (`every_event`).

Schedules run on counts and event time, never on a clock, so a replay meets them at the same events; those in wall time are asked for
(`core.react.cron`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.observation import MemorySeen
from stream_retrain.facts.values import Label

__all__ = ["Caution", "Declared", "Drift", "Every", "Memory", "MetricFailure", "Moment", "Request", "RunningTrigger", "Stateless"]


MEMORY_BYTES_LEAST: Final = 10_000
"""A limit below it would be reached by most models before they have learned anything."""


class MetricFailure(NamedTuple):
    """A metric of a trigger raised."""

    metric: str
    detail: str
    repeated: bool
    """Whether it raised at the event before as well."""


class Moment(NamedTuple):
    """One labelled event as triggers see it."""

    events_seen: int
    """Labelled events learned so far, this one included."""
    time_s: float
    """The newest event time so far."""
    generation: int
    drifted: frozenset[str] = frozenset()
    """Signals on which a drift was detected at this event."""
    warned: frozenset[str] = frozenset()
    """Signals on which a warning began at this event."""
    requested: bool = False
    """A person or a program asked for a reaction."""
    scheduled: frozenset[int] = frozenset()
    """The rules that their schedules in wall time have asked, by their index."""
    due: bool = False
    """Whether the rule that is shown this is among them."""
    y: Label | None = None
    y_pred: Label | None = None
    proba: Any = None
    """The prediction that was scored with this event; `y_pred` None: there was none."""
    failed: bool = False
    """The prediction was none that can be scored: it counts as wrong."""
    metric_failures: list[MetricFailure] | None = None
    """Where a trigger tells that a metric raised."""
    memory: MemorySeen | None = None
    """What models take, if they were measured at this event."""


class RunningTrigger(Protocol):
    """A trigger that is being watched."""

    def fires(self, moment: Moment) -> bool:
        """Take the next event; whether the trigger holds there."""
        ...

    def snapshot(self) -> Saved:
        """What `build` needs to go on from here."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Stateless:
    """A running trigger that depends on the moment alone."""

    PART: ClassVar = Part.of("trigger without a state")
    holds: Callable[[Moment], bool]

    @classmethod
    def of(cls, saved: Saved | None, holds: Callable[[Moment], bool]) -> Stateless:
        if saved is not None:
            cls.PART.load(saved)
        return cls(holds)

    def fires(self, moment: Moment) -> bool:
        return self.holds(moment)

    def snapshot(self) -> Saved:
        return self.PART.save()


class Declared(NamedTuple):
    """What else the pipeline declares, for the faults of a trigger."""

    watched: Sequence[str]
    task: str


@dataclasses.dataclass(frozen=True, slots=True)
class _OfSignal:
    signal: str
    every_event: ClassVar[bool] = False

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if self.signal not in declared.watched:
            yield f"nothing watches {self.signal!r}; add Watch({self.signal!r}, ...) to watch"


@dataclasses.dataclass(frozen=True, slots=True)
class Drift(_OfSignal):
    """A detector on `signal` fired in the direction it watches."""

    def __str__(self) -> str:
        return f"drift:{self.signal}"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return Stateless.of(saved, lambda moment: self.signal in moment.drifted)


@dataclasses.dataclass(frozen=True, slots=True)
class Caution(_OfSignal):
    """A detector on `signal` entered its warning zone."""

    def __str__(self) -> str:
        return f"warning:{self.signal}"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return Stateless.of(saved, lambda moment: self.signal in moment.warned)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked: `stream-retrain retrain`, or a program."""

    every_event: ClassVar[bool] = False

    def __str__(self) -> str:
        return "request"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return Stateless.of(saved, lambda moment: moment.requested)

    def faults(self, _: Declared) -> Iterator[str]:
        """None: nothing can be wrong with it."""
        yield from ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Models take more memory than this, about: the largest of the shard, or all of them; at an event at which they were measured."""

    model_bytes_max: int | None = None
    shard_bytes_max: int | None = None
    every_event: ClassVar[bool] = False

    def __str__(self) -> str:
        limits = {"model": self.model_bytes_max, "shard": self.shard_bytes_max}
        return f"memory:{'_'.join(f'{of}_{limit}' for of, limit in limits.items() if limit is not None)}"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return Stateless.of(saved, lambda moment: moment.memory is not None and self.reached_by(moment.memory))

    def reached_by(self, seen: MemorySeen) -> bool:
        """Whether one of the limits is passed."""
        return self.model_reached(seen.model_bytes) or (self.shard_bytes_max is not None and seen.shard_bytes > self.shard_bytes_max)

    def model_reached(self, model_bytes: int) -> bool:
        """Whether a model of that size is too large."""
        return self.model_bytes_max is not None and model_bytes > self.model_bytes_max

    def faults(self, _: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        limits = {"model_bytes_max": self.model_bytes_max, "shard_bytes_max": self.shard_bytes_max}
        if not any(limit is not None for limit in limits.values()):
            yield "give model_bytes_max, shard_bytes_max, or both"
        for name, limit in limits.items():
            if limit is not None and (not isinstance(limit, int) or limit < MEMORY_BYTES_LEAST):
                yield f"{name} is {limit!r}; use a whole number of bytes of at least {MEMORY_BYTES_LEAST:,}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A schedule: every so many labelled events, or at the first event of each period of event time.

    Periods are counted from the epoch: `seconds=86_400` fires at the first event of each day (UTC), wherever the log begins.
    """

    events: int | None = None
    seconds: float | None = None
    every_event: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"every:{self.events}_events" if self.events is not None else f"every:{self.seconds:g}_s"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return _Schedule(self, saved)

    def faults(self, _: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if (self.events is None) == (self.seconds is None):
            yield "a schedule is given by events or by seconds, one of the two"
        elif self.events is not None and (not isinstance(self.events, int) or self.events < 1):
            yield f"events is {self.events!r}; use a whole number of at least 1"
        elif self.seconds is not None and not self.seconds > 0:
            yield f"seconds is {self.seconds!r}; use seconds of event time above 0"


class _Schedule:
    PART: ClassVar = Part.of("schedule", "period")

    def __init__(self, spec: Every, saved: Saved | None) -> None:
        self._spec = spec
        self._period: int | None = None if saved is None else self.PART.load(saved)["period"]

    def fires(self, moment: Moment) -> bool:
        if self._spec.events is not None:
            return moment.events_seen % self._spec.events == 0
        period = math.floor(moment.time_s / (self._spec.seconds or 1.0))
        before, self._period = self._period, period
        return before is not None and period > before

    def snapshot(self) -> Saved:
        return self.PART.save(period=self._period)
