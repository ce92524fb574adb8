"""The demo's backtest and its report: the order of the flights, the incident's mark, and where the page goes."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.backtesting import workplace
from stream_retrain.backtesting.run import Ran
from stream_retrain.demo.backtested import (
    INCIDENT_MARK,
    PLAIN,
    RECOMMENDED,
    REPORT,
    ReportPlace,
    _AsPublished,
    backtest_flights,
    place_for_report,
    write_flights_report,
)
from stream_retrain.demo.flights import AIRPORTS, flights, inject_incident
from stream_retrain.demo.pipeline import flights_pipeline
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.errors import SettingsError
from stream_retrain.settings import load_settings

EVENTS = 600
PIPELINE = flights_pipeline("small")
TOLD: list[tuple[int, int]] = []


@pytest.fixture(scope="module")
def stored() -> dict[int, list[Stored]]:
    """Real flights as their topic has them; all were published in the same millisecond."""
    found: dict[int, list[Stored]] = {partition: [] for partition in range(len(AIRPORTS))}
    for row in inject_incident(flights(EVENTS), at=EVENTS // 2):
        topic = found[AIRPORTS.index(row["origin"])]
        topic.append(Stored(len(topic), row["origin"].encode(), json.dumps(row).encode(), {}, 1_700_000_000_000))
    return found


@pytest.fixture(scope="module")
def ran(stored: dict[int, list[Stored]]) -> Any:
    """In this process, which is quicker."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workplace, "unsendable", lambda _: "a test wants it so")
        told = lambda done, total: TOLD.append((done, total))  # noqa: E731 - told by position
        yield backtest_flights(PIPELINE, Path("unused.py"), stored, load_settings(), incident=EVENTS // 2, told=told)


def test_partitions_are_merged_in_the_order_of_publication(stored: dict[int, list[Stored]]) -> None:
    source = _AsPublished("small.events", stored)
    published = [row["flight_id"] for row in flights(EVENTS)]
    assert [json.loads(record.value or b"")["flight_id"] for _, record in source.records()] == published
    assert (source.estimate(), source.name) == (EVENTS, "kafka://small.events")


def test_variants_controls_and_the_incident_are_in_the_result(ran: Ran) -> None:
    summary = ran.summary
    assert [each.name for each in summary.variants] == ["small", PLAIN, RECOMMENDED]
    assert [each.name for each in summary.controls] == ["previous label", "blind reset"]
    assert [(each.text, each.position) for each in summary.incidents] == [(INCIDENT_MARK, EVENTS // 2)]
    assert (summary.events, summary.rejected, summary.partial) == (EVENTS, 0, False)
    assert summary.command == f"stream-retrain demo --events {EVENTS}"
    assert any("the order in which the flights were published" in note for note in summary.notes)


def test_the_progress_is_told_to_its_end(ran: Ran) -> None:
    assert sorted(TOLD) == TOLD
    assert (TOLD[0], TOLD[-1]) == ((0, 5 * EVENTS), (5 * EVENTS, 5 * EVENTS))


def test_every_partition_has_events_in_nearly_every_interval(ran: Ran) -> None:
    """By their timestamps the partitions would follow one another."""
    empty = [each for each in ran.curves.intervals if each.partition is not None and not each.events]
    assert len(empty) <= 2


@pytest.mark.slow
def test_the_report_is_written_where_it_was_wanted(ran: Ran, tmp_path: Path) -> None:
    place = place_for_report(tmp_path / "mine.html")
    written = write_flights_report(ran, place)
    assert written == tmp_path / "mine.html"
    page = written.read_text()
    assert INCIDENT_MARK in page
    assert "stream-retrain demo --events 600" in page


def test_it_goes_to_the_working_folder_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert place_for_report(None) == ReportPlace(REPORT)


def test_a_place_that_was_wanted_and_cannot_be_had_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"its folder .* does not exist"):
        place_for_report(tmp_path / "missing" / "mine.html")


def test_where_the_working_folder_cannot_have_it_the_demo_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / REPORT).mkdir()
    place = place_for_report(None)
    assert place.path is None
    assert place.why.startswith("There is no report of it: flights-report.html: it is a folder")


def test_without_the_extra_the_demo_goes_on_and_says_so(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *given: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "vl_convert":
            raise ImportError(name)
        return real(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    place = place_for_report(tmp_path / "mine.html")
    assert place.path is None
    assert place.why.endswith("pip install 'stream_retrain[report]'")
    assert write_flights_report(ran, place) is None
    assert list(tmp_path.iterdir()) == []
