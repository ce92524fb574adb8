"""What the demo proves is counted from the topics: made-up topics in which things are lost, doubled or wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.backtesting import workplace
from stream_retrain.backtesting.run import Ran
from stream_retrain.demo.backtested import backtest_flights
from stream_retrain.demo.flights import AIRPORTS, inject_incident
from stream_retrain.demo.pipeline import flights_pipeline
from stream_retrain.demo.summary import BINS, Summary, summarise
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.engines.replay.replay import replay
from stream_retrain.settings import load_settings

PIPELINE = flights_pipeline("small")
COUNT = 250
"""Of each partition: so many that the incident begins with an interval of the backtest, which has 25 records."""
WRITTEN_MS = 1_400_000_000_000
"""Records are written after the events happened."""
INCIDENT_AT = dict.fromkeys(range(len(AIRPORTS)), COUNT // 2)


def flight(number: int) -> dict[str, Any]:
    delay = float(number % 40)
    return {
        "flight_id": f"f{number:04}",
        "scheduled_departure": "2013-01-01T10:00:00Z",
        "carrier": "AA" if number % 3 else "B6",
        "hour": float(number % 24),
        "dep_delay": delay,
        "distance": 500.0 + number,
        "late": delay > 20,
    }


def stored(values: list[dict[str, Any]]) -> list[Stored]:
    return [Stored(offset, b"k", json.dumps(value).encode(), {}, WRITTEN_MS + offset) for offset, value in enumerate(values)]


@pytest.fixture(scope="module")
def source() -> dict[int, list[Stored]]:
    rows = list(inject_incident(map(flight, range(COUNT)), at=COUNT // 2))
    return {partition: stored(rows) for partition in range(len(AIRPORTS))}


@pytest.fixture(scope="module")
def predictions(source: dict[int, list[Stored]]) -> dict[int, list[dict[str, Any]]]:
    """What the pipeline predicts, as JSON objects by partition."""
    return {
        partition: [
            json.loads(value or b"null")
            for _, step in replay(PIPELINE, [record.as_record() for record in records])
            for kind, _, _, value, _ in step.outputs
            if kind == "predictions"
        ]
        for partition, records in source.items()
    }


@pytest.fixture(scope="module")
def ran(source: dict[int, list[Stored]]) -> Any:
    """The backtest, in this process, which is quicker."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workplace, "unsendable", lambda _: "a test wants it so")
        incident = sum(INCIDENT_AT.values())
        yield backtest_flights(PIPELINE, Path("unused.py"), source, load_settings(), incident=incident, told=lambda *_: None)


@pytest.fixture
def summary(source: Any, ran: Ran) -> Callable[..., Summary]:
    def made(predictions: dict[int, list[dict[str, Any]]], decisions: Any = None, incident_at: Any = INCIDENT_AT) -> Summary:
        topics = {partition: stored(values) for partition, values in predictions.items()}
        return summarise(PIPELINE, source, topics, decisions or {partition: [] for partition in source}, incident_at, ran)

    return made


def test_a_sound_run_loses_and_doubles_nothing(summary: Any, predictions: Any) -> None:
    found = summary(predictions)
    assert (found.events, found.predictions, found.lost, found.duplicated) == (3 * COUNT, 3 * COUNT, 0, 0)
    assert found.incident_bin == BINS // 2
    assert (found.drifts, found.generations) == (0, [0, 0, 0])


def test_a_backtest_has_the_quality_that_was_served(summary: Any, predictions: Any) -> None:
    found = summary(predictions)
    assert found.backtested[:2] == found.served[:2]
    known = [place for place, value in enumerate(found.backtested.curve) if value == value]
    assert (known[0], known[-1], len(found.served.curve)) == (1, BINS - 1, BINS)
    assert sum(found.backtested.curve[place] for place in known) / len(known) == pytest.approx(found.served.overall)


def test_without_a_reaction_the_served_model_is_the_plain_one(summary: Any, predictions: Any) -> None:
    """Nothing drifted, so the pipeline without its rule predicts the same."""
    found = summary(predictions)
    assert found.plain[:2] == found.served[:2]
    assert found.plain.curve == pytest.approx(found.backtested.curve, nan_ok=True)
    assert found.plain.cpu_us > 0
    assert found.recommended.cpu_us > 0
    assert found.recommended.overall != found.plain.overall


def test_after_the_incident_is_after_the_nearest_interval(summary: Any, predictions: Any) -> None:
    """At 120 of 250 the interval that begins at 117 (of three partitions 350) is nearer than the one at 125."""
    exact, early = summary(predictions), summary(predictions, incident_at=dict.fromkeys(INCIDENT_AT, 120))
    assert early.plain.after_incident != exact.plain.after_incident
    assert early.plain.after_incident == early.served.after_incident
    assert early.plain.overall == exact.plain.overall


def test_a_lost_and_a_doubled_prediction_are_counted(summary: Any, predictions: Any) -> None:
    damaged = {**predictions, 1: [*predictions[1][:10], predictions[1][11], *predictions[1][11:]]}
    found = summary(damaged)
    assert (found.lost, found.duplicated, found.predictions) == (1, 1, 3 * COUNT)


def test_a_wrong_prediction_costs_accuracy_where_it_stands(summary: Any, source: Any, predictions: Any) -> None:
    truth = [json.loads(record.value or b"")["late"] for record in source[0]]
    perfect = {p: [{**each, "prediction": truth[each["offset"]]} for each in values] for p, values in predictions.items()}
    wrong = {p: [{**each, "prediction": each["prediction"] != (each["offset"] == COUNT - 1)} for each in v] for p, v in perfect.items()}
    assert summary(perfect).served[:2] == (1.0, 1.0)
    found = summary(wrong).served
    assert found.overall == pytest.approx(1 - 1 / COUNT)
    assert found.after_incident == pytest.approx(1 - 2 / COUNT)
    assert [share for share in found.curve if share < 1] == [found.curve[-1]]


def test_drifts_and_generations_come_from_the_decisions(summary: Any, predictions: Any) -> None:
    def decision(kind: str, generation: int) -> dict[str, Any]:
        return {"type": f"io.streamretrain.{kind}.v1", "data": {"generation": generation}}

    told = [decision("drift.detected", 0), decision("policy.decided", 0), decision("model.reset", 1), decision("model.reset", 2)]
    found = summary(predictions, {0: stored(told), 1: stored(told[:1]), 2: []})
    assert (found.drifts, found.generations) == (2, [2, 0, 0])


def test_the_incident_swaps_two_columns_and_leaves_what_was_given() -> None:
    rows = [flight(number) for number in range(4)]
    before, after = list(inject_incident(rows, at=2))[:2], list(inject_incident(rows, at=2))[2:]
    assert before == rows[:2]
    assert [(row["dep_delay"], row["distance"]) for row in after] == [(row["distance"], row["dep_delay"]) for row in rows[2:]]
    assert rows == [flight(number) for number in range(4)]
