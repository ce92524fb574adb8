"""A schedule in wall time, as cron says it: when it is due.

The trigger has no clock. Who owns a shard asks it, with a clock of its own, when the schedule is due; that request is an input like any
other (`core.contest.inputs`), and the trigger holds where it takes effect. So a replay meets it at the same event.

What is due is a function of the expression, the zone and a time. Where clocks are set forward or back, it is as with Debian's cron:

- A schedule that names its hour is due right after the hour that does not exist, and once in the hour that exists twice: the first time.
- One of every hour or every few minutes goes by the time that passes, so it is due in both of the two hours, and never in none.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import zoneinfo
from collections.abc import Iterator
from typing import ClassVar

from cronsim import CronSim, CronSimError

from stream_retrain.core.react.triggers import Declared, Moment, RunningTrigger, Stateless

__all__ = ["Cron"]

_ANY_TIME = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A schedule in wall time: five fields, minute to weekday, in a time zone; with a sixth for seconds in front."""

    expression: str
    timezone: str = "UTC"
    missed_within_s: float = 3_600.0
    """How late it is still asked, where no worker was there when it was due; later it is missed."""
    every_event: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"cron:{self.expression} {self.timezone}"

    def build(self, saved: dict[str, object] | None = None) -> RunningTrigger:
        """The running trigger."""
        return Stateless.of(saved, _is_due)

    def due_after(self, at_s: float) -> Iterator[int]:
        """The times at which it is due after `at_s`, seconds since the epoch, in order; it ends where there is none in 50 years."""
        zone = zoneinfo.ZoneInfo(self.timezone)
        before = datetime.datetime.fromtimestamp(math.floor(at_s), zone)
        last_s = at_s
        for due in CronSim(self.expression, before):
            due_s = int(due.timestamp())
            if due_s > last_s:  # a time that does not exist is told by the one that the clocks then show
                last_s = due_s
                yield due_s

    def faults(self, _: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        try:
            if next(CronSim(self.expression, _ANY_TIME), None) is None:
                yield f"{self.expression!r} is never due in 50 years"
        except (CronSimError, AttributeError, TypeError) as error:
            how = "use five fields as cron has them, such as '0 3 * * *': minute, hour, day of the month, month, weekday"
            yield f"{self.expression!r} is no cron expression ({error}); {how}"
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, TypeError, OSError, AttributeError):
            yield f"timezone is {self.timezone!r}, which this machine does not know; use a name such as 'Europe/Berlin' or 'UTC'"
        if isinstance(self.missed_within_s, bool) or not isinstance(self.missed_within_s, int | float) or not self.missed_within_s >= 0:
            yield f"missed_within_s is {self.missed_within_s!r}; use seconds of 0 or more"


def _is_due(moment: Moment) -> bool:
    return moment.due
