"""The status of a worker as a fold over facts: what it shows, and when it is ready and healthy."""

from __future__ import annotations

import dataclasses
import os
import typing
from typing import Any

import msgspec
import pytest

from stream_retrain.facts.shard import DriftDetected, LeadChanged, ModelReset, Rejected, Unmatched
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    GroupSeen,
    Lagging,
    Released,
    Restored,
    Retrying,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TransactionAborted,
    WentLive,
    WindowRefilled,
    WorkerFact,
    WorkerState,
    WorkerStateChanged,
)
from stream_retrain.views.status import DECISIONS_KEPT, Status
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

RUNNING = WorkerStateChanged(state="running")
PLACE = "flights.events/3"


def told(*facts: WorkerFact) -> Status:
    status = Status("flights", "flights-0")
    for fact in facts:
        status(fact)
    return status


def shown(*facts: WorkerFact) -> dict[str, Any]:
    """The snapshot, as a client reads it."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told(*facts).snapshot()))
    return read


def shard_of(*facts: WorkerFact) -> dict[str, Any]:
    shard: dict[str, Any] = shown(*facts)["shards"][PLACE]
    return shard


def test_a_worker_that_has_just_started_shows_this() -> None:
    snapshot = shown()
    assert snapshot.pop("uptime_s") >= 0
    assert snapshot.pop("pid") == os.getpid()
    assert snapshot == {
        "pipeline": "flights",
        "instance": "flights-0",
        "state": "starting",
        "detail": "",
        "store": "unknown",
        "ready": False,
        "unowned_partitions": None,
        "transactions": {"committed": 0, "aborted": 0, "outputs": 0},
        "shards": {},
        "recent": [],
    }


def test_partitions_that_nobody_has_are_shown() -> None:
    assert shown(GroupSeen(partitions=8, unowned=2), GroupSeen(partitions=8, unowned=1))["unowned_partitions"] == 1


def test_a_shard_shows_this() -> None:
    assert shard_of(
        Assigned(shard=SHARD, offset=100, live_from=105),
        Restored(shard=SHARD, offset=100, generation=1, how="checkpoint"),
        processed(replayed=True, records=5),
        WentLive(shard=SHARD, offset=105),
        processed(EXAMPLES[Rejected], EXAMPLES[DriftDetected], EXAMPLES[ModelReset], newest_time_s=1_234.5),
        Lagging(shard=SHARD, records=40),
        observed(),
        Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.1, at_s=1_500.5),
    ) == {
        "state": "live",
        "offset": 110,
        "lag_records": 40,
        "records": 10,
        "replayed": 5,
        "predicted": 8,
        "learned": 7,
        "rejected": 1,
        "drifts": 1,
        "resets": 1,
        "generation": 2,
        "events_seen": 700,
        "pending": 5,
        "running": {"Accuracy": 0.75},
        "rolling": {"Accuracy": 0.5},
        "newest_event_time_s": 1_234.5,
        "checkpoint_offset": 110,
        "checkpoint_at_s": 1_500.5,
        "checkpoint_bytes": 2_048,
        "replay_debt": 30,
    }


def test_a_shard_that_was_just_assigned_replays_from_its_offset() -> None:
    shard = shard_of(Assigned(shard=SHARD, offset=100, live_from=105))
    assert (shard["state"], shard["offset"], shard["lag_records"], shard["newest_event_time_s"]) == ("replaying", 100, None, None)


@pytest.mark.parametrize(("kind", "generation"), [(LeadChanged, 3), (ModelReset, 3)])
def test_the_generation_is_known_as_soon_as_it_changes(kind: Any, generation: int) -> None:
    assert shard_of(observed(), processed(EXAMPLES[kind]))["generation"] == generation


def test_a_batch_without_an_event_moves_no_time() -> None:
    assert shard_of(processed(newest_time_s=5.0), processed(newest_time_s=float("-inf")))["newest_event_time_s"] == 5.0


def test_scores_that_are_no_numbers_are_null() -> None:
    assert shard_of(observed(running={"R2": float("nan")}))["running"] == {"R2": None}


@pytest.mark.parametrize("gone", [Released(shard=SHARD, how="revoked"), Released(shard=SHARD, how="lost")])
def test_a_shard_that_was_released_goes_and_the_others_stay(gone: WorkerFact) -> None:
    assert list(shown(observed(), observed(OTHER), gone)["shards"]) == ["flights.events/4"]


def test_shards_are_listed_in_order_of_partition() -> None:
    assert list(shown(observed(OTHER), observed())["shards"]) == ["flights.events/3", "flights.events/4"]


def test_transactions_are_counted() -> None:
    facts: list[WorkerFact] = [
        Committed(outputs=5, offsets={}, seconds=0.1),
        Committed(outputs=2, offsets={}, seconds=0.1),
        TransactionAborted(error="x"),
    ]
    assert shown(*facts)["transactions"] == {"committed": 2, "aborted": 1, "outputs": 7}


class TestRecent:
    def test_are_the_published_facts_in_words(self) -> None:
        assert shown(processed(EXAMPLES[Unmatched], EXAMPLES[DriftDetected], EXAMPLES[Rejected], EXAMPLES[ModelReset]))["recent"] == [
            {"partition": 3, "kind": "drift.detected", "offset": 10, "text": "ADWIN detected that error went up"},
            {"partition": 3, "kind": "model.reset", "offset": 10, "text": "the model was reset; generation 3 serves"},
        ]

    def test_those_replayed_are_shown_too(self) -> None:
        """After a restart they are what is known of the time before it."""
        assert len(shown(processed(EXAMPLES[DriftDetected], replayed=True))["recent"]) == 1

    def test_are_limited(self) -> None:
        facts = [dataclasses.replace(EXAMPLES[ModelReset], offset=offset) for offset in range(DECISIONS_KEPT + 7)]
        offsets = [decision["offset"] for decision in shown(processed(*facts))["recent"]]
        assert offsets == list(range(7, DECISIONS_KEPT + 7))


class TestReadiness:
    @pytest.mark.parametrize("state", typing.get_args(WorkerState))
    def test_needs_a_worker_that_runs(self, state: WorkerState) -> None:
        assert told(WorkerStateChanged(state=state)).ready() is (state == "running")

    def test_needs_every_shard_to_be_live(self) -> None:
        first, second = (Assigned(shard=shard, offset=0, live_from=5) for shard in (SHARD, OTHER))
        live = [WentLive(shard=shard, offset=5) for shard in (SHARD, OTHER)]
        assert not told(RUNNING, first, second, live[0]).ready()
        assert told(RUNNING, first, second, *live).ready()
        assert told(RUNNING, first, second, live[0], Released(shard=OTHER, how="revoked")).ready()

    def test_is_lost_while_it_tries_again(self) -> None:
        live: list[WorkerFact] = [Assigned(shard=SHARD, offset=0, live_from=0), WentLive(shard=SHARD, offset=0)]
        status = told(RUNNING, *live, Retrying(error="Kafka is away", wait_s=1.25))
        assert not status.ready()
        snapshot = status.snapshot()
        assert (snapshot["state"], snapshot["detail"]) == ("degraded", "Kafka is away; trying again in 1.2 s")
        assert snapshot["shards"] == {}
        status(RUNNING)
        assert (status.ready(), status.detail) == (True, "")

    def test_is_in_the_snapshot(self) -> None:
        assert shown(RUNNING)["ready"] is True


@pytest.mark.parametrize(
    ("state", "healthy"),
    [
        ("starting", True),
        ("restoring", True),
        ("running", True),
        ("degraded", True),
        ("draining", True),
        ("stopped", False),
        ("failed", False),
    ],
)
def test_a_restart_would_help_only_a_worker_that_ended(state: WorkerState, healthy: bool) -> None:
    assert told(WorkerStateChanged(state=state)).healthy() is healthy


def test_every_state_is_healthy_or_not() -> None:
    assert {"starting", "restoring", "running", "degraded", "draining", "stopped", "failed"} == set(typing.get_args(WorkerState))


class TestStore:
    def test_says_whether_it_answers(self) -> None:
        lost = told(RUNNING, StoreLost(error="Redis is full"))
        assert (lost.store, lost.detail) == ("away", "Redis is full")
        assert lost.ready(), "the shards go on without it"
        lost(StoreRegained(away_s=3.0))
        assert lost.store == "answers"

    @pytest.mark.parametrize(
        "fact",
        [CheckpointFailed(shard=SHARD, error="it failed"), WindowRefilled(shard=SHARD, error="it failed")],
        ids=lambda fact: type(fact).__name__,
    )
    def test_what_went_wrong_is_the_detail(self, fact: WorkerFact) -> None:
        status = told(Restored(shard=SHARD, offset=1, generation=1, how="checkpoint"), RUNNING, fact)
        assert (status.store, status.detail, status.state) == ("answers", "it failed", "running")


def test_what_a_trainer_tells_changes_nothing() -> None:
    told_ = TrainerTold(shard=SHARD, training=1, rows=200, rows_total=None)
    before, after = shown(observed()), shown(observed(), told_)
    assert {**before, "uptime_s": 0} == {**after, "uptime_s": 0}
