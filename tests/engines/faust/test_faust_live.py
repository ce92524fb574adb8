"""`run --engine faust` on a real Kafka: what it waits for, what it leaves out, and that its outputs are those of an uninterrupted run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from tests.conftest import Services
from tests.engines.live import Place, has, shard_of
from tests.engines.support import read_topic, uninterrupted

pytestmark = pytest.mark.services

FAUST = ("--engine", "faust")


def test_missing_topic_aborted_records_poison_and_an_end_that_lags_nothing(services: Services, place: Place) -> None:
    """Faust by itself only warns of a missing topic, and its consumer reads what was aborted, or is not committed yet."""
    place.deleted(place.source)
    with place.worker(*FAUST, ready_commit_timeout_s=3) as running:
        running.wait_for(lambda: f"topic '{place.source}'" in running.log and "trying again in" in running.log)
        status = running.status()
        assert (status["state"], status["ready"]) == ("degraded", False)
        place.made()
        place.send(20)
        running.wait_for(has(running, 20))
        place.send(10, commit=True)
        place.send(7, commit=False)
        producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})
        for bad in (b"no JSON", b'{"id": "x", "a": "no number"}', None):
            producer.produce(place.source, bad, b"k", partition=0, headers={"origin": "test"})
        producer.flush(20)
        place.send(5)
        running.wait_for(has(running, 38))
        place.send(3, commit=False)
        end = 20 + 11 + 8 + 3 + 5 + 4
        running.wait_for(lambda: place.committed()[0] == end)
        running.wait_for(lambda: shard_of(running)["lag_records"] == 0)
        assert running.status()["ready"]
        running.stop()
        assert running.process.returncode == 0
    assert "Traceback" not in running.log
    source = read_topic(services, place.source)[0]
    expected = uninterrupted(place.pipeline, 0, source)
    assert [each.value for each in read_topic(services, f"{place.pipeline.name}.{PREDICTIONS}")[0]] == expected.predictions
    letters = read_topic(services, f"{place.pipeline.name}.{DEAD_LETTERS}")[0]
    assert [letter.headers["sr_reason"] for letter in letters] == [b"decode", b"schema", b"empty"]


def test_either_engine_goes_on_where_the_other_stopped(services: Services, place: Place) -> None:
    """The group, its offsets and the checkpoints are the same."""
    for engine in ("kafka", "faust", "kafka"):
        place.send(30)
        sent = len(read_topic(services, place.source)[0])
        with place.worker("--engine", engine) as running:
            running.wait_for(has(running, 30))
            running.stop()
            assert running.process.returncode == 0
            assert sent == 30 or "restored from its checkpoint" in running.log
    expected = uninterrupted(place.pipeline, 0, read_topic(services, place.source)[0])
    assert [each.value for each in read_topic(services, f"{place.pipeline.name}.{PREDICTIONS}")[0]] == expected.predictions


@pytest.mark.slow
def test_requests_by_topic_take_effect_once_through_a_kill(services: Services, place: Place) -> None:
    """The topic of requests is read beside Faust's loop by the worker's own client, in a group of its own."""
    name, settings = place.pipeline.name, dict[str, Any](requests_unsigned=True, session_timeout_ms=6_000)
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})

    def ask(*values: bytes) -> None:
        for value in values:
            producer.produce(f"{name}.requests", value)
        assert producer.flush(20) == 0

    def reset(token: str) -> bytes:
        return json.dumps({"pipeline": name, "do": "reset", "token": token}).encode()

    def done() -> list[str]:
        decisions = [json.loads(each.value or b"") for each in read_topic(services, f"{name}.{DECISIONS}")[0]]
        return [each["data"]["token"] for each in decisions if each["type"] == "io.streamretrain.model.reset.v1"]

    def takes(token: str) -> bool:
        place.send(5)  # a shard takes a request with its events
        return token in done()

    with place.worker(*FAUST, **settings) as running:
        place.send(20)
        running.wait_for(has(running, 20))
        ask(reset("first"))
        running.wait_for(lambda: takes("first"))
        assert running.status()["request_topic"]["state"] == "running"
        ask(reset("second"))
        running.wait_for(lambda: "token second: record 1 of" in running.log)
        running.process.kill()  # it is stored; whether the shard has it, or its offset is committed, is left to chance
    with place.worker(*FAUST, **settings) as running:
        running.wait_for(lambda: takes("second"))
        ask(reset("first"), b"rubbish")
        running.wait_for(lambda: running.status()["request_topic"]["refused"] == 1)
        running.wait_for(lambda: shard_of(running)["lag_records"] == 0)
        assert running.status()["request_topic"]["lag_records"] == 0
        running.stop()
        assert running.process.returncode == 0
    assert done() == ["first", "second"]
    assert [each.headers["sr_reason"] for each in read_topic(services, f"{name}.{DEAD_LETTERS}")[0]] == [b"decode"]
