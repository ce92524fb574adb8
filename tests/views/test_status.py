"""The status of a worker as a fold over facts: what it shows, and when it is ready and healthy."""

from __future__ import annotations

import dataclasses
import os
import time
import typing
from typing import Any

import msgspec
import pytest

from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.request import Asked
from stream_retrain.facts.scheduled import ScheduleMissed, ScheduleSeen
from stream_retrain.facts.shard import (
    ChallengerJoined,
    ChallengerWaits,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    ModelPromoted,
    ModelReset,
    Rejected,
    TrainingFailed,
    TrainingRequested,
    Unmatched,
)
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    GroupSeen,
    LabelsRelayed,
    Lagging,
    RelayChanged,
    Released,
    Restored,
    Retrying,
    ShardHeld,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TrainingWaits,
    TransactionAborted,
    WentLive,
    WindowRefilled,
    WorkerFact,
    WorkerState,
    WorkerStateChanged,
)
from stream_retrain.stores.worker_status import due_text, status_of
from stream_retrain.views.history import History
from stream_retrain.views.status import DECISIONS_KEPT, Status
from tests.facts.examples import EXAMPLES
from tests.views.support import DUEL, OTHER, SHARD, observed, processed

RUNNING = WorkerStateChanged(state="running")
PLACE = "flights.events/3"


def opened(shard: ShardId = SHARD) -> Assigned:
    return Assigned(shard=shard, offset=100, live_from=100)


def told(*facts: WorkerFact) -> Status:
    status = Status("flights", "flights-0", metrics=[("Accuracy", True)], version="1.2", models="compiled")
    for fact in facts:
        status(fact)
    return status


def shown(*facts: WorkerFact) -> dict[str, Any]:
    """The snapshot, as a client reads it."""
    read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told(*facts).snapshot()))
    return read


def shard_of(*facts: WorkerFact) -> dict[str, Any]:
    """How the shard stands after it was opened, and this happened."""
    shard: dict[str, Any] = shown(opened(), *facts)["shards"][PLACE]
    return shard


def without_clock(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in snapshot.items() if name not in ("uptime_s", "at_s", "state_since_s", "pid")}


def test_a_relay_of_labels_is_shown_with_what_it_has_done() -> None:
    relayed = LabelsRelayed(relayed=40, rejected={"schema": 2}, waiting=3, questions=900, lag_records=5)
    seen = shown(RelayChanged(state="running", detail="go"), relayed, relayed, RelayChanged(state="degraded", detail="away"))
    counts = {"relayed": 80, "rejected": 4, "waiting": 3, "questions": 900, "lag_records": 5}
    assert seen["label_relay"] == {"state": "degraded", "detail": "away", **counts}
    assert seen["state"] == "starting", "its trouble is not the worker's"


def test_the_topic_of_requests_is_shown_with_what_came_of_it() -> None:
    read = RequestsRead(taken=3, refused={"signature": 2, "request": 1}, lag_records=5)
    seen = shown(read, read, RequestTopicChanged(state="degraded", detail="away"))
    assert seen["request_topic"] == {"state": "degraded", "detail": "away", "taken": 6, "refused": 6, "lag_records": 5}
    assert seen["state"] == "starting", "its trouble is not the worker's"


def test_a_worker_that_has_just_started_shows_this() -> None:
    snapshot = shown()
    assert snapshot["uptime_s"] >= 0
    assert abs(snapshot["at_s"] - time.time()) < 10
    assert snapshot["pid"] == os.getpid()
    assert without_clock(snapshot) == {
        "pipeline": "flights",
        "instance": "flights-0",
        "version": "1.2",
        "models": "compiled",
        "state": "starting",
        "detail": "",
        "store": "unknown",
        "ready": False,
        "missing": ["assigned: it has not been given its partitions", "committing: the worker is starting"],
        "partitions": None,
        "unowned_partitions": None,
        "restarts": 0,
        "transactions": {"committed": 0, "aborted": 0, "outputs": 0},
        "commit_age_s": None,
        "checkpoint_age_s": None,
        "metrics": [{"name": "Accuracy", "bigger_is_better": True}],
        "versions_told": 0,
        "label_relay": None,
        "callbacks": None,
        "request_topic": None,
        "shards": {},
        "recent": [],
    }


def test_partitions_that_nobody_has_are_shown() -> None:
    seen = shown(GroupSeen(partitions=8, unowned=2), GroupSeen(partitions=8, unowned=1))
    assert (seen["partitions"], seen["unowned_partitions"]) == (8, 1)


