"""Schedules in wall time: the owner of a shard asks it itself, when a rule of `On.cron` is due.

Protocol of use, for `driver.inputs`, for each shard: `opened` when it is taken over, `come_for` at each look, `forget` when it goes.

Which times were asked stands in the shard's state, by their tokens, and an owner that was fenced can save none. So a time is asked once,
whatever restarts, moves or runs twice. Of several that are due at once only the newest is asked, and it only where that is not too late
(`missed_within_s`); the others are missed, and told. One is not asked while the one before it has met no event: then it waits.

A shard that was never asked begins with the time of its checkpoint, and a new one with now: nothing from before a rule was there is asked.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
import zoneinfo
from collections.abc import Callable
from typing import Final

from stream_retrain.core.contest.inputs import Request
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.combinations import leaves
from stream_retrain.core.react.cron import Cron
from stream_retrain.facts.request import due_token
from stream_retrain.facts.scheduled import ScheduleMissed, ScheduleSeen
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Tell
from stream_retrain.lane.scheduled import last_due
from stream_retrain.lane.shard import Shard

__all__ = ["Schedules"]

BY: Final = "schedule"
COUNTED_MAX: Final = 1_000
"""Of the times missed at once, how many are counted."""
UNSURE_S: Final = 60.0
"""Before the time of a checkpoint: what was due then may not have been asked yet when it was written."""
_SPANS_S: Final = (60.0, 3_600.0, 86_400.0, 32 * 86_400.0, 367 * 86_400.0, math.inf)
"""How far back the newest time is looked for, one after the other: some schedules are due every second, others once in years."""


@dataclasses.dataclass(slots=True)
class _Waits:
    """A schedule of one shard."""

    cron: Cron
    since_s: float | None
    """What was due up to then is done with; None: not known before the clock goes."""
    next_s: float | None = None
    """When it is due next; None: not looked up yet."""


class Schedules:
    """When the schedules of a pipeline's rules ask the shards of one worker."""

    def __init__(self, pipeline: Pipeline, tell: Tell, wall_s: Callable[[], float]) -> None:
        self._crons = {index: each for index, rule in enumerate(pipeline.react) for each in leaves(rule.trigger) if isinstance(each, Cron)}
        self._tell = tell
        self._wall_s = wall_s
        self._waits: dict[ShardId, dict[int, _Waits]] = {}

    def opened(self, id_: ShardId, shard: Shard, saved_s: float | None) -> None:
        """A shard was taken over; `saved_s`: when the checkpoint was written that it came back from."""
        if not self._crons:
            return
        taken, now_s = shard.requests_taken, self._wall_s()
        begins_s = min(now_s, now_s if saved_s is None else saved_s - UNSURE_S)
        found = self._waits[id_] = {}
        for rule, cron in self._crons.items():
            last_s = last_due(taken, rule)
            since_s = begins_s
            if last_s is not None:
                since_s = last_s if saved_s is None else max(last_s, saved_s - cron.missed_within_s)
            found[rule] = _Waits(cron, since_s if math.isfinite(since_s) else None)

    def forget(self, id_: ShardId) -> None:
        """The shard goes elsewhere."""
        self._waits.pop(id_, None)

    def come_for(self, id_: ShardId, shard: Shard) -> list[Request]:
        """What its schedules ask of a settled shard now."""
        now_s = self._wall_s()
        found = []
        for rule, waits in self._waits.get(id_, {}).items():
            next_s = _next_s(waits, now_s)
            if next_s > now_s or _meets_no_event(shard, rule):
                continue
            assert waits.since_s is not None
            newest_s, count = _due(waits.cron, waits.since_s, now_s)
            waits.since_s, waits.next_s = newest_s, None
            asks = now_s - newest_s <= waits.cron.missed_within_s
            if asks:
                reason = f"{waits.cron}, due at {_shown(newest_s, waits.cron)}"
                found.append(Request(reason=reason, token=due_token(rule, newest_s), by=BY, rule=rule))
            if missed := count - asks:
                self._tell(ScheduleMissed(shard=id_, rule=rule, schedule=str(waits.cron), count=missed, late_s=now_s - newest_s))
        return found

    def next_due_s(self, id_: ShardId) -> float:
        """When the first of its schedules is due; infinity where none is."""
        return min((each.at_s for each in self.seen(id_)), default=math.inf)

    def seen(self, id_: ShardId) -> tuple[ScheduleSeen, ...]:
        """When each of its schedules is due next."""
        now_s = self._wall_s()
        found = ((rule, waits, _next_s(waits, now_s)) for rule, waits in self._waits.get(id_, {}).items())
        return tuple(ScheduleSeen(rule=rule, schedule=str(waits.cron), at_s=at_s) for rule, waits, at_s in found if math.isfinite(at_s))


def _next_s(waits: _Waits, now_s: float) -> float:
    if waits.since_s is None:
        if not math.isfinite(now_s):
            return math.inf
        waits.since_s = now_s
    if waits.next_s is None:
        waits.next_s = next(waits.cron.due_after(waits.since_s), math.inf)
    return waits.next_s


def _meets_no_event(shard: Shard, rule: int) -> bool:
    last_s = last_due(shard.requests_taken, rule)
    return last_s is not None and shard.waits_with(due_token(rule, last_s))


def _due(cron: Cron, since_s: float, now_s: float) -> tuple[int, int]:
    """The newest time at which it was due after `since_s`, and how many there were (`COUNTED_MAX`); there is one at least."""
    due: list[int] = []
    for span_s in _SPANS_S:
        due = list(itertools.takewhile(lambda at_s: at_s <= now_s, cron.due_after(max(since_s, now_s - span_s))))
        if due:
            break
    counted = itertools.takewhile(lambda at_s: at_s <= now_s, itertools.islice(cron.due_after(since_s), COUNTED_MAX))
    return due[-1], sum(1 for _ in counted)


def _shown(at_s: float, cron: Cron) -> str:
    return datetime.datetime.fromtimestamp(at_s, zoneinfo.ZoneInfo(cron.timezone)).isoformat()
