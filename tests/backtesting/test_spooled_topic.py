"""A challenger that learns the whole topic anew learns in a backtest what the source had when it was asked for, and nothing later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_retrain import Evidence, On, Retrain, TopicRange, Window
from stream_retrain.backtesting.job import Job as BacktestJob
from stream_retrain.backtesting.job import JobDone, run_job
from stream_retrain.backtesting.recording import RecordingLimits
from stream_retrain.backtesting.spooled_topic import SpooledTopic
from stream_retrain.backtesting.variants import Variant
from stream_retrain.core.contest.training import Training
from stream_retrain.engines.trainer import Job
from stream_retrain.errors import TrainingError
from stream_retrain.facts.values import Learned, ShardId
from tests.backtesting.support import Log, decisions_of, drifting, log_of, retrains, spooled
from tests.core import streams

COUNT = 1_200


def topic_of(log: Log, folder: Path) -> SpooledTopic:
    return SpooledTopic(spooled(log, folder).partitions, 1_000_000)


def job(partition: int, through_offset: int) -> Job:
    training = Training(number=0, rule=0, challenger=0, through_offset=through_offset, time_s=0.0, events_seen=1, cause="drift:error")
    return Job(shard=ShardId("test", "events", partition), epoch=1, training=training)


def read(topic: SpooledTopic, asked: Job, **span: Any) -> list[Learned]:
    return list(topic(retrains(), asked, TopicRange(topic="events", **span)))


def test_it_has_the_events_of_all_partitions_until_the_training_was_asked_for_in_the_order_of_the_source(tmp_path: Path) -> None:
    events = streams.events(streams.rows(COUNT))
    rows = read(topic_of(log_of(events, 3), tmp_path), job(1, 99))
    assert [(row.x, row.y) for row in rows] == [(event.x, event.y) for event in events[: 3 * 99 + 2]]


def test_questions_are_joined_with_the_answers_that_had_come(tmp_path: Path) -> None:
    events = list(streams.questions_and_answers(streams.rows(400), 30))
    rows = read(topic_of(log_of(events), tmp_path), job(0, 299))
    answers = [event for event in events[:300] if event.x is None]
    assert [row.offset for row in rows] == [event.offset for event in answers]
    asked = {event.id: event.x for event in events if event.x is not None}
    assert [(row.x, row.y) for row in rows] == [(asked[event.id], event.y) for event in answers]


def test_a_range_of_time_is_kept(tmp_path: Path) -> None:
    topic = topic_of(drifting(COUNT, 600, 2), tmp_path)
    rows = read(topic, job(0, 500), from_time_s=100.0, to_time_s=200.0)
    assert sorted(row.time_s for row in rows) == [float(second) for second in range(100, 200)]


def test_another_topic_is_not_there(tmp_path: Path) -> None:
    topic = topic_of(drifting(100, 50), tmp_path)
    with pytest.raises(TrainingError, match="topic 'others' is another"):
        list(topic(retrains(), job(0, 10), TopicRange(topic="others")))


def ran(log: Log, folder: Path, *, topic: bool) -> JobDone:
    react = [On.drift("error", Retrain(window=Window(topic=TopicRange(topic="events")), evidence=Evidence(events_max=300)))]
    spool = spooled(log, folder)
    asked = BacktestJob(
        number=0,
        partition=spool.partitions[0],
        variants=(0,),
        interval_records=100,
        joins_after_events=50,
        record_bytes_max=1_000_000,
        limits=RecordingLimits.of(1),
        topic=spool.partitions if topic else (),
        decisions=folder,
    )
    return run_job(asked, [Variant(name="own", pipeline=retrains(react=react))], lambda _: None, lambda: False)


def test_a_full_retrain_joins_with_what_there_was(tmp_path: Path) -> None:
    ran(drifting(COUNT, 600, 2), tmp_path, topic=True)
    [requested, joined] = [
        next(event["data"] for event in decisions_of(tmp_path / "own.0.jsonl") if event["type"] == f"io.streamretrain.training.{kind}.v1")
        for kind in ("requested", "joined")
    ]
    caught_up = 50
    assert joined["lessons"] == 2 * requested["offset"] + 1 + caught_up, "of two partitions in turn, then of its own window"
    assert joined["offset"] == requested["offset"] + caught_up + 1


def test_without_the_topic_the_training_fails_and_that_is_told(tmp_path: Path) -> None:
    done = ran(drifting(COUNT, 600), tmp_path, topic=False)
    [failed, *_] = [mark for mark in done.recordings[0].marks if mark.kind == "training_failed"]
    assert "reads no topics" in failed.text