def test_a_shard_shows_this() -> None:
    now_s = time.time()
    shard = shard_of(
        Restored(shard=SHARD, offset=100, generation=1, how="checkpoint"),
        processed(replayed=True, records=5),
        WentLive(shard=SHARD, offset=105),
        processed(EXAMPLES[Rejected], EXAMPLES[Unmatched], EXAMPLES[ModelReset], newest_time_s=1_234.5, stamped_s=now_s - 20),
        Lagging(shard=SHARD, records=40),
        observed(duel=None),
        Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.1, at_s=now_s - 30),
    )
    assert shard.pop("lag_s") == pytest.approx(20, abs=5)
    assert shard.pop("checkpoint_age_s") == pytest.approx(30, abs=5)
    assert shard.pop("checkpoint_at_s") == now_s - 30
    assert 0 <= shard.pop("uncommitted_s") < 5
    assert shard == {
        "state": "live",
        "offset": 110,
        "lag_records": 40,
        "records": 10,
        "replayed": 5,
        "predicted": 8,
        "learned": 7,
        "rejected": 1,
        "drifts": 0,
        "resets": 1,
        "promotions": 0,
        "rollbacks": 0,
        "paused_by": None,
        "schedules": [],
        "dead_letters": {"schema": 1},
        "unmatched": {"no_question": 1},
        "labels": {"joined": 90, "unjoined": 10, "expired": 3, "early": 2, "join_rate": 0.9, "delay_s": {"p50": 10.0, "p99": 59.0}},
        "generation": 2,
        "events_seen": 700,
        "pending": 5,
        "running": {"Accuracy": 0.75},
        "rolling": {"Accuracy": 0.5},
        "newest_event_time_s": 1_234.5,
        "committed_at_s": None,
        "commit_age_s": None,
        "uncommitted_records": 10,
        "checkpoint_offset": 110,
        "checkpoint_bytes": 2_048,
        "replay_debt": 30,
        "watches": [
            {
                "signal": "error",
                "detector": "ADWIN",
                "statistic": None,
                "threshold": None,
                "estimate": 0.25,
                "width": 64,
                "warning": True,
                "drifts": 0,
                "last_drift_at_s": None,
            },
            {
                "signal": "feature:a",
                "detector": "PageHinkley",
                "statistic": 12.0,
                "threshold": 50.0,
                "estimate": None,
                "width": None,
                "warning": False,
                "drifts": 0,
                "last_drift_at_s": None,
            },
        ],
        "duel": None,
        "last_duel": None,
        "training": None,
        "window": {"rows": 400, "waiting_rows": 20, "oldest_time_s": 900.0},
        "members": {"tree": 0.25, "linear": 0.75},
        "leader": "linear",
        "member_restarts": {"tree": 1, "linear": 0},
        "memory": {"model_bytes": 48_000_000, "shard_bytes": 52_000_000, "model_bytes_max": 64_000_000, "shard_bytes_max": 90_000_000},
        "keys": {
            "hot": 1_000,
            "cold": 99_000,
            "hot_bytes": 5_000_000,
            "cold_bytes": 80_000_000,
            "put_away": 120_000,
            "taken_back": 21_000,
            "dropped": 7,
            "shared_answers": 400,
        },
    }


def test_a_shard_without_lag_is_not_late() -> None:
    assert shard_of(processed(), Lagging(shard=SHARD, records=0))["lag_s"] == 0
    assert shard_of(processed(stamped_s=float("nan")), Lagging(shard=SHARD, records=3))["lag_s"] is None


def test_what_is_committed_waits_no_more() -> None:
    commit = Committed(outputs=10, offsets={SHARD: 110}, seconds=0.1)
    shard = shard_of(processed(), commit)
    assert (shard["uncommitted_records"], shard["uncommitted_s"]) == (0, 0)
    assert 0 <= shard["commit_age_s"] < 5
    assert shard_of(processed(), commit, processed(records=3))["uncommitted_records"] == 3
    assert shard_of(processed(), Committed(outputs=1, offsets={OTHER: 5}, seconds=0.1))["uncommitted_records"] == 10
    assert shard_of(processed(replayed=True))["uncommitted_records"] == 0, "a replay puts nothing out"


