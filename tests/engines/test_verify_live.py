"""`stream-retrain verify` on a run of a real worker: with drifts, late labels, trained challengers, a request, and two kills."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from benchmarks.verify_live import LiveRun, tampered, verify
from stream_retrain import backtest
from stream_retrain.engines.kafka.read import Stored, read_topic
from stream_retrain.engines.replay.replay import replay
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.put import Put, put_of
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits
from tests.conftest import Services

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(1_200)]

EVENTS = 14_000


@pytest.fixture(scope="module")
def run(services: Services, tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    places = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
    live = LiveRun(load_settings(None, {}, places), tmp_path_factory.mktemp("live"), services.name("live"), 2, 1, 500.0)
    live.run(EVENTS)
    return live


def test_every_decision_and_every_prediction_is_replayed(run: LiveRun) -> None:
    code, report = verify(run, "--predictions")
    assert (code, report["verdict"], report["impossible"]) == (0, "equal", []), report
    assert (report["lost"], report["duplicated"], report["different"], report["first"]) == (0, 0, 0, None)
    decisions = read_topic(run.settings, f"{run.pipeline.name}.decisions")
    predictions = read_topic(run.settings, f"{run.pipeline.name}.predictions")
    assert report["compared"]["decisions"] == sum(map(len, decisions.values()))
    assert report["compared"]["predictions"] == sum(map(len, predictions.values())) > EVENTS * 0.8
    assert report["inputs"] >= 5, "two requests and three challengers at least"
    assert run.told("training.joined") >= 3
    assert run.told("shard.restored") >= 3, "two kills, and a partition each at least"
    # A challenger that is promoted in time learns a drift before the detector is certain of it: how many are told is the machine's pace.
    assert run.told("drift.detected") >= 1


def test_a_part_is_verified_by_offset_from_a_checkpoint_and_in_one_partition(run: LiveRun) -> None:
    code, report = verify(run, "--from", "1000", "--to", "1500", "--partition", "1", "--predictions")
    assert (code, [each["partition"] for each in report["partitions"]]) == (0, [1])
    assert report["records"] == 1_500
    assert 350 < report["compared"]["predictions"] < 500
    code, report = verify(run, "--from", "checkpoint")
    assert (code, report["verdict"]) == (0, "equal")
    assert all("with the checkpoint at offset" in began for each in report["partitions"] for began in each["began"])


def test_a_part_is_verified_by_time(run: LiveRun) -> None:
    stored = read_topic(run.settings, run.pipeline.source)[0]
    middle_s = stored[len(stored) // 2].timestamp_ms / 1000
    code, report = verify(run, "--from", dt.datetime.fromtimestamp(middle_s, dt.UTC).isoformat(), "--predictions")
    assert code == 0
    first = next(each.offset for each in stored if each.timestamp_ms >= int(middle_s * 1000))
    assert report["partitions"][0]["from_offset"] == first


@pytest.mark.parametrize(
    ("kind", "pattern", "by", "field"),
    [
        ("decisions", rb'"generation":\d', b'"generation":9', "data.generation"),
        ("predictions", rb'"probability":0\.\d', b'"probability":7.5', "probability"),
    ],
)
def test_one_changed_byte_is_found_and_placed(run: LiveRun, kind: str, pattern: bytes, by: bytes, field: str) -> None:
    (partition, at), code, report = tampered(run, kind, pattern, by)
    first = report["first"]
    assert (code, report["verdict"], report["different"], report["lost"], report["duplicated"]) == (1, "different", 1, 0, 0)
    assert (first["kind"], first["topic"]) == ("different", f"{run.pipeline.name}.{kind}")
    assert (first["partition"], first["offset"]) == (partition, at)
    assert [each["field"] for each in first["fields"]] == [field]


def test_another_pipeline_is_said_and_no_difference(run: LiveRun) -> None:
    text = run.file.read_text()
    run.file.write_text(text.replace("window_rows_max=5_000", "window_rows_max=6_000"))
    try:
        code, report = verify(run)
    finally:
        run.file.write_text(text)
    assert (code, report["verdict"], report["different"]) == (3, "impossible", 0)
    assert all("another pipeline, which differs in its window_rows_max" in each["reason"] for each in report["impossible"])


def test_a_missing_artifact_is_said_with_the_offset_from_which_on_it_is_missed(run: LiveRun) -> None:
    """Last: the artifacts do not come back."""
    [stored, *_] = [found for found in read_topic(run.settings, f"{run.pipeline.name}.decisions").values() if _joined(found)]
    joined = json.loads(_joined(stored)[0].value or b"")
    partition = int(joined["subject"].rpartition("/")[2])
    stores, id_ = connect(run.settings.redis_url), ShardId(run.pipeline.name, run.pipeline.source, partition)
    stores.artifacts.keep(id_, stores.checkpoints.claim(id_), "another", b"x", ArtifactLimits(bytes_max=1))
    code, report = verify(run)
    assert (code, report["verdict"], report["lost"], report["different"]) == (3, "impossible", 0, 0)
    [why] = [each for each in report["impossible"] if each["partition"] == partition]
    assert joined["data"]["digest"] in why["reason"]
    assert why["from_offset"] == joined["data"]["offset"]


def _joined(found: list[Stored]) -> list[Stored]:
    return [each for each in found if b"training.joined" in (each.value or b"")]


@pytest.fixture(scope="module")
def plain(services: Services, tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """A worker over two partitions with drifts and late labels, whose challengers begin untrained: nothing depends on a trainer's clock."""
    places = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
    live = LiveRun(load_settings(None, {}, places), tmp_path_factory.mktemp("plain"), services.name("plain"), 2, 2, 1.0)
    text = live.file.read_text()
    rules = text[text.index("    react=[") : text.index("    window_rows_max")]
    live.file.write_text(text.replace(rules, '    react=[On.drift("error", Challenge())],\n'))
    live.pipeline = load_pipeline(str(live.file))
    live.publisher.publish(24_000)
    with live.worker() as worker:
        live.until_committed()
        worker.terminate()
        worker.wait(30)
    return live


