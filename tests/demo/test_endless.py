"""Flights without end: fresh ids, time that goes on, and an incident that comes and goes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from stream_retrain.demo.endless import endless_flights
from stream_retrain.demo.flights import Flight

ROW = {"scheduled_departure": "2013-01-01T10:00:00Z", "dep_delay": 1.0, "distance": 700.0}
YEAR = [ROW | {"flight_id": f"AA{number}"} for number in range(3)]


def endless(run: str = "a", incident_every: int = 4) -> Iterator[Flight]:
    clock = iter(range(1_800_000_000, 1_900_000_000))
    return endless_flights(lambda: YEAR, run=run, incident_every=incident_every, now_s=lambda: float(next(clock)), stopped=lambda: False)


def test_no_id_comes_twice_whatever_the_lap_and_the_run() -> None:
    ids = [flight["flight_id"] for run in ("a", "b") for flight in islice(endless(run), 10)]
    assert len(set(ids)) == 20
    assert ids[:4] == ["AA0-a-0", "AA1-a-0", "AA2-a-0", "AA0-a-1"]


def test_event_time_is_the_time_of_publishing() -> None:
    times = [flight["scheduled_departure"] for flight in islice(endless(), 7)]
    assert times == sorted(times)
    assert times[0] == "2027-01-15T08:00:00.000+00:00"


def test_the_incident_begins_and_ends_after_so_many_flights() -> None:
    delays = [flight["dep_delay"] for flight in islice(endless(incident_every=4), 12)]
    assert delays == [1.0] * 4 + [700.0] * 4 + [1.0] * 4
    assert all(flight["dep_delay"] == 1.0 for flight in YEAR), "what was given stays as it is"


def test_it_ends_when_it_is_told_to() -> None:
    answers = iter([False, False, True])
    flights = endless_flights(lambda: YEAR, run="a", incident_every=1, now_s=lambda: 0.0, stopped=lambda: next(answers))
    assert len(list(flights)) == 2