def test_a_watch_counts_its_own_drifts() -> None:
    shard = shard_of(observed(), processed(EXAMPLES[DriftDetected]), processed(EXAMPLES[DriftDetected]))
    error, feature = shard["watches"]
    assert (error["drifts"], feature["drifts"], shard["drifts"]) == (2, 0, 2)
    assert error["last_drift_at_s"] == pytest.approx(time.time(), abs=5)
    again = shard_of(observed(), processed(EXAMPLES[DriftDetected], replayed=True))["watches"][0]
    assert (again["drifts"], again["last_drift_at_s"]) == (0, None), "nobody noted when that was"


class TestADuel:
    def test_in_progress_shows_its_contestants_and_the_line_they_must_reach(self) -> None:
        duel = shard_of(processed(EXAMPLES[DuelStarted]), observed())["duel"]
        assert (duel["number"], duel["leader"], duel["events"], duel["passes_at"]) == (1, "champion", 300, 10.0)
        assert (duel["cause"], duel["loss"]) == (EXAMPLES[DuelStarted].cause, EXAMPLES[DuelStarted].loss)
        assert duel["started_at_s"] == pytest.approx(time.time(), abs=5)
        assert duel["contestants"][1] == {"name": "fresh", "loss_mean": 0.25, "events": 300, "e_value": 8.0, "e_value_against": 0.125}

    def test_has_another_leader_as_soon_as_it_changes(self) -> None:
        lead = dataclasses.replace(EXAMPLES[LeadChanged], now="fresh", duel=1)
        assert shard_of(observed(), processed(lead))["duel"]["leader"] == "fresh"

    def test_is_over_when_it_ended_and_its_result_stays(self) -> None:
        ended = dataclasses.replace(EXAMPLES[DuelEnded], result="promoted", winner="fresh")
        shard = shard_of(observed(), processed(ended))
        assert (shard["duel"], shard["last_duel"]["result"], shard["last_duel"]["winner"]) == (None, "promoted", "fresh")
        assert shard["promotions"] == 1

    def test_whose_evidence_is_without_end_can_be_told_in_json(self) -> None:
        sure = DUEL.contestants[1]
        duel = DUEL._replace(contestants=(DUEL.contestants[0], dataclasses.replace(sure, e_value=float("inf"))))
        assert shard_of(observed(duel=duel))["duel"]["contestants"][1]["e_value"] == 1e9


class TestATraining:
    def test_under_way_shows_how_far_it_is(self) -> None:
        asked = EXAMPLES[TrainingRequested]
        progress = TrainerTold(shard=SHARD, training=asked.training, rows=200, rows_total=500)
        training = shard_of(processed(asked), progress, observed(training=asked.training))["training"]
        assert (training["state"], training["rows"], training["rows_total"]) == ("under way", 200, 500)
        assert (training["challenger"], training["cause"]) == (asked.challenger, asked.cause)

    def test_that_nobody_takes_says_so_until_somebody_does(self) -> None:
        asked, waits = EXAMPLES[TrainingRequested], TrainingWaits(shard=SHARD, training=5, waited_s=60.0, trainers=0)
        training = shard_of(processed(asked), waits)["training"]
        assert (training["number"], training["state"], training["waits_for_trainer_s"], training["trainers"]) == (5, "under way", 60.0, 0)
        taken = shard_of(processed(asked), waits, TrainerTold(shard=SHARD, training=5, rows=200, rows_total=None))["training"]
        assert (taken["rows"], taken["waits_for_trainer_s"]) == (200, None)

    def test_that_a_restart_finds_under_way_is_known_by_its_number(self) -> None:
        training = shard_of(observed(training=9))["training"]
        assert (training["number"], training["state"], training["challenger"]) == (9, "under way", None)

    @pytest.mark.parametrize(
        ("kind", "state"), [(ChallengerJoined, "joined"), (ChallengerWaits, "waits"), (TrainingFailed, "failed"), (None, "dropped")]
    )
    def test_that_is_over_is_shown_as_the_last_one(self, kind: Any, state: str) -> None:
        asked = EXAMPLES[TrainingRequested]
        ends = [processed(EXAMPLES[kind])] if kind is not None else []
        training = shard_of(processed(asked), observed(training=asked.training), *ends, observed(training=None))["training"]
        assert training["state"] == state
        assert training["ended_at_s"] == pytest.approx(time.time(), abs=5)
        assert (training["error"] is not None) == (state == "failed")

    def test_that_failed_shows_nothing_a_record_may_have_brought(self) -> None:
        failed = dataclasses.replace(EXAMPLES[TrainingFailed], error="the model raised ValueError: the-payload")  # type: ignore[arg-type]
        status, history = Status("flights", "a"), History()
        for fact in (opened(), processed(EXAMPLES[TrainingRequested]), processed(failed)):
            status(fact)
            history(fact)
        shown = msgspec.json.encode([status.snapshot(), history.snapshot()]).decode()
        assert "the model raised ValueError" in shown
        assert "the-payload" not in shown


