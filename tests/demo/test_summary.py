"""What the demo proves is counted from the topics: made-up topics in which things are lost, doubled or wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_retrain.demo.flights import AIRPORTS, inject_incident
from stream_retrain.demo.pipeline import flights_pipeline
from stream_retrain.demo.summary import BINS, Quality, Summary, recommended, summarise
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.engines.replay.replay import replay

PIPELINE = flights_pipeline("small")
COUNT = 240
WRITTEN_MS = 1_400_000_000_000
"""Records are written after the events happened."""
INCIDENT_AT = dict.fromkeys(range(len(AIRPORTS)), COUNT // 2)


def flight(number: int) -> dict[str, Any]:
    delay = float(number % 40)
    return {
        "flight_id": f"f{number}",
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


def summary(source: dict[int, list[Stored]], predictions: dict[int, list[dict[str, Any]]], decisions: Any = None) -> Summary:
    told: list[int] = []
    topics = {partition: stored(values) for partition, values in predictions.items()}
    found = summarise(PIPELINE, source, topics, decisions or {partition: [] for partition in source}, INCIDENT_AT, told.append)
    assert told == sorted(told)
    assert 0 < told[-1] <= COUNT * len(source)
    return found


def test_a_sound_run_loses_and_doubles_nothing(source: Any, predictions: Any) -> None:
    found = summary(source, predictions)
    assert (found.events, found.predictions, found.lost, found.duplicated) == (3 * COUNT, 3 * COUNT, 0, 0)
    assert found.incident_bin == BINS // 2
    assert (found.drifts, found.generations) == (0, [0, 0, 0])


def test_without_a_reaction_the_served_model_is_the_plain_one(source: Any, predictions: Any) -> None:
    """Nothing drifted, so the pipeline without its rule predicts the same."""
    found = summary(source, predictions)
    assert found.served._replace(cpu_us=None) == found.plain._replace(cpu_us=None)
    assert found.plain.cpu_us is not None
    assert found.recommended.cpu_us is not None


def test_a_lost_and_a_doubled_prediction_are_counted(source: Any, predictions: Any) -> None:
    damaged = {**predictions, 1: [*predictions[1][:10], predictions[1][11], *predictions[1][11:]]}
    found = summary(source, damaged)
    assert (found.lost, found.duplicated, found.predictions) == (1, 1, 3 * COUNT)


def test_a_wrong_prediction_costs_accuracy_where_it_stands(source: Any, predictions: Any) -> None:
    truth = [json.loads(record.value or b"")["late"] for record in source[0]]
    perfect = {p: [{**each, "prediction": truth[each["offset"]]} for each in values] for p, values in predictions.items()}
    wrong = {p: [{**each, "prediction": each["prediction"] != (each["offset"] == COUNT - 1)} for each in v] for p, v in perfect.items()}
    assert summary(source, perfect).served[:2] == (1.0, 1.0)
    found = summary(source, wrong).served
    assert found.overall == pytest.approx(1 - 1 / COUNT)
    assert found.after_incident == pytest.approx(1 - 2 / COUNT)
    assert [share for share in found.curve if share < 1] == [found.curve[-1]]


def test_drifts_and_generations_come_from_the_decisions(source: Any, predictions: Any) -> None:
    def decision(kind: str, generation: int) -> dict[str, Any]:
        return {"type": f"io.streamretrain.{kind}.v1", "data": {"generation": generation}}

    told = [decision("drift.detected", 0), decision("policy.decided", 0), decision("model.reset", 1), decision("model.reset", 2)]
    found = summary(source, predictions, {0: stored(told), 1: stored(told[:1]), 2: []})
    assert (found.drifts, found.generations) == (2, [2, 0, 0])


def test_the_recommended_pipeline_has_no_reaction_and_keeps_no_window() -> None:
    other = recommended(PIPELINE)
    assert (list(other.react), list(other.watch), other.window_rows_max) == ([], [], 0)
    assert type(other.model).__name__ == "FixedShareClassifier"
    assert other.schema is PIPELINE.schema


def test_a_quality_without_events_is_nought_and_its_curve_is_blank() -> None:
    assert Quality(0.0, 0.0, []).cpu_us is None


def test_the_incident_swaps_two_columns_and_leaves_what_was_given() -> None:
    rows = [flight(number) for number in range(4)]
    before, after = list(inject_incident(rows, at=2))[:2], list(inject_incident(rows, at=2))[2:]
    assert before == rows[:2]
    assert [(row["dep_delay"], row["distance"]) for row in after] == [(row["distance"], row["dep_delay"]) for row in rows[2:]]
    assert rows == [flight(number) for number in range(4)]
