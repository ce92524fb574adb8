"""The memory ceiling of a shard: when its models are measured, and who has to make room.

Models are measured by their values, which are functions of the log, and at events that depend on nothing but their number and what was
measured before. So a ceiling is reached at the same event by every process, in a replay and in a backtest.

How often: a measure takes about 1 us for each value of a model, some 20 ns for each byte that it finds. The next one comes

- after half as many events as the models have learned since room was made last, or they shrank by half; later, if they may grow to more
  than three times their size;
- but at the latest when `BYTES_AN_EVENT` bytes are spread over as many events, which costs less than 1 us an event;
- sooner where they would reach a limit before, if they go on growing: after 80 % of the events that it would take. How fast they grow is
  what was measured last, or half of what was assumed before, whichever is more;
- never before a tenth of those events. A limit is passed by some 10 to 20 %, or by the growth of `FIRST_EVENTS` events.

So most models cost less than 1 %; one that grows by kilobytes an event costs some percent while it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from stream_retrain.core.contest.duel import Duel
from stream_retrain.core.contest.prune import prune
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.triggers import Memory
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.observation import MemorySeen
from stream_retrain.models.packing import memory_bytes_of

__all__ = ["Ceiling", "too_large"]

FIRST_EVENTS: Final = 100
"""Before the first measure, and at least between two."""
WELL_WITHIN: Final = 0.75
"""The part of a limit to which models are pruned, so that they are not pruned again at once."""
PRUNED_MAX: Final = 32
"""Each time half is given back; a model whose `shrink` says so and does nothing must not hold up the shard."""
APART_EVENTS: Final = 1_000
BYTES_AN_EVENT: Final = 25
_CEILING: Final = Part.of("ceiling", "next_at", "began_at", "measured_at", "bytes", "rate", "above", "seen")


class Ceiling:
    """What the models of one shard took when they were measured last, and when they are measured next."""

    def __init__(self, pipeline: Pipeline, saved: Saved | None = None) -> None:
        limits = [each for each in pipeline.triggers if isinstance(each, Memory)]
        self._model_max = min((each.model_bytes_max for each in limits if each.model_bytes_max is not None), default=None)
        self._shard_max = min((each.shard_bytes_max for each in limits if each.shard_bytes_max is not None), default=None)
        self._lowest = Memory(model_bytes_max=self._model_max, shard_bytes_max=self._shard_max)
        values = _FRESH if saved is None else _CEILING.load(saved)
        self.next_at: float = values["next_at"] if limits else math.inf
        """Labelled events after which models are measured."""
        self._began_at: int = values["began_at"]
        """When room was made last."""
        self._measured_at: int = values["measured_at"]
        self._bytes: int = values["bytes"]
        self._rate: float = values["rate"]
        """Bytes an event."""
        self._above: bool = values["above"]
        self.seen: MemorySeen | None = None if values["seen"] is None or not limits else self._seen(*values["seen"])

    def measure(self, models: Iterable[Any], events_seen: int) -> bool:
        """Measure the models of the shard; whether a limit is passed that was not before."""
        sizes = [memory_bytes_of(model) for model in models]
        seen = self.seen = self._seen(max(sizes), sum(sizes))
        above, before = self._lowest.reached_by(seen), self._above
        self._rate = max((seen.shard_bytes - self._bytes) / (events_seen - self._measured_at), self._rate / 2)
        if seen.shard_bytes < self._bytes // 2:
            self._began_at = events_seen
        self.next_at = events_seen + self._apart(seen, events_seen, above=above)
        self._measured_at, self._bytes, self._above = events_seen, seen.shard_bytes, above
        return above and not before

    def made_room(self, events_seen: int, bytes_now: int = 0) -> None:
        """Models were replaced, or pruned to so many bytes: measure soon, and tell if a limit is passed again."""
        self.next_at, self._above = events_seen + FIRST_EVENTS, False
        self._began_at = self._measured_at = events_seen
        self._bytes = bytes_now

    def snapshot(self) -> Saved:
        """What is needed to go on from here."""
        seen = None if self.seen is None else self.seen[:2]
        next_at = FIRST_EVENTS if self.next_at == math.inf else self.next_at
        at = {"next_at": next_at, "began_at": self._began_at, "measured_at": self._measured_at}
        return _CEILING.save(**at, bytes=self._bytes, rate=self._rate, above=self._above, seen=seen)

    def _seen(self, model_bytes: int, shard_bytes: int) -> MemorySeen:
        return MemorySeen(model_bytes, shard_bytes, self._model_max, self._shard_max)

    def _apart(self, seen: MemorySeen, events_seen: int, *, above: bool) -> int:
        since = max(1, events_seen - self._began_at)
        room = min((self._model_max or math.inf) / max(1, seen.model_bytes), (self._shard_max or math.inf) / max(1, seen.shard_bytes))
        apart = min(int(since * max(0.5, (room - 1.0) / 4)), max(APART_EVENTS, seen.shard_bytes // BYTES_AN_EVENT))
        if not above:
            left = min((self._model_max or math.inf) - seen.model_bytes, (self._shard_max or math.inf) - seen.shard_bytes)
            apart = min(apart, int(0.8 * left / self._rate)) if self._rate else apart
        return max(FIRST_EVENTS, since // 10, apart)


def pruned(models: Sequence[Any], limits: Memory) -> tuple[int, int] | None:
    """Prune models until they are well within the limits; what all of them took before and take now. None: it does not help."""
    sizes = before = [memory_bytes_of(model) for model in models]
    for _ in range(PRUNED_MAX):
        if _fit(sizes, limits, WELL_WITHIN):
            return sum(before), sum(sizes)
        if not any([prune(model) for model in models]):  # noqa: C419 - each is to be pruned
            break
        sizes = [memory_bytes_of(model) for model in models]
    return (sum(before), sum(sizes)) if sum(sizes) < sum(before) and _fit(sizes, limits, 1.0) else None


def _fit(sizes: Sequence[int], limits: Memory, part: float) -> bool:
    seen = MemorySeen(int(max(sizes) / part), int(sum(sizes) / part), None, None)
    return not limits.reached_by(seen)


def too_large(duel: Duel, limits: Memory) -> dict[str, Exception]:
    """Who in a duel is too large, and why; where it is all of them together, everyone but the one that serves. None: everyone is."""
    sizes = {each.name: memory_bytes_of(each.model) for each in (duel.leader, *duel.rivals)}
    found = [name for name, size in sizes.items() if limits.model_reached(size)] or [each.name for each in duel.rivals]
    stays = len(found) < len(sizes)
    return {name: MemoryError(f"it takes about {sizes[name]:,} bytes, and {limits} is declared") for name in found if stays}


_FRESH: Final[Saved] = {"next_at": FIRST_EVENTS, "began_at": 0, "measured_at": 0, "bytes": 0, "rate": 0.0, "above": False, "seen": None}
