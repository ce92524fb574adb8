"""`run --engine faust` on a real Kafka: what it waits for, what it leaves out, and that its outputs are those of an uninterrupted run."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from stream_retrain.lane.step import DEAD_LETTERS, PREDICTIONS
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
