"""Models of keys in a real worker, on a real Kafka and a real Redis: out of memory, killed, restored from parts, and as if nothing was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.core.digest import digest
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.facts.values import ShardId
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from tests.conftest import Services
from tests.engines.support import read_topic, uninterrupted, worker
from tests.models import streams

pytestmark = pytest.mark.services

EVENTS = 4_000
PARTITIONS = 2
PIPELINE = """
from river import linear_model, preprocessing
from stream_retrain import On, Pipeline, Schema
from stream_retrain.models import PerKey

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", label="y", features={{**{{f"f{{n}}": float for n in range(6)}}, "store": str}}),
    model=PerKey(preprocessing.StandardScaler() | linear_model.LogisticRegression(), by="store", hot_keys_max=25, keys_max=700),
    react=[On.memory(model_bytes_max=500_000, do="prune")],
    window_rows_max=500,
)
"""


def rows() -> list[dict[str, Any]]:
    return [{"id": f"e{number}", **x, "y": y} for number, (x, y) in enumerate(streams.stores(EVENTS, stores=2_500))]


def test_ended_by_its_limit_of_memory_and_killed_it_equals_an_uninterrupted_run(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE.format(name=services.name("keyed"), source=services.name("events")))
    pipeline = load_pipeline(str(file))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    publish_rows(iter(rows()), settings, topic=pipeline.source, key="store", partitions=PARTITIONS)
    often = {"commit_events_max": 100, "poll_records_max": 100, "session_timeout_ms": 6_000}
    with worker(services, file, memory_bytes_max=64 * 1024**2) as limited:
        assert limited.process.wait(180) == 1
    assert "memory_bytes_max = 67,108,864" in limited.log
    assert "Traceback" not in limited.log
    with worker(services, file, checkpoint_events=300, **often) as killed:
        killed.wait_for(lambda: killed.records() >= EVENTS * 0.6, 180)
        killed.stop(9)
    stores = connect(services.redis_url)
    assert any(stores.parts.load(ShardId(pipeline.name, pipeline.source, partition)) for partition in range(PARTITIONS))
    with worker(services, file, **often) as last:
        last.wait_for(lambda: len(last.status()["shards"]) == PARTITIONS and last.status()["ready"], 180)
        last.wait_for(lambda: all(shard["lag_records"] == 0 for shard in last.status()["shards"].values()), 180)
        shown = [shard["keys"] for shard in last.status()["shards"].values()]
        last.stop()
    assert all(keys["hot"] == 25 and keys["taken_back"] > 0 for keys in shown)
    pruned = 0
    for partition, records in read_topic(services, pipeline.source).items():
        expected = uninterrupted(pipeline, partition, records)
        for kind, wanted in (("predictions", expected.predictions), ("decisions", expected.decisions)):
            put = [record.value or b"" for record in read_topic(services, f"{pipeline.name}.{kind}").get(partition, [])]
            assert [value for value in put if b"shard.restored" not in value] == wanted
        pruned += sum(b"memory.pruned" in decision for decision in expected.decisions)
        id_ = ShardId(pipeline.name, pipeline.source, partition)
        header, payload = unseal(stores.checkpoints.load(id_)[0], Keyring.unsigned())
        state = open_payload(payload, pipeline, "the checkpoint", stores.parts.load(id_))
        assert (header.offset, digest(state)) == (records[-1].offset + 1, expected.digest)
    assert pruned >= PARTITIONS
