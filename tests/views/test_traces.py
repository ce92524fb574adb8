"""Spans: made of facts, recorded by OpenTelemetry's own SDK."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.trace import SpanKind, StatusCode

from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.errors import SettingsError
from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.shard import ChallengerJoined, DriftDetected, Rejected, TrainingFailed, TrainingRequested, Unmatched
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    Lagging,
    Released,
    Restored,
    Retrying,
    TrainerTold,
    TrainingWaits,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect
from stream_retrain.views.traces import NS, Traces
from tests.core import streams
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

BEGAN_NS = 1_790_000_000 * NS


class Traced:
    """A worker's spans, under a clock that is given."""

    def __init__(self) -> None:
        self.exported = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exported))
        self.now_ns = BEGAN_NS
        self.traces = Traces("the-group", "1.2.3", self.provider, lambda: self.now_ns)

    def told(self, *facts: WorkerFact) -> list[ReadableSpan]:
        self.exported.clear()
        for fact in facts:
            self.traces(fact)
        return list(self.exported.get_finished_spans())

    def one(self, *facts: WorkerFact) -> tuple[ReadableSpan, dict[str, Any]]:
        [span] = self.told(*facts)
        return span, dict(span.attributes or {})


@pytest.fixture
def traced() -> Traced:
    return Traced()


def seconds(span: ReadableSpan) -> float:
    assert span.start_time
    assert span.end_time
    return (span.end_time - span.start_time) / NS


def test_a_batch_is_a_span_of_a_consumer_with_the_attributes_of_messaging(traced: Traced) -> None:
    span, attributes = traced.one(processed(seconds=0.25))
    assert (span.name, span.kind, seconds(span), span.end_time) == ("process flights.events", SpanKind.CONSUMER, 0.25, BEGAN_NS)
    assert attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "flights.events",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "the-group",
        "messaging.batch.message_count": 10,
        "stream_retrain.pipeline": "flights",
        "stream_retrain.predicted": 8,
        "stream_retrain.learned": 7,
        "stream_retrain.replayed": False,
    }
    assert span.instrumentation_scope
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("stream_retrain", "1.2.3")


def test_the_names_of_messaging_are_opentelemetry_s(traced: Traced) -> None:
    known = {value for name, value in vars(messaging_attributes).items() if name.startswith("MESSAGING_")}
    _, attributes = traced.one(processed())
    ours = {name for name in attributes if name.startswith("messaging.")}
    assert len(ours) == 7
    assert ours <= known


def test_decisions_are_events_of_the_batch_and_records_are_not(traced: Traced) -> None:
    span = traced.told(processed(EXAMPLES[DriftDetected], EXAMPLES[Rejected], EXAMPLES[Unmatched], EXAMPLES[TrainingFailed]))[0]
    told = [(event.name, dict(event.attributes or {})["stream_retrain.offset"]) for event in span.events]
    assert told == [("drift.detected", 10), ("training.failed", 20)]


def test_a_checkpoint_and_a_restore_last_as_long_as_they_took(traced: Traced) -> None:
    span, attributes = traced.one(Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.5, at_s=1.0))
    assert (span.name, span.kind, seconds(span)) == ("checkpoint", SpanKind.INTERNAL, 0.5)
    assert (attributes["stream_retrain.offset"], attributes["stream_retrain.checkpoint.bytes"]) == (110, 2_048)
    span, attributes = traced.one(Restored(shard=SHARD, offset=110, generation=2, how="previous", seconds=0.125))
    assert (span.name, seconds(span), attributes["stream_retrain.restored_from"]) == ("restore", 0.125, "previous")
    _, attributes = traced.one(Restored(shard=SHARD, offset=None, generation=0, how="new"))
    assert "stream_retrain.offset" not in attributes


def test_what_failed_has_the_status_of_an_error(traced: Traced) -> None:
    span, _ = traced.one(CheckpointFailed(shard=SHARD, error="Redis is full"))
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Redis is full")
    failed = dataclasses.replace(EXAMPLES[TrainingFailed], error="the model raised ValueError: the-payload")  # type: ignore[arg-type]
    batch, training = sorted(traced.told(processed(failed)), key=lambda each: each.name)
    assert (training.name, training.status.status_code) == ("training", StatusCode.ERROR)
    assert training.status.description == "the model raised ValueError"
    assert "the-payload" not in f"{batch.to_json()}{training.to_json()}"


