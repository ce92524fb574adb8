"""The demo's flights without end: for a stack that somebody wants to look at for longer than a demo takes.

The year is published over and over, each time under fresh ids. Event time is the time of publishing, so that it never runs back. After
every `incident_every` flights the incident of the demo begins or ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import count

from stream_retrain.demo.flights import AIRPORTS, Flight, flights, inject_incident
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.settings import Settings

__all__ = ["endless_flights", "publish_endlessly"]


def endless_flights(
    year: Callable[[], Iterable[Flight]], *, run: str, incident_every: int, now_s: Callable[[], float], stopped: Callable[[], bool]
) -> Iterator[Flight]:
    """Flights until `stopped()`; `run` makes the ids differ from those of an earlier run, `year` begins the year again."""
    number = 0
    for lap in count():
        for flight in year():
            if stopped():
                return
            changed = inject_incident([flight], at=0 if number // incident_every % 2 else 1)
            at = datetime.fromtimestamp(now_s(), UTC).isoformat(timespec="milliseconds")
            yield next(changed) | {"flight_id": f"{flight['flight_id']}-{run}-{lap}", "scheduled_departure": at}
            number += 1


def publish_endlessly(
    settings: Settings, *, topic: str, rate_per_s: float, incident_every: int, now_s: Callable[[], float], stopped: Callable[[], bool]
) -> int:
    """Publish them, keyed by airport, until `stopped()`; how many. Raises `LocalStackError` without the data, `BrokerError`."""
    rows = endless_flights(flights, run=f"{int(now_s()):x}", incident_every=incident_every, now_s=now_s, stopped=stopped)
    places = {airport: number for number, airport in enumerate(AIRPORTS)}
    return publish_rows(rows, settings, topic=topic, key="origin", partition_of=places, partitions=len(AIRPORTS), rate_per_s=rate_per_s)