def test_a_shard_that_was_just_assigned_replays_from_its_offset() -> None:
    shard = shard_of()
    assert (shard["state"], shard["offset"], shard["lag_records"], shard["newest_event_time_s"]) == ("replaying", 100, None, None)


@pytest.mark.parametrize(("kind", "generation"), [(LeadChanged, 3), (ModelReset, 3)])
def test_the_generation_is_known_as_soon_as_it_changes(kind: Any, generation: int) -> None:
    assert shard_of(observed(), processed(EXAMPLES[kind]))["generation"] == generation


def test_a_batch_without_an_event_moves_no_time() -> None:
    assert shard_of(processed(newest_time_s=5.0), processed(newest_time_s=float("-inf")))["newest_event_time_s"] == 5.0


def test_before_the_first_label_there_is_no_score() -> None:
    shard = shard_of(observed(events_seen=0, running={"Accuracy": 0.0}, rolling={"Accuracy": 0.0}))
    assert (shard["running"], shard["rolling"]) == ({"Accuracy": None}, {"Accuracy": None})


def test_scores_that_are_no_numbers_are_null() -> None:
    assert shard_of(observed(running={"R2": float("nan")}))["running"] == {"R2": None}


@pytest.mark.parametrize("gone", [Released(shard=SHARD, how="revoked"), Released(shard=SHARD, how="lost")])
def test_a_shard_that_was_released_goes_and_the_others_stay(gone: WorkerFact) -> None:
    both = [opened(), observed(), opened(OTHER), observed(OTHER)]
    assert list(shown(*both, gone)["shards"]) == ["flights.events/4"]


