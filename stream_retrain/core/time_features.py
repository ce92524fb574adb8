"""Features of the event time: what the calendar and the clock of a zone say.

They are whole numbers: `minute` 0-59, `hour` 0-23, `weekday` 0-6 from Monday, `day` 1-31, `month` 1-12, `yearday` 1-366, and
`second_of_day`. In x their names begin with `time.`. In UTC they are plain arithmetic; of another zone they are what the time zone
database of the machine says, which has to be the same wherever a log is replayed.
"""

from __future__ import annotations

import datetime as dt
import math
import zoneinfo
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stream_retrain.errors import EventError

__all__ = ["PREFIX", "time_faults", "time_reader"]

PREFIX: Final = "time."
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_PARTS: Final[dict[str, Callable[[dt.datetime], int]]] = {
    "minute": lambda at: at.minute,
    "hour": lambda at: at.hour,
    "weekday": lambda at: at.weekday(),
    "day": lambda at: at.day,
    "month": lambda at: at.month,
    "yearday": lambda at: at.timetuple().tm_yday,
    "second_of_day": lambda at: at.hour * 3600 + at.minute * 60 + at.second,
}


def time_reader(names: Sequence[str], zone: str) -> Callable[[float], dict[str, int]]:
    """From seconds since the epoch to the features of these names. It raises `EventError` for a time the zone has no date of."""
    parts = [(PREFIX + name, _PARTS[name]) for name in names]
    place = dt.UTC if zone == "UTC" else zoneinfo.ZoneInfo(zone)

    def read(time_s: float) -> dict[str, int]:
        try:
            at = EPOCH + dt.timedelta(seconds=math.floor(time_s))
            at = at if zone == "UTC" else at.astimezone(place)
        except (OverflowError, ValueError):
            raise EventError("schema", f"{time_s:g} s since the epoch is no date in {zone}") from None
        return {name: part(at) for name, part in parts}

    return read


def time_faults(names: object, zone: object) -> Iterator[str]:
    """Every fault of the declaration, as sentences."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        yield f"schema: time_features is {names!r}; use a tuple of {', '.join(_PARTS)}"
        return
    for name in names:
        if name not in _PARTS:
            yield f"schema: there is no time feature {name!r}; use {', '.join(_PARTS)}"
    if len(set(names)) != len(names):
        yield "schema: a time feature is named twice"
    if zone == "UTC":
        return
    try:
        zoneinfo.ZoneInfo(str(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        yield f"schema: time_zone is {zone!r}; use UTC or a name of the time zone database, such as Europe/Berlin"
