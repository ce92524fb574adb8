"""Triggers made of triggers, and the union of them all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import ClassVar, TypeAlias

from stream_retrain.core.react.cron import Cron
from stream_retrain.core.react.thresholds import Threshold
from stream_retrain.core.react.triggers import Caution, Declared, Drift, Every, Memory, Moment, Request, RunningTrigger
from stream_retrain.core.state import Part, Saved

__all__ = ["AllOf", "AnyOf", "Trigger", "leaves"]


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

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return _AnyOf(self, saved)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if len(self.triggers) < 2:
            yield "any_of needs two triggers or more"
        for trigger in self.triggers:
            yield from trigger.faults(declared)


class _AnyOf:
    PART: ClassVar = Part.of("one of several triggers", "triggers")

    def __init__(self, spec: AnyOf, saved: Saved | None) -> None:
        self._running = _built(spec.triggers, None if saved is None else self.PART.load(saved))

    def fires(self, moment: Moment) -> bool:
        fired = [running.fires(moment) for running in self._running]  # every one of them must see the event
        return any(fired)

    def snapshot(self) -> Saved:
        return self.PART.save(triggers=[running.snapshot() for running in self._running])


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

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return _AllOf(self, saved)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if len(self.triggers) < 2:
            yield "all_of needs two triggers or more"
        if not isinstance(self.within_events, int) or self.within_events < 1:
            yield f"within_events is {self.within_events!r}; use a whole number of at least 1"
        for trigger in self.triggers:
            yield from trigger.faults(declared)


class _AllOf:
    PART: ClassVar = Part.of("all of several triggers", "triggers", "held_at")

    def __init__(self, spec: AllOf, saved: Saved | None) -> None:
        values = None if saved is None else self.PART.load(saved)
        self._within = spec.within_events
        self._running = _built(spec.triggers, values)
        self._held_at: list[int | None] = [None] * len(spec.triggers) if values is None else list(values["held_at"])

    def fires(self, moment: Moment) -> bool:
        for index, running in enumerate(self._running):
            if running.fires(moment):
                self._held_at[index] = moment.events_seen
        oldest = moment.events_seen - self._within
        if any(at is None or at <= oldest for at in self._held_at):
            return False
        self._held_at = [None] * len(self._held_at)
        return True

    def snapshot(self) -> Saved:
        return self.PART.save(triggers=[running.snapshot() for running in self._running], held_at=list(self._held_at))


Trigger: TypeAlias = Drift | Caution | Request | Every | Cron | Memory | Threshold | AnyOf | AllOf


def leaves(trigger: Trigger) -> Iterator[Trigger]:
    """The triggers that a trigger is made of; itself, if it is no combination."""
    if isinstance(trigger, AnyOf | AllOf):
        for inner in trigger.triggers:
            yield from leaves(inner)
    else:
        yield trigger


def _built(triggers: Sequence[Trigger], values: Saved | None) -> list[RunningTrigger]:
    saved = [None] * len(triggers) if values is None else values["triggers"]
    return [trigger.build(each) for trigger, each in zip(triggers, saved, strict=True)]
