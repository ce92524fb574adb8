"""The worker as a process, on a real Kafka and a real Redis."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.digest import digest
from stream_retrain.engines.kafka.publish import create_topic, publish_rows
from stream_retrain.facts.values import ShardId
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from tests.conftest import Services
from tests.engines.support import decoded, read_topic, uninterrupted, worker

pytestmark = pytest.mark.services

EVENTS = 20_000
PARTITIONS = 3
PIPELINE = """
from river import drift, preprocessing, tree
from stream_retrain import On, Pipeline, Reset, Schema, Watch

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", time="at", label="y", features={{"a": float, "b": float, "word": str}}),
    model=tree.HoeffdingTreeClassifier(grace_period=100),
    watch=[Watch("error", drift.ADWIN(delta=0.01))],
    react=[On.drift("error", Reset())],
    window_rows_max=2_000,
)
"""


def rows(count: int, *, flip_at: int | None = None, seed: int = 1) -> list[dict[str, Any]]:
    """Events with labels, every tenth label delayed by 50 events."""
    rng = random.Random(seed)
    made: list[dict[str, Any]] = []
    late: list[tuple[int, dict[str, Any]]] = []
    for number in range(count):
        while late and late[0][0] <= number:
            made.append(late.pop(0)[1])
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1), "word": rng.choice(["red", "green", "blue"])}
        y = (x["a"] + (1 if x["word"] == "red" else 0) > 0.3) != (flip_at is not None and number >= flip_at)
        row = {
            "id": f"e{number}",
            "at": f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            "key": f"k{number % 30}",
        }
        if number % 10 == 0:
            made.append({**row, **x})
            late.append((number + 50, {"id": row["id"], "y": y, "key": row["key"], "at": row["at"]}))
        else:
            made.append({**row, **x, "y": y})
    return made[:count]


@pytest.fixture
def settings(services: Services) -> Settings:
    overrides = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
    return load_settings(None, {}, overrides)


@pytest.fixture
def pipeline_file(services: Services, tmp_path: Path) -> Path:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE.format(name=services.name("p"), source=services.name("events")))
    return file


def stored_digest(pipeline: Pipeline, services: Services, partition: int) -> tuple[int, str]:
    """Offset and state digest of the newest checkpoint."""
    sealed = connect(services.redis_url).checkpoints.load(ShardId(pipeline.name, pipeline.source, partition))[0]
    header, payload = unseal(sealed, Keyring.unsigned())
    return header.offset, digest(load_state(payload))


def test_stopped_half_way_and_started_again_equals_an_uninterrupted_run(
    services: Services, settings: Settings, pipeline_file: Path
) -> None:
    """Every prediction and decision byte by byte, the final state by its digest, and the window row by row."""
    pipeline = load_pipeline(str(pipeline_file))
    publish_rows(rows(EVENTS, flip_at=EVENTS // 2), settings, topic=pipeline.source, key="key", partitions=PARTITIONS)
    with worker(services, pipeline_file, checkpoint_events=3_000, commit_events_max=200, poll_records_max=150) as first:
        first.wait_for(lambda: first.records() >= EVENTS // 2)
        assert first.records() < EVENTS, "stopped too late to be half-way"
        assert first.stop() < 5.0
        assert first.process.returncode == 0, first.log
    assert "Traceback" not in first.log
    with worker(services, pipeline_file) as second:
        second.wait_for(lambda: "restored from its checkpoint" in second.log)
        second.wait_for(lambda: all(shard["lag_records"] == 0 for shard in second.status()["shards"].values() or [{"lag_records": 1}]))
        second.wait_for(lambda: second.status()["ready"])
        assert second.stop() < 5.0
        assert second.process.returncode == 0, second.log

    source = read_topic(services, pipeline.source)
    predictions = read_topic(services, f"{pipeline.name}.predictions")
    decisions = read_topic(services, f"{pipeline.name}.decisions")
    assert sum(len(records) for records in source.values()) == EVENTS
    drifts = 0
    for partition, records in source.items():
        expected = uninterrupted(pipeline, partition, records)
        assert [record.value for record in predictions[partition]] == expected.predictions
        assert [record.value for record in decisions[partition]] == expected.decisions
        assert stored_digest(pipeline, services, partition) == (records[-1].offset + 1, expected.digest)
        drifts += sum(event["type"].startswith("io.streamretrain.drift") for event in decoded(expected.decisions))
        window = connect(services.redis_url).window.last(ShardId(pipeline.name, pipeline.source, partition), 2_000)
        labelled = [record.offset for record in records if record.value and b'"y"' in record.value]
        assert [row.offset for row in window] == labelled[-2_000:]
    assert drifts >= PARTITIONS, "the stream must drift in every partition, or the comparison shows little"


def test_killed_and_started_again_equals_an_uninterrupted_run(services: Services, settings: Settings, pipeline_file: Path) -> None:
    """kill -9: the open transaction is aborted, and the state comes back by checkpoint and silent replay."""
    pipeline = load_pipeline(str(pipeline_file))
    publish_rows(rows(EVENTS), settings, topic=pipeline.source, key="key", partitions=PARTITIONS)
    reached = 0
    for share, checkpoint_events in ((0.2, 1_500), (0.5, EVENTS)):  # the second never writes one, so there is something to replay
        settings_of_it = {"checkpoint_events": checkpoint_events, "commit_events_max": 100, "session_timeout_ms": 6_000}
        with worker(services, pipeline_file, **settings_of_it) as killed:
            killed.wait_for(lambda reached=reached, share=share: killed.records() + reached >= EVENTS * share)  # type: ignore[misc]
            reached += killed.records()
            killed.stop(9)
    with worker(services, pipeline_file, session_timeout_ms=6_000) as last:
        last.wait_for(lambda: len(last.status()["shards"]) == PARTITIONS and last.status()["ready"])
        last.wait_for(lambda: all(shard["lag_records"] == 0 for shard in last.status()["shards"].values()))
        replayed = sum(last.counts("events_replayed").values())
        last.stop()
    assert replayed > 0, f"nothing was replayed, so nothing was shown:\n{last.log}"
    predictions = read_topic(services, f"{pipeline.name}.predictions")
    for partition, records in read_topic(services, pipeline.source).items():
        expected = uninterrupted(pipeline, partition, records)
        assert [record.value for record in predictions[partition]] == expected.predictions
        assert stored_digest(pipeline, services, partition) == (records[-1].offset + 1, expected.digest)


def test_bad_records_become_dead_letters_and_move_nothing(services: Services, settings: Settings, pipeline_file: Path) -> None:
    from confluent_kafka import Producer

    pipeline = load_pipeline(str(pipeline_file))
    create_topic(settings, pipeline.source, 1, {"max.message.bytes": "10000000"})
    good = json.dumps(rows(1, seed=2)[0] | {"y": True}).encode()
    bad: dict[bytes, tuple[str, str]] = {
        b"not json": ("decode", ""),
        b'{"id": "x"': ("decode", ""),
        good.replace(b'"word"', b'"werd"'): ("schema", "word"),
        good.replace(b'"a": ', b'"a": "text", "unused": '): ("schema", "a"),
        good.replace(b'"a": ', b'"a": NaN, "unused": '): ("decode", ""),
        good.replace(b'"a": ', b'"a": 1e999, "unused": '): ("schema", "a"),
        good.replace(b'"y": true', b'"y": 7'): ("schema", "y"),
        good.replace(b'"id"', b'"di"'): ("schema", "id"),
        good.replace(b"T00:00:00Z", b"T00:00:00"): ("schema", "at"),
        b'{"id": "big", "word": "' + b"x" * 5_000_000 + b'"}': ("too_large", ""),
        b"": ("empty", ""),
    }
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True, "message.max.bytes": 10_000_000})
    for value in bad:
        producer.produce(pipeline.source, value, key="k")
        producer.produce(pipeline.source, good.replace(b'"e0"', f'"e{len(value)}"'.encode()), key="k")
    producer.produce(pipeline.source, None, key="k")
    producer.flush(20)
    with worker(services, pipeline_file) as running:
        running.wait_for(lambda: running.records() == 2 * len(bad) + 1)
        shard = next(iter(running.status()["shards"].values()))
        assert shard["rejected"] == len(bad) + 1
        assert shard["learned"] == len(bad)
        running.stop()
        assert running.process.returncode == 0
    letters = read_topic(services, f"{pipeline.name}.dead_letters")[0]
    found = {
        int(letter.headers["sr_offset"]): (letter.headers["sr_reason"].decode(), letter.headers["sr_field"].decode()) for letter in letters
    }
    expected = {2 * number: reason for number, reason in enumerate(bad.values())} | {2 * len(bad): ("empty", "")}
    assert found == expected
    for letter in letters:
        assert letter.headers["sr_topic"].decode() == pipeline.source
        assert letter.headers["sr_partition"] == b"0"
        offset = int(letter.headers["sr_offset"])
        original = list(bad)[offset // 2] if offset < 2 * len(bad) else None
        assert letter.value == (None if letter.headers["sr_reason"] == b"too_large" else original)
    assert len(read_topic(services, f"{pipeline.name}.predictions")[0]) == len(bad)


def test_an_unknown_topic_is_said_and_waited_for(services: Services, settings: Settings, pipeline_file: Path) -> None:
    pipeline = load_pipeline(str(pipeline_file))
    with worker(services, pipeline_file) as running:
        running.wait_for(lambda: f"topic '{pipeline.source}'" in running.log and "trying again in" in running.log)
        assert running.status()["state"] == "degraded"
        assert not running.status()["ready"]
        publish_rows(rows(100), settings, topic=pipeline.source, key="key", partitions=PARTITIONS)
        running.wait_for(lambda: running.status()["ready"] and running.records() == 100)
        running.stop()
    assert "Traceback" not in running.log


@pytest.mark.parametrize("missing", ["kafka", "redis"])
def test_an_unreachable_service_is_said_and_waited_for(services: Services, pipeline_file: Path, missing: str) -> None:
    nowhere = {"kafka": {"kafka_bootstrap_servers": "127.0.0.1:1"}, "redis": {"redis_url": "redis://127.0.0.1:1/0"}}[missing]
    with worker(services, pipeline_file, **nowhere) as running:
        running.wait_for(lambda: running.log.count("trying again in") >= 2)
        status = running.status()
        assert (status["state"], status["ready"]) == ("degraded", False)
        assert "127.0.0.1:1" in status["detail"]
        assert running.stop() < 5.0
        assert running.process.returncode == 0
    assert "Traceback" not in running.log
