"""Triggers: what must happen for a rule to hold, as declarations and as running state.

A trigger declares; `.build(snapshot)` gives the running one, which is shown every labelled event as a `Moment`, in order, and says at
each whether it fires there. Those of drifts, warnings and requests fire only where something of the kind happened; schedules,
thresholds and `AllOf` also between, and are shown every event (`every_event`).

Schedules run on counts and event time, never on a clock, so a replay meets them at the same events.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeAlias

from river import base, metrics

from stream_retrain.core.messages import Label
from stream_retrain.core.scores import needs_proba

__all__ = [
    "AllOf",
    "AnyOf",
    "Caution",
    "Declared",
    "Drift",
    "Every",
    "Moment",
    "Request",
    "RunningTrigger",
    "Threshold",
    "Trigger",
    "leaves",
    "metric_named",
]

Snapshot: TypeAlias = "Mapping[str, Any] | None"
OVER_EVENTS: Final = 1_000
EVENTS_MIN: Final = 500


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
    y: Label | None = None
    y_pred: Label | None = None
    proba: Any = None
    """The answer that was scored with this event; `y_pred` None: there was none."""


class RunningTrigger(Protocol):
    """A trigger that is being watched."""

    def fires(self, moment: Moment) -> bool:
        """Take the next event; whether the trigger holds there."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """What `build` needs to go on from here."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class _Stateless:
    """A running trigger that depends on the moment alone."""

    holds: Callable[[Moment], bool]

    def fires(self, moment: Moment) -> bool:
        return self.holds(moment)

    def snapshot(self) -> dict[str, Any]:
        return {}


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

    def build(self, _: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _Stateless(lambda moment: self.signal in moment.drifted)


@dataclasses.dataclass(frozen=True, slots=True)
class Caution(_OfSignal):
    """A detector on `signal` entered its warning zone."""

    def __str__(self) -> str:
        return f"warning:{self.signal}"

    def build(self, _: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _Stateless(lambda moment: self.signal in moment.warned)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """Somebody asked: `stream-retrain retrain`, or a program."""

    every_event: ClassVar[bool] = False

    def __str__(self) -> str:
        return "request"

    def build(self, _: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _Stateless(lambda moment: moment.requested)

    def faults(self, _: Declared) -> Iterator[str]:
        """None: nothing can be wrong with it."""
        yield from ()


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

    def build(self, snapshot: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _Schedule(self, snapshot)

    def faults(self, _: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if (self.events is None) == (self.seconds is None):
            yield "a schedule is given by events or by seconds, one of the two"
        elif self.events is not None and (not isinstance(self.events, int) or self.events < 1):
            yield f"events is {self.events!r}; use a whole number of at least 1"
        elif self.seconds is not None and not self.seconds > 0:
            yield f"seconds is {self.seconds!r}; use seconds of event time above 0"


class _Schedule:
    def __init__(self, spec: Every, snapshot: Snapshot) -> None:
        self._spec = spec
        self._period: int | None = snapshot["period"] if snapshot else None

    def fires(self, moment: Moment) -> bool:
        if self._spec.events is not None:
            return moment.events_seen % self._spec.events == 0
        period = math.floor(moment.time_s / (self._spec.seconds or 1.0))
        before, self._period = self._period, period
        return before is not None and period > before

    def snapshot(self) -> dict[str, Any]:
        return {"period": self._period}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold:
    """The champion's `metric` is below or above a limit.

    Measured over its last `over_events` answers, and only once there are `events_min` of the generation that answers now; after it fired
    it measures anew, so it fires again after `events_min` more at the earliest.
    """

    metric: str | Any
    """A River metric, or the name of one ("accuracy", "mae", "kappa": see `metric_named`)."""
    below: float | None = None
    above: float | None = None
    over_events: int = OVER_EVENTS
    events_min: int = EVENTS_MIN
    every_event: ClassVar[bool] = True

    def __str__(self) -> str:
        side, limit = ("below", self.below) if self.below is not None else ("above", self.above)
        return f"{side}:{type(metric_named(self.metric)).__name__}:{limit:g}"

    def build(self, snapshot: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _Threshold(self, snapshot)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        metric = metric_named(self.metric)
        if metric is None:
            yield f"{self.metric!r} is not a River metric, nor the name of one; use a name such as 'accuracy' or 'mae'"
            return
        if isinstance(metric, metrics.base.RegressionMetric) != (declared.task == "regression"):
            yield f"{type(metric).__name__} does not fit a {declared.task} model"
        if not callable(getattr(metric, "revert", None)):
            yield f"{type(metric).__name__} cannot be kept over the last events, because it forgets nothing; use another metric"
        if (self.below is None) == (self.above is None):
            yield "a threshold is given by below or by above, one of the two"
        if not 1 <= self.events_min <= self.over_events:
            yield f"events_min is {self.events_min} and over_events {self.over_events}; use 1 <= events_min <= over_events"


class _Threshold:
    def __init__(self, spec: Threshold, snapshot: Snapshot) -> None:
        self._spec = spec
        self._named = metric_named(spec.metric)
        self._of_proba = needs_proba(self._named)
        self._generation: int | None = snapshot["generation"] if snapshot else None
        self._metric: Any = snapshot["metric"] if snapshot else self._named.clone()
        self._answers: collections.deque[tuple[Any, Any]] = collections.deque(snapshot["answers"] if snapshot else ())

    def fires(self, moment: Moment) -> bool:
        if moment.generation != self._generation:
            self._generation = moment.generation
            self._begin_anew()
        answer = moment.proba if self._of_proba else moment.y_pred
        if moment.y_pred is None or answer is None:
            return False
        self._metric.update(moment.y, answer)
        self._answers.append((moment.y, answer))
        if len(self._answers) > self._spec.over_events:
            self._metric.revert(*self._answers.popleft())
        if len(self._answers) < self._spec.events_min:
            return False
        value, below, above = self._metric.get(), self._spec.below, self._spec.above
        if (below is not None and value < below) or (above is not None and value > above):
            self._begin_anew()
            return True
        return False

    def snapshot(self) -> dict[str, Any]:
        return {"generation": self._generation, "metric": self._metric, "answers": tuple(self._answers)}

    def _begin_anew(self) -> None:
        self._metric = self._named.clone()
        self._answers.clear()


@dataclasses.dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several triggers holds."""

    triggers: tuple[Trigger, ...]

    @property
    def every_event(self) -> bool:
        """Whether one of them must be shown every event."""
        return any(trigger.every_event for trigger in self.triggers)

    def __str__(self) -> str:
        return f"any({', '.join(map(str, self.triggers))})"

    def build(self, snapshot: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _AnyOf(self, snapshot)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if len(self.triggers) < 2:
            yield "any_of needs two triggers or more"
        for trigger in self.triggers:
            yield from trigger.faults(declared)


class _AnyOf:
    def __init__(self, spec: AnyOf, snapshot: Snapshot) -> None:
        self._running = _built(spec.triggers, snapshot)

    def fires(self, moment: Moment) -> bool:
        fired = [running.fires(moment) for running in self._running]  # every one of them must see the event
        return any(fired)

    def snapshot(self) -> dict[str, Any]:
        return {"triggers": [running.snapshot() for running in self._running]}


@dataclasses.dataclass(frozen=True, slots=True)
class AllOf:
    """Several triggers have all held within so many labelled events; then they must all hold anew."""

    triggers: tuple[Trigger, ...]
    within_events: int

    @property
    def every_event(self) -> bool:
        """Whether one of them must be shown every event."""
        return any(trigger.every_event for trigger in self.triggers)

    def __str__(self) -> str:
        return f"all({', '.join(map(str, self.triggers))} within {self.within_events})"

    def build(self, snapshot: Snapshot = None) -> RunningTrigger:
        """The running trigger."""
        return _AllOf(self, snapshot)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if len(self.triggers) < 2:
            yield "all_of needs two triggers or more"
        if not isinstance(self.within_events, int) or self.within_events < 1:
            yield f"within_events is {self.within_events!r}; use a whole number of at least 1"
        for trigger in self.triggers:
            yield from trigger.faults(declared)


class _AllOf:
    def __init__(self, spec: AllOf, snapshot: Snapshot) -> None:
        self._within = spec.within_events
        self._running = _built(spec.triggers, snapshot)
        self._held_at: list[int | None] = list(snapshot["held_at"]) if snapshot else [None] * len(spec.triggers)

    def fires(self, moment: Moment) -> bool:
        for index, running in enumerate(self._running):
            if running.fires(moment):
                self._held_at[index] = moment.events_seen
        oldest = moment.events_seen - self._within
        if any(at is None or at <= oldest for at in self._held_at):
            return False
        self._held_at = [None] * len(self._held_at)
        return True

    def snapshot(self) -> dict[str, Any]:
        return {"triggers": [running.snapshot() for running in self._running], "held_at": list(self._held_at)}


Trigger: TypeAlias = Drift | Caution | Request | Every | Threshold | AnyOf | AllOf


def leaves(trigger: Trigger) -> Iterator[Trigger]:
    """The triggers that a trigger is made of; itself, if it is no combination."""
    if isinstance(trigger, AnyOf | AllOf):
        for inner in trigger.triggers:
            yield from leaves(inner)
    else:
        yield trigger


def metric_named(metric: Any) -> Any:
    """A River metric as it is, or a fresh one by name ("accuracy", "roc_auc", "cohen_kappa", "kappa"); None if there is none such."""
    if isinstance(metric, metrics.base.Metric):
        return metric
    kind = _metrics_by_name().get(str(metric).lower().replace("_", ""))
    return kind() if kind is not None else None


@functools.cache
def _metrics_by_name() -> dict[str, Any]:
    kinds = {name.lower(): kind for name, kind in vars(metrics).items() if isinstance(kind, type) and issubclass(kind, base.Base)}
    return kinds | {"kappa": metrics.CohenKappa}


def _built(triggers: Sequence[Trigger], snapshot: Snapshot) -> list[RunningTrigger]:
    saved = snapshot["triggers"] if snapshot else [None] * len(triggers)
    return [trigger.build(each) for trigger, each in zip(triggers, saved, strict=True)]