@pytest.mark.parametrize(
    "gone",
    [
        Released(shard=SHARD, how="lost"),
        Retrying(error="Kafka is away", wait_s=1.0),
        WorkerStateChanged(state="stopped"),
        WorkerStateChanged(state="failed"),
    ],
    ids=lambda fact: type(fact).__name__,
)
@pytest.mark.parametrize(
    "late",
    [
        processed(),
        observed(),
        Lagging(shard=SHARD, records=4),
        WentLive(shard=SHARD, offset=5),
        Checkpointed(shard=SHARD, offset=5, bytes=1, seconds=0.1, at_s=1.0),
        TrainerTold(shard=SHARD, training=1, rows=200, rows_total=None),
        TrainingWaits(shard=SHARD, training=1, waited_s=40.0, trainers=1),
        Committed(outputs=1, offsets={SHARD: 5}, seconds=0.1),
        CheckpointFailed(shard=SHARD, error="too late"),
        WindowRefilled(shard=SHARD, error="too late"),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_what_is_told_of_a_shard_that_is_gone_does_not_bring_it_back(gone: WorkerFact, late: WorkerFact) -> None:
    assert shown(opened(), observed(), gone, late)["shards"] == {}


def test_shards_are_listed_in_order_of_partition() -> None:
    assert list(shown(opened(OTHER), opened())["shards"]) == ["flights.events/3", "flights.events/4"]


def test_transactions_are_counted() -> None:
    facts: list[WorkerFact] = [
        Committed(outputs=5, offsets={}, seconds=0.1),
        Committed(outputs=2, offsets={}, seconds=0.1),
        TransactionAborted(error="x"),
    ]
    assert shown(*facts)["transactions"] == {"committed": 2, "aborted": 1, "outputs": 7}


class TestRecent:
    def test_are_the_published_facts_in_words(self) -> None:
        batch = processed(EXAMPLES[Unmatched], EXAMPLES[DriftDetected], EXAMPLES[Rejected], EXAMPLES[ModelReset])
        recent = shown(opened(), batch)["recent"]
        assert all(abs(decision.pop("at_s") - time.time()) < 5 for decision in recent)
        assert recent == [
            {
                "number": 1,
                "partition": 3,
                "kind": "drift.detected",
                "offset": 10,
                "text": "ADWIN detected that error went up",
                "times": 1,
                "signal": "error",
            },
            {
                "number": 2,
                "partition": 3,
                "kind": "model.reset",
                "offset": 10,
                "text": "the model was reset; generation 3 serves",
                "times": 1,
            },
        ]

    def test_those_replayed_are_shown_too(self) -> None:
        """After a restart they are what is known of the time before it."""
        [decision] = shown(opened(), processed(EXAMPLES[DriftDetected], replayed=True))["recent"]
        assert decision["at_s"] is None, "nobody noted when that was"

    def test_a_drift_that_comes_again_and_again_is_told_once_and_counted(self) -> None:
        season = dataclasses.replace(EXAMPLES[DriftDetected], signal="feature:month")
        others = [opened(OTHER), processed(season, shard=OTHER)]
        recent = shown(opened(), processed(EXAMPLES[ModelReset], season), *others, *[processed(season, season)] * 60)["recent"]
        assert [(each["partition"], each["kind"], each["times"]) for each in recent] == [
            *((3, "model.reset", 1), (4, "drift.detected", 1), (3, "drift.detected", 121)),
        ]
        assert recent[-1]["number"] == 123

    def test_are_limited(self) -> None:
        facts = [dataclasses.replace(EXAMPLES[ModelReset], offset=offset) for offset in range(DECISIONS_KEPT + 7)]
        offsets = [decision["offset"] for decision in shown(opened(), processed(*facts))["recent"]]
        assert offsets == list(range(7, DECISIONS_KEPT + 7))


class TestReadiness:
    @pytest.mark.parametrize("state", typing.get_args(WorkerState))
    def test_needs_a_worker_that_runs(self, state: WorkerState) -> None:
        assert told(WorkerStateChanged(state=state)).readiness().ok is (state == "running")

    def test_needs_every_shard_to_be_live(self) -> None:
        first, second = (Assigned(shard=shard, offset=0, live_from=5) for shard in (SHARD, OTHER))
        live = [WentLive(shard=shard, offset=5) for shard in (SHARD, OTHER)]
        assert not told(RUNNING, first, second, live[0]).readiness().ok
        assert told(RUNNING, first, second, *live).readiness().ok
        assert told(RUNNING, first, second, live[0], Released(shard=OTHER, how="revoked")).readiness().ok

    def test_is_lost_while_it_tries_again(self) -> None:
        live: list[WorkerFact] = [Assigned(shard=SHARD, offset=0, live_from=0), WentLive(shard=SHARD, offset=0)]
        status = told(RUNNING, *live, Retrying(error="Kafka is away", wait_s=1.25))
        assert not status.readiness().ok
        snapshot = status.snapshot()
        assert (snapshot["state"], snapshot["detail"]) == ("degraded", "Kafka is away; trying again in 1.2 s")
        assert snapshot["shards"] == {}
        status(RUNNING)
        assert (status.readiness().ok, status.detail) == (True, "")

    def test_is_in_the_snapshot(self) -> None:
        assert (shown(RUNNING)["ready"], shown(RUNNING)["missing"]) == (True, [])

    @pytest.mark.parametrize(
        ("facts", "missing", "assigned", "restored", "committing"),
        [
            ([], ["assigned", "committing"], False, False, False),
            ([WorkerStateChanged(state="restoring")], ["assigned", "committing"], False, False, False),
            ([opened(), RUNNING], ["restored"], True, False, True),
            ([opened(), WentLive(shard=SHARD, offset=100), RUNNING], [], True, True, True),
            ([opened(), WentLive(shard=SHARD, offset=100), WorkerStateChanged(state="degraded")], ["committing"], True, True, False),
            ([RUNNING, Retrying(error="Kafka is away", wait_s=1.0)], ["assigned", "committing"], False, False, False),
            ([RUNNING], [], True, True, True),
        ],
        ids=["starting", "joining", "replaying", "at work", "Kafka is away", "tries again", "no partition left for it"],
    )
    def test_says_which_of_three_is_missing(
        self, facts: list[WorkerFact], missing: list[str], assigned: bool, restored: bool, committing: bool
    ) -> None:
        found = told(*facts).readiness()
        assert [each.partition(":")[0] for each in found.missing] == missing
        assert (found.assigned, found.restored, found.committing, found.ok) == (assigned, restored, committing, not missing)

    def test_needs_commits_within_the_time_allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now_s = 1_000.0
        monkeypatch.setattr("stream_retrain.views.shard_status.time.monotonic", lambda: now_s)
        status = told(opened(), WentLive(shard=SHARD, offset=100), RUNNING)
        now_s += 500
        assert status.readiness().ok, "nothing waits, so nothing has to be committed"
        status(processed())
        now_s += 29
        status(processed())
        assert status.readiness().ok
        now_s += 2
        assert status.readiness().missing == ("committing: records have waited for 31 s; 30 s are allowed",)
        status(Committed(outputs=1, offsets={SHARD: 120}, seconds=0.1))
        assert status.readiness().ok


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
        assert lost.readiness().ok, "the shards go on without it"
        lost(StoreRegained(away_s=3.0))
        assert (lost.store, lost.detail) == ("answers", RUNNING.detail), "what is over is not told as if it were not"

    def test_is_well_again_with_the_next_checkpoint(self) -> None:
        again = Checkpointed(shard=SHARD, offset=1, bytes=1, seconds=0.1, at_s=1.0)
        status = told(opened(), RUNNING, CheckpointFailed(shard=SHARD, error="it failed"), again)
        assert (status.store, status.detail) == ("answers", RUNNING.detail)

    @pytest.mark.parametrize(
        "fact",
        [CheckpointFailed(shard=SHARD, error="it failed"), WindowRefilled(shard=SHARD, error="it failed")],
        ids=lambda fact: type(fact).__name__,
    )
    def test_what_went_wrong_is_the_detail(self, fact: WorkerFact) -> None:
        status = told(Restored(shard=SHARD, offset=1, generation=1, how="checkpoint"), RUNNING, fact)
        assert (status.store, status.detail, status.state) == ("answers", "it failed", "running")


def test_who_had_it_paused_is_shown_and_it_is_ready_all_the_same() -> None:
    who = Asked(token="t", do="pause", reason="the source is broken", by="cli:ann")
    live = (RUNNING, Assigned(shard=SHARD, offset=100, live_from=100), WentLive(shard=SHARD, offset=100))
    status = told(*live, dataclasses.replace(observed(), paused=True, held=who), ShardHeld(shard=SHARD, offset=110, asked=who))
    [shard] = status.snapshot()["shards"].values()
    assert (shard["state"], shard["paused_by"]) == ("paused", {"by": "cli:ann", "reason": "the source is broken", "token": "t"})
    assert status.readiness().ok
    assert status.readiness().detail()["paused"] == (3,)
    [shard] = told(*live, dataclasses.replace(observed(), paused=True)).snapshot()["shards"].values()
    assert (shard["state"], shard["paused_by"]) == ("paused", None), "too many records were refused"


def test_what_is_due_next_is_shown_and_what_was_missed_changes_nothing() -> None:
    live = (RUNNING, Assigned(shard=SHARD, offset=100, live_from=100), WentLive(shard=SHARD, offset=100))
    later, sooner = (ScheduleSeen(rule=rule, schedule=f"cron:0 {rule} * * * UTC", at_s=1e9 - rule) for rule in (1, 2))
    missed = ScheduleMissed(shard=SHARD, rule=1, schedule=later.schedule, count=1, late_s=1.0)
    shown = told(*live, dataclasses.replace(observed(), schedules=(later, sooner)), missed).snapshot()
    [shard] = shown["shards"].values()
    assert shard["schedules"][0] == {"rule": 1, "schedule": "cron:0 1 * * * UTC", "at_s": 1e9 - 1}
    assert due_text(shard["schedules"]) == "rule 2 (cron:0 2 * * * UTC) is due next at 2001-09-09T01:46:38+00:00"
    [brief] = status_of(shown).shards
    assert brief.due == due_text(shard["schedules"])


def test_versions_that_somebody_had_promoted_are_counted_and_serve() -> None:
    promoted = EXAMPLES[ModelPromoted]
    assert isinstance(promoted, ModelPromoted)
    back = dataclasses.replace(promoted, how="rollback", generation=5)
    shard = shard_of(processed(promoted, back))
    assert (shard["promotions"], shard["rollbacks"], shard["generation"]) == (1, 1, 5)


def test_it_counts_what_is_new_of_versions_so_that_a_page_knows_when_to_ask_for_them() -> None:
    facts = [VersionsKnown(shard=SHARD, versions=(), news=news) for news in (True, False, True)]
    assert [shown(*facts[:count])["versions_told"] for count in range(4)] == [0, 1, 1, 2]