class TestTraining:
    DONE = TrainerTold(shard=SHARD, training=5, rows=900, rows_total=900, caught_up_s=0.5, seconds=2.0)

    def test_lasts_from_when_it_was_asked_for(self, traced: Traced) -> None:
        traced.told(processed(EXAMPLES[TrainingRequested]))
        traced.now_ns += 40 * NS
        span, attributes = traced.one(self.DONE)
        assert (span.name, seconds(span)) == ("training", 40.0)
        assert (attributes["stream_retrain.training"], attributes["stream_retrain.training.rows"]) == (5, 900)
        assert attributes["stream_retrain.training.seconds"] == 2.5

    def test_that_was_asked_for_before_this_process_lasts_as_long_as_it_took(self, traced: Traced) -> None:
        span, _ = traced.one(self.DONE)
        assert seconds(span) == 2.5

    @pytest.mark.parametrize(
        "between",
        [
            Released(shard=SHARD, how="revoked"),
            Retrying(error="x", wait_s=1.0),
            processed(EXAMPLES[ChallengerJoined]),
        ],
        ids=lambda fact: type(fact).__name__,
    )
    def test_is_forgotten_where_it_is_over_or_another_s(self, traced: Traced, between: WorkerFact) -> None:
        traced.told(processed(EXAMPLES[TrainingRequested]), between)
        traced.now_ns += 40 * NS
        assert seconds(traced.one(self.DONE)[0]) == 2.5

    def test_of_another_shard_is_another(self, traced: Traced) -> None:
        traced.told(processed(EXAMPLES[TrainingRequested]), Released(shard=OTHER, how="lost"))
        traced.now_ns += 40 * NS
        assert seconds(traced.one(self.DONE)[0]) == 40.0

    def test_in_a_replay_begins_nothing(self, traced: Traced) -> None:
        traced.told(processed(EXAMPLES[TrainingRequested], replayed=True))
        traced.now_ns += 40 * NS
        assert seconds(traced.one(self.DONE)[0]) == 2.5


def test_other_facts_are_no_spans(traced: Traced) -> None:
    others: list[WorkerFact] = [
        observed(),
        Assigned(shard=SHARD, offset=1, live_from=1),
        Lagging(shard=SHARD, records=4),
        Committed(outputs=5, offsets={SHARD: 110}, seconds=0.1),
        TrainerTold(shard=SHARD, training=5, rows=1, rows_total=None),
        TrainingWaits(shard=SHARD, training=5, waited_s=31.0, trainers=0),
        VersionsKnown(shard=SHARD, versions=(), whole=True),
        WorkerStateChanged(state="running"),
    ]
    assert traced.told(*others) == []


def test_without_the_api_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(SettingsError, match=r"pip install 'stream_retrain\[otel\]'"):
        Traces("g", "1")


def test_without_an_sdk_nothing_is_recorded_and_nothing_fails() -> None:
    traces = Traces("g", "1")
    traces(processed(EXAMPLES[DriftDetected], newest_time_s=math.nan))


def test_a_driver_s_facts_are_spans_of_what_it_did() -> None:
    traced, stores = Traced(), connect("memory://")
    traced.now_ns = time.time_ns()
    values = [f'{{"id": "e{number}", "a": 1.0, "b": 1.0, "y": true}}'.encode() for number in range(20)]
    for begins in (None, 20):
        driver = Driver(streams.pipeline(), stores, Keyring.unsigned(), DriverLimits(), traced.traces)
        driver.open(0, Log(committed=begins, low=0, high=20), 0.0)
        driver.take(0, Records.of([Record(number, None, value, 1_790_000_000_000) for number, value in enumerate(values)]))
        driver.committed(driver.unsent().offsets)
        driver.checkpoint(1.0, math.inf)
    spans = traced.exported.get_finished_spans()
    assert [span.name for span in spans] == ["restore", "process events", "checkpoint", "restore"]
    assert all(0 < seconds(span) < 60 for span in spans)
    told = [dict(span.attributes or {}).get("stream_retrain.restored_from") for span in spans]
    assert told == ["new", None, None, "checkpoint"]
