"""Rules: a trigger and a reaction, such as `On.drift("error", Reset())`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final, Literal, TypedDict, Unpack

from stream_retrain.core.react.combinations import AllOf, AnyOf, Trigger, leaves
from stream_retrain.core.react.cron import Cron
from stream_retrain.core.react.reactions import Ignore, Prune, Race, Reaction, Reset, Stop, race_faults
from stream_retrain.core.react.thresholds import Threshold
from stream_retrain.core.react.triggers import Caution, Declared, Drift, Every, Memory, Request

__all__ = ["On"]


_BY_NAME: Final[dict[str, Reaction]] = {"prune": Prune(), "reset": Reset(), "stop": Stop(), "ignore": Ignore()}


class Measured(TypedDict, total=False):
    """How a threshold is measured; the defaults are those of `Threshold`."""

    over_events: int
    events_min: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class On:
    """A rule: when `trigger` holds, do `do`; after that (of a duel: after its end), not again for `cooldown_events` labelled events."""

    trigger: Trigger
    do: Reaction
    cooldown_events: int = 0

    @classmethod
    def drift(cls, signal: str, do: Reaction, *, cooldown_events: int = 0) -> On:
        """React when the watch on `signal` detects a change in the direction it was asked for."""
        return cls(Drift(signal), do, cooldown_events)

    @classmethod
    def warning(cls, signal: str, do: Reaction, *, cooldown_events: int = 0) -> On:
        """React when a detector on `signal` enters its warning zone (see `Watch.warning`)."""
        return cls(Caution(signal), do, cooldown_events)

    @classmethod
    def every(cls, *, events: int | None = None, seconds: float | None = None, do: Reaction) -> On:
        """React every so many labelled events, or at the first event of each period of event time."""
        return cls(Every(events=events, seconds=seconds), do)

    @classmethod
    def cron(cls, expression: str, *, do: Reaction, timezone: str = "UTC", missed_within_s: float = 3_600.0) -> On:
        """React at times of day: `On.cron("0 3 * * *", do=Retrain(...), timezone="Europe/Berlin")`, every night at three.

        Where no worker was there at that time, it is asked at the start if it was less than `missed_within_s` ago; of several only the
        newest, and the others are missed. See `core.react.cron.Cron` for hours that do not exist, or exist twice.
        """
        return cls(Cron(expression=expression, timezone=timezone, missed_within_s=missed_within_s), do)

    @classmethod
    def below(cls, metric: Any, limit: float, *, do: Reaction, cooldown_events: int = 0, **measured: Unpack[Measured]) -> On:
        """React when the champion's `metric` over its last `over_events` predictions is below `limit`, once there are `events_min`."""
        return cls(Threshold(metric=metric, below=limit, **measured), do, cooldown_events)

    @classmethod
    def above(cls, metric: Any, limit: float, *, do: Reaction, cooldown_events: int = 0, **measured: Unpack[Measured]) -> On:
        """React when the champion's `metric` (an error such as "mae") is above `limit`; else as `below`."""
        return cls(Threshold(metric=metric, above=limit, **measured), do, cooldown_events)

    @classmethod
    def request(cls, do: Reaction) -> On:
        """React when somebody asks: `stream-retrain retrain`."""
        return cls(Request(), do)

    @classmethod
    def memory(
        cls,
        *,
        model_bytes_max: int | None = None,
        shard_bytes_max: int | None = None,
        do: Reaction | Literal["prune", "reset", "stop", "ignore"],
        cooldown_events: int = 0,
    ) -> On:
        """React when models take more memory than this: any of the shard, or all of them together.

        Memory is estimated from a model's values (`models.packing.memory_bytes_of`), every so many events, so that it is the same on every
        machine. "prune", "reset" and "stop" are done in a duel too: whoever is too large leaves it. `Challenge(challengers=[...])` lets a
        smaller model race the champion; give it a lower limit than the rule that ends in a reset.
        """
        reaction = _BY_NAME.get(do, do) if isinstance(do, str) else do
        return cls(Memory(model_bytes_max=model_bytes_max, shard_bytes_max=shard_bytes_max), reaction, cooldown_events)  # type: ignore[arg-type]

    @classmethod
    def any_of(cls, *triggers: Trigger, do: Reaction, cooldown_events: int = 0) -> On:
        """React when one of several triggers holds: `On.any_of(Drift("error"), Every(events=100_000), do=...)`."""
        return cls(AnyOf(triggers), do, cooldown_events)

    @classmethod
    def all_of(cls, *triggers: Trigger, within_events: int, do: Reaction, cooldown_events: int = 0) -> On:
        """React when all of several triggers have held within so many labelled events."""
        return cls(AllOf(triggers, within_events), do, cooldown_events)

    @property
    def makes_room(self) -> bool:
        """Whether it is of memory, and its reaction is done at once, also in a duel."""
        return isinstance(self.do, Prune | Reset | Stop) and any(isinstance(each, Memory) for each in leaves(self.trigger))

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        trigger_faults = list(self.trigger.faults(declared))
        where = f"react {type(self.trigger).__name__}" if trigger_faults else f"react {self.trigger}"
        yield from (f"{where}: {fault}" for fault in trigger_faults)
        if not isinstance(self.do, Reaction):
            named = f", or {', '.join(map(repr, _BY_NAME))} of On.memory" if isinstance(self.trigger, Memory) else ""
            yield f"{where}: {self.do!r} is not a reaction; use Ignore(), Reset(), Challenge(), Retrain(...) or FineTune(...){named}"
        elif isinstance(self.do, Prune | Stop) and not self.makes_room:
            yield f"{where}: {type(self.do).__name__}() makes room in memory; use it with On.memory(...)"
        elif isinstance(self.do, Race):
            yield from (f"{where}: {fault}" for fault in race_faults(self.do))
        if sum(isinstance(each, Cron) for each in leaves(self.trigger)) > 1:
            yield f"{where}: it has more than one Cron; give each a rule of its own"
        if self.cooldown_events < 0:
            yield f"{where}: cooldown_events is {self.cooldown_events}; use 0 or more"