def test_a_replay_and_a_worker_come_to_equal_topics(plain: LiveRun) -> None:
    """What a backtest runs and what a worker does, on the same input: decisions with their headers, predictions, dead letters."""
    logs = read_topic(plain.settings, plain.pipeline.source)
    written = {kind: read_topic(plain.settings, f"{plain.pipeline.name}.{kind}") for kind in OUTPUT_KINDS}
    for partition, records in logs.items():
        steps = replay(plain.pipeline, [each.as_record() for each in records], partition=partition)
        expected = [put_of(output) for _, step in steps for output in step.outputs]
        for kind, found in written.items():
            puts = [Put(kind, each.key, each.value, tuple(each.headers.items())) for each in found[partition]]
            assert puts == [put for put in expected if put.kind == kind]
        assert sum(b"duel.ended" in (put.value or b"") for put in expected) >= 1


def test_a_backtest_and_a_worker_come_to_equal_decision_logs(plain: LiveRun) -> None:
    result = backtest(plain.pipeline, f"kafka://{plain.pipeline.source}", variants=[], settings=plain.settings, progress=False)
    events, rejected = result.summary.events, result.summary.rejected
    assert events + rejected == 24_000
    assert rejected > 100
    assert plain.told("drift.detected") >= 4
    assert plain.told("duel.lead_changed") >= 2
    for partition, found in read_topic(plain.settings, f"{plain.pipeline.name}.decisions").items():
        own = [each for each in result.decisions if (each["variant"], each["partition"]) == (plain.pipeline.name, partition)]
        assert [each | {"variant": plain.pipeline.name, "partition": partition} for each in map(_event, found)] == own != []


def _event(stored: Stored) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(stored.value or b"")
    return event
