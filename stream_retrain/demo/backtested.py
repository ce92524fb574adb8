"""The demo's backtest: its own source topic again, with the reaction, without, and with the recommended model; and the report of it.

Each pipeline runs once. The figures that the demo prints and the curves of the report come from the same run.

The topic was published in a few seconds, so hundreds of records of each partition have the same timestamp, by which a backtest of
`kafka://TOPIC` merges partitions. Here they are merged by what the flights were sorted by before they were published. So a position is the
number of a flight, and the incident begins at one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import msgspec

from stream_retrain.backtesting.report import check_report_path, write_report
from stream_retrain.backtesting.report.library import require_report_extra
from stream_retrain.backtesting.result import Incident
from stream_retrain.backtesting.run import Options, Ran, run_backtest
from stream_retrain.backtesting.variants import choose
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.errors import SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["PLAIN", "RECOMMENDED", "REPORT", "ReportPlace", "backtest_flights", "place_for_report", "write_flights_report"]

PLAIN: Final = "none"
RECOMMENDED: Final = "adaptive"
REPORT: Final = Path("flights-report.html")
INCIDENT_MARK: Final = "two columns swapped"


class ReportPlace(NamedTuple):
    """Where the report goes; None: nowhere, and `why` says so in a sentence."""

    path: Path | None
    why: str = ""


class ToldProgress(Protocol):
    """Who is told how far it is: so much of so much."""

    def __call__(self, done: int, total: int) -> None: ...


class _Watched:
    """Of a backtest's progress, the part that takes long."""

    def __init__(self, told: ToldProgress) -> None:
        self._told = told

    def reading(self, records: int, about: int | None) -> None: ...

    def running(self, lane_records: int, total: int) -> None:
        self._told(lane_records, total)


class _Order(msgspec.Struct):
    """What the flights are sorted by."""

    scheduled_departure: str
    flight_id: str


class _AsPublished:
    """The records of the source topic in the order in which they were published: a `Source`."""

    def __init__(self, topic: str, stored: Mapping[int, list[Stored]]) -> None:
        self.name = f"kafka://{topic}"
        self.notes = ["Partitions are merged in the order in which the flights were published."]
        self._stored = stored

    def estimate(self) -> int:
        return sum(map(len, self._stored.values()))

    def records(self) -> Iterator[tuple[int, Record]]:
        decode = msgspec.json.Decoder(_Order).decode

        def ordered(partition: int) -> Iterator[tuple[str, str, int, Record]]:
            for each in self._stored[partition]:
                order = decode(each.value or b"{}")
                yield order.scheduled_departure, order.flight_id, partition, each.as_record()

        for _, _, partition, record in heapq.merge(*map(ordered, self._stored)):
            yield partition, record


def place_for_report(wanted: Path | None) -> ReportPlace:
    """Where the report can be written: as wanted, or in the working folder.

    What is wanted and cannot be written raises `SettingsError`; where nothing is wanted, or the extra `report` is not installed, the demo
    does without.
    """
    path = wanted or REPORT
    try:
        require_report_extra()
    except SettingsError as error:
        return ReportPlace(None, f"There is no report of it: {error}")
    try:
        check_report_path(path)
    except SettingsError as error:
        if wanted is not None:
            raise
        return ReportPlace(None, f"There is no report of it: {error} (--report FILE)")
    return ReportPlace(path)


def backtest_flights(
    pipeline: Pipeline, file: Path, stored: Mapping[int, list[Stored]], settings: Settings, *, incident: int, told: ToldProgress
) -> Ran:
    """Run the variants over the source topic; from position `incident` on, the flights are as the incident changes them.

    file
        Where the pipeline was loaded from.
    stored
        All records of its source, by partition.
    """
    chosen = choose({pipeline.name: pipeline}, pipeline.name, [PLAIN, RECOMMENDED])
    source = _AsPublished(pipeline.source, stored)
    options = Options(
        target=str(file),
        record_bytes_max=settings.record_bytes_max,
        incidents=[Incident(text=INCIDENT_MARK, position=incident)],
        command=f"stream-retrain demo --events {source.estimate()}",
        signals=(),  # Ctrl-C ends the demo, and not only this part of it
    )
    return run_backtest(chosen, source, options, _Watched(told))


def write_flights_report(ran: Ran, place: ReportPlace) -> Path | None:
    """Write the report, where it has a place; its path."""
    if place.path is None:
        return None
    write_report(ran.summary, ran.curves, place.path)
    return place.path.absolute()
