"""Metrics as a fold over facts, read through the exposition that Prometheus would scrape."""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from stream_retrain.facts.callbacks import HandlerTold
from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyKept
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.observation import Reading, Standing
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.request import Asked
from stream_retrain.facts.shard import (
    SHARD_FACTS,
    DriftDetected,
    LeadChanged,
    MemberRestarted,
    ModelReset,
    Rejected,
    ShardFact,
    TrainingRequested,
)
from stream_retrain.facts.telling import counted_labels
from stream_retrain.facts.worker import (
    Assigned,
    CallbacksChanged,
    CallbacksTold,
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
from stream_retrain.views import metrics as metrics_module
from stream_retrain.views.catalogue import CATALOGUE, OF_THE_PARENT, PREFIX, Family
from stream_retrain.views.histogram import Histogram
from stream_retrain.views.metrics import STAGES, Metrics, PipelineLabels
from stream_retrain.views.standing import NAMES_MAX
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

LABELS = PipelineLabels(
    name="flights",
    task="binary",
    topic="flights.events",
    model="LogisticRegression",
    watches=(("ADWIN", "error"),),
    handlers=("webhook:ops",),
    reactions=("Challenge",),
    metrics=(("Accuracy", True), ("LogLoss", False)),
)
PLACE = {"topic": "flights.events", "partition": "3"}
WORKERS = [family for family in CATALOGUE if family.name not in OF_THE_PARENT]
"""The families of a worker."""
Key = tuple[str, tuple[tuple[str, str], ...]]


def told(*facts: WorkerFact) -> Metrics:
    metrics = Metrics(LABELS, "1.2.3")
    for fact in facts:
        metrics(fact)
    return metrics


def exposition(metrics: Metrics) -> str:
    content_type, body = metrics.render("")
    assert content_type.startswith("text/plain")
    return body.decode()


def samples(metrics: Metrics) -> dict[Key, float]:
    """Every sample by name, without the prefix, and its labels without the pipeline's."""
    found: dict[Key, float] = {}
    for family in text_string_to_metric_families(exposition(metrics)):
        if family.name.startswith("process_"):
            continue  # prometheus_client's own
        for sample in family.samples:
            labels = {**sample.labels}
            assert labels.pop("pipeline", "flights") == "flights"
            key = key_of(sample.name.removeprefix(PREFIX), **labels)
            assert key not in found, "a label set is exposed once"
            found[key] = sample.value
    return found


def key_of(name: str, **labels: str) -> Key:
    return name, tuple(sorted(labels.items()))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get(key_of(name, **labels))


def raised(before: Metrics, after: Metrics) -> dict[Key, float]:
    """The counters that rose, and by how much; one that was not there began at 0."""
    old = samples(before)
    counters = {key: now for key, now in samples(after).items() if key[0].endswith("_total") and not key[0].startswith("scrape")}
    return {key: now - old.get(key, 0.0) for key, now in counters.items() if now != old.get(key, 0.0)}


def exposed_name(family: Family) -> str:
    """As the parser of the text format names a family: a counter without its ending."""
    return family.exposed.removesuffix("_total")


def lines(metrics: Metrics, family: str) -> list[str]:
    """The lines of a family, comments included."""
    return [line for line in exposition(metrics).splitlines() if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(family)]


HOOK = HandlerTold(name="webhook:ops", called=5, failed=3, retried=2, dead=1, seconds=(0.2, 40.0), waiting=4, error="it answered 500")
CALLED = CallbacksTold(handlers=(HOOK,), lag_records=6)
READ = RequestsRead(taken=3, refused={"signature": 2, "request": 1}, lag_records=5)
RELAYED = LabelsRelayed(relayed=40, rejected={"schema": 2}, waiting=3, questions=900, lag_records=5)
EVERYTHING: tuple[WorkerFact, ...] = (
    Assigned(shard=SHARD, offset=100, live_from=105),
    Restored(shard=SHARD, offset=100, generation=1, how="checkpoint"),
    Lagging(shard=SHARD, records=40),
    processed(*EXAMPLES.values()),
    observed(),
    GroupSeen(partitions=8, unowned=1),
    MemoryHigh(resident_bytes=90_000_000, bytes_max=100_000_000),
    TrainerTold(shard=SHARD, training=5, rows=200, rows_total=None),
    TrainerTold(shard=SHARD, training=5, rows=900, rows_total=900, caught_up_s=0.1, seconds=3.0),
    RelayChanged(state="running"),
    CallbacksChanged(state="running"),
    CALLED,
    RELAYED,
    RequestTopicChanged(state="running"),
    READ,
    Committed(outputs=9, offsets={SHARD: 110}, seconds=0.03),
    Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.002, at_s=1_500.5),
    CopyKept(shard=SHARD, version="0-g1", bytes=1_024),
    CopiesDropped(shard=SHARD, copies=2, bytes=2_048),
    CopiesWait(shard=SHARD, waiting=3, error="it is full"),
)


class TestExposition:
    def test_has_every_family_of_the_catalogue_with_its_kind_and_labels(self) -> None:
        families = {family.name: family for family in text_string_to_metric_families(exposition(told(*EVERYTHING)))}
        for declared in WORKERS:
            family = families.pop(exposed_name(declared))
            kind = "gauge" if declared.kind == "info" else declared.kind
            assert (family.type, family.documentation) == (kind, declared.meaning)
            assert family.samples, declared.name
            for sample in family.samples:
                assert sample.name.startswith(declared.exposed)
                assert sample.labels.keys() - {"le"} == set(declared.every_label)
        assert all(name.startswith("process_") for name in families), "and no others, but those of the process"
        assert {"process_resident_memory_bytes", "process_cpu_seconds"} <= families.keys()

    def test_has_every_family_before_anything_happened(self) -> None:
        names = {family.name for family in text_string_to_metric_families(exposition(told()))}
        assert names >= {exposed_name(declared) for declared in WORKERS}

    @pytest.mark.parametrize("facts", [(), EVERYTHING], ids=["at the start", "after everything"])
    def test_is_open_metrics_too_where_that_is_asked_for(self, facts: Iterable[WorkerFact]) -> None:
        content_type, body = told(*facts).render("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        families = {family.name for family in open_metrics_families(body.decode())}
        assert families >= {PREFIX + declared.name for declared in WORKERS}

    def test_has_static_facts_for_joins(self) -> None:
        assert lines(told(), "stream_retrain_pipeline_info")[2:] == [
            'stream_retrain_pipeline_info{model="LogisticRegression",pipeline="flights",task="binary",topic="flights.events"} 1.0'
        ]
        assert 'version="1.2.3"' in lines(told(), "stream_retrain_build_info")[2]

    def test_of_dead_letters(self) -> None:
        assert lines(told(processed(EXAMPLES[Rejected])), "stream_retrain_dead_letters") == [
            "# HELP stream_retrain_dead_letters_total records sent to the dead-letter topic",
            "# TYPE stream_retrain_dead_letters_total counter",
            'stream_retrain_dead_letters_total{pipeline="flights",reason="empty"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="too_large"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="decode"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="schema"} 1.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="duplicate"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="model"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="correction"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="no_question"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="signature"} 0.0',
            'stream_retrain_dead_letters_total{pipeline="flights",reason="request"} 0.0',
        ]

    def test_of_quality(self) -> None:
        assert lines(told(observed()), "stream_retrain_quality{") == [
            'stream_retrain_quality{metric="Accuracy",partition="3",pipeline="flights",window="cumulative"} 0.75',
            'stream_retrain_quality{metric="Accuracy",partition="3",pipeline="flights",window="rolling"} 0.5',
        ]

    def test_of_commits(self) -> None:
        metrics = told(*(Committed(outputs=1, offsets={}, seconds=seconds) for seconds in (0.005, 0.03, 60.0)))
        buckets = {"0.001": 0, "0.0025": 0, "0.005": 1, "0.01": 1, "0.025": 1, **dict.fromkeys(("0.05", "0.1", "0.25", "0.5", "1.0"), 2)}
        buckets |= {"2.5": 2, "10.0": 2, "30.0": 2, "+Inf": 3}
        commits = [line for line in lines(metrics, "stream_retrain_stage_duration_seconds") if 'stage="commit"' in line]
        assert commits == [
            *(
                f'stream_retrain_stage_duration_seconds_bucket{{le="{bound}",pipeline="flights",stage="commit"}} {count}.0'
                for bound, count in buckets.items()
            ),
            'stream_retrain_stage_duration_seconds_count{pipeline="flights",stage="commit"} 3.0',
            'stream_retrain_stage_duration_seconds_sum{pipeline="flights",stage="commit"} 60.035',
        ]

    @pytest.mark.parametrize(
        ("fact", "stage", "seconds"),
        [
            (processed(seconds=0.25), "process", 0.25),
            (Committed(outputs=1, offsets={}, seconds=0.5), "commit", 0.5),
            (Checkpointed(shard=SHARD, offset=1, bytes=1, seconds=2.0, at_s=1.0), "checkpoint", 2.0),
        ],
    )
    def test_of_what_the_loop_does_is_by_stage(self, fact: WorkerFact, stage: str, seconds: float) -> None:
        found = {each: value(told(fact), "stage_duration_seconds_sum", stage=each) for each in STAGES}
        assert found == dict.fromkeys(STAGES, 0.0) | {stage: seconds}

    def test_of_label_delays(self) -> None:
        metrics = told(processed(delays_s=(5.0, 20.0, -3.0)), processed(delays_s=(5.0,), replayed=True))
        assert value(metrics, "label_delay_seconds_count") == 3.0, "what is replayed was counted before"
        assert value(metrics, "label_delay_seconds_sum") == 25.0, "clocks differ: an answer before its question counts as 0"
        assert value(metrics, "label_delay_seconds_bucket", le="0.1") == 1.0

    def test_says_what_it_costs(self) -> None:
        metrics = told(*EVERYTHING)
        assert value(metrics, "scrapes_total") == 0.0
        found = samples(metrics)
        assert found[key_of("scrapes_total")] == 1.0
        assert 0.0 < found[key_of("scrape_seconds_total")] < 1.0


class TestCounters:
    def test_begin_at_0_so_that_the_first_increase_is_seen(self) -> None:
        found = samples(told(Assigned(shard=SHARD, offset=0, live_from=0), observed()))
        counters = {family.name for family in WORKERS if family.kind == "counter"}
        seen = {name.removesuffix("_total") for name, _ in found if name.endswith("_total")}
        assert seen == counters
        nonzero = {key for key, count in found.items() if key[0].endswith("_total") and count and not key[0].startswith("scrape")}
        assert nonzero == {key_of("rebalances_total", event="assigned")}

    @pytest.mark.parametrize(
        ("name", "labels"),
        [
            *(("dead_letters", {"reason": reason}) for reason in typing.get_args(RejectReason)),
            ("restores", {"how": "previous"}),
            ("metric_failures", {"metric": "LogLoss"}),
            ("window_refills", {}),
        ],
    )
    def test_are_there_for_what_is_known_of_the_pipeline(self, name: str, labels: dict[str, str]) -> None:
        assert value(told(), f"{name}_total", **labels) == 0.0

    @pytest.mark.parametrize(
        ("name", "labels"),
        [
            ("drift_detected", {"detector": "ADWIN", "signal": "error"}),
            ("detector_failures", {"detector": "ADWIN", "signal": "error"}),
            ("policy_decisions", {"reaction": "Challenge", "outcome": "in_duel"}),
            ("trainings", {"outcome": "joined"}),
            ("lead_changes", {"cause": "failure"}),
            ("resets", {}),
        ],
    )
    def test_of_a_shard_are_there_once_it_is_assigned(self, name: str, labels: dict[str, str]) -> None:
        assert value(told(), f"{name}_total", partition="3", **labels) is None
        assert value(told(Assigned(shard=SHARD, offset=0, live_from=0)), f"{name}_total", partition="3", **labels) == 0.0

    def test_of_decisions_are_those_with_a_partition(self) -> None:
        """A drift of one shard must not hide among seven calm ones; of dead letters nobody asks which partition had them."""
        decided = {kind.counted.name for kind in SHARD_FACTS if kind.published}
        by_partition = {family.name for family in CATALOGUE if family.kind == "counter" and family.labels[:1] == ("partition",)}
        assert by_partition == decided

    @pytest.mark.parametrize("kind", SHARD_FACTS, ids=lambda kind: kind.__name__)
    def test_each_fact_of_a_shard_raises_its_own_by_one(self, kind: type[ShardFact]) -> None:
        fact: Any = EXAMPLES[kind]
        [family] = [family for family in CATALOGUE if family.name == kind.counted.name]
        given = (*(("3",) if family.labels[:1] == ("partition",) else ()), *counted_labels(fact))
        labels = dict(zip(family.labels, given, strict=True))
        rose = raised(told(processed()), told(processed(fact)))
        assert rose == {key_of(f"{kind.counted.name}_total", **labels): 1.0}

    def test_of_a_batch(self) -> None:
        assert raised(told(), told(processed(), processed())) == {
            key_of("records_consumed_total", **PLACE): 20.0,
            key_of("events_predicted_total"): 16.0,
            key_of("events_learned_total"): 14.0,
        }

    def test_of_what_is_replayed_are_the_records_only(self) -> None:
        mine = Assigned(shard=SHARD, offset=0, live_from=0)
        metrics = told(mine, processed(*EXAMPLES.values(), replayed=True))
        assert raised(told(mine), metrics) == {key_of("records_consumed_total", **PLACE): 10.0, key_of("events_replayed_total"): 10.0}
        assert value(metrics, "last_drift_timestamp_seconds", partition="3") == 0.0
        assert value(metrics, "last_event_timestamp_seconds") is None

    @pytest.mark.parametrize(
        ("fact", "rose"),
        [
            (Assigned(shard=SHARD, offset=0, live_from=0), {key_of("rebalances_total", event="assigned"): 1.0}),
            (Released(shard=SHARD, how="revoked"), {key_of("rebalances_total", event="revoked"): 1.0}),
            (Released(shard=SHARD, how="lost"), {key_of("rebalances_total", event="lost"): 1.0}),
            (
                Committed(outputs=5, offsets={}, seconds=0.1),
                {key_of("transactions_total", outcome="committed"): 1.0, key_of("outputs_committed_total"): 5.0},
            ),
            (TransactionAborted(error="fenced"), {key_of("transactions_total", outcome="aborted"): 1.0}),
            (CopyKept(shard=SHARD, version="0-g1", bytes=9), {key_of("model_copies_kept_total"): 1.0}),
            (CopiesDropped(shard=SHARD, copies=4, bytes=9), {key_of("model_copies_dropped_total"): 4.0}),
            (CopiesWait(shard=SHARD, waiting=3, error="full"), {key_of("model_copy_failures_total"): 1.0}),
            (CheckpointFailed(shard=SHARD, error="full"), {key_of("checkpoint_failures_total"): 1.0}),
            (Checkpointed(shard=SHARD, offset=1, bytes=1, seconds=0.1, at_s=1.0), {key_of("checkpoints_total"): 1.0}),
            (StoreLost(error="away"), {key_of("store_outages_total"): 1.0}),
            (WindowRefilled(shard=SHARD, error="a gap"), {key_of("window_refills_total"): 1.0}),
            (Retrying(error="away", wait_s=1.0), {key_of("restarts_total"): 1.0}),
            (
                Restored(shard=SHARD, offset=None, generation=0, how="window", questions_kept=3, questions_dropped=4),
                {key_of("restores_total", how="window"): 1.0, key_of("questions_dropped_total"): 4.0},
            ),
            (WentLive(shard=SHARD, offset=1), {}),
            (GroupSeen(partitions=8, unowned=1), {}),
            (StoreRegained(away_s=1.0), {}),
            (Lagging(shard=SHARD, records=1), {}),
            (WorkerStateChanged(state="running"), {}),
            (RelayChanged(state="degraded"), {}),
            (
                RELAYED,
                {key_of("labels_relayed_total"): 40.0, key_of("dead_letters_total", reason="schema"): 2.0},
            ),
            (RequestTopicChanged(state="degraded"), {}),
            (
                READ,
                {
                    key_of("request_topic_taken_total"): 3.0,
                    key_of("dead_letters_total", reason="signature"): 2.0,
                    key_of("dead_letters_total", reason="request"): 1.0,
                },
            ),
            (TrainerTold(shard=SHARD, training=1, rows=1, rows_total=None), {}),
        ],
        ids=lambda fact: type(fact).__name__,
    )
    def test_of_a_worker(self, fact: WorkerFact, rose: dict[Key, float]) -> None:
        assert raised(told(), told(fact)) == rose


class TestGauges:
    def test_of_a_shard(self) -> None:
        found = samples(told(observed(), Lagging(shard=SHARD, records=40), TrainerTold(shard=SHARD, training=1, rows=200, rows_total=900)))
        adwin = {"partition": "3", "detector": "ADWIN", "signal": "error"}
        page_hinkley = {"partition": "3", "detector": "PageHinkley", "signal": "feature:a"}
        expected = {
            key_of("consumer_offset", **PLACE): 110.0,
            key_of("consumer_lag_records", **PLACE): 40.0,
            key_of("model_generation", partition="3"): 2.0,
            key_of("pending_labels", partition="3"): 5.0,
            key_of("early_labels", partition="3"): 2.0,
            key_of("label_join_ratio", partition="3"): 0.9,
            key_of("replay_debt_records", partition="3"): 30.0,
            key_of("duel_active", partition="3"): 1.0,
            key_of("duel_events", partition="3"): 300.0,
            key_of("contestant_serves", partition="3", contestant="champion"): 1.0,
            key_of("contestant_serves", partition="3", contestant="fresh"): 0.0,
            key_of("contestant_loss", partition="3", contestant="fresh"): 0.25,
            key_of("contestant_e_value", partition="3", contestant="fresh"): 8.0,
            key_of("contestant_e_value_against", partition="3", contestant="fresh"): 0.125,
            key_of("window_rows", partition="3"): 400.0,
            key_of("window_waiting_rows", partition="3"): 20.0,
            key_of("window_oldest_timestamp_seconds", partition="3"): 900.0,
            key_of("training_active", partition="3"): 0.0,
            key_of("training_rows", partition="3"): 200.0,
            key_of("drift_state", **adwin): 1.0,
            key_of("drift_estimate", **adwin): 0.25,
            key_of("drift_window_events", **adwin): 64.0,
            key_of("drift_state", **page_hinkley): 0.0,
            key_of("drift_statistic", **page_hinkley): 12.0,
            key_of("drift_threshold", **page_hinkley): 50.0,
            key_of("member_weight", partition="3", member="tree"): 0.25,
            key_of("member_weight", partition="3", member="linear"): 0.75,
        }
        assert found.items() >= expected.items()
        assert key_of("drift_statistic", **adwin) not in found, "a detector that shows none has none"

    def test_of_a_relay(self) -> None:
        found = told(RelayChanged(state="running"), RELAYED)
        assert value(found, "label_relay_up") == 1.0
        assert (value(found, "labels_waiting"), value(found, "labels_lag_records"), value(found, "label_questions_known")) == (
            3.0,
            5.0,
            900.0,
        )
        for fact in (RelayChanged(state="degraded"), LabelsRelayed(relayed=0, rejected={}, waiting=0, questions=0, lag_records=None)):
            found(fact)
        assert value(found, "label_relay_up") == 0.0
        assert value(found, "labels_lag_records") is None, "it has no partition of the labels topic"

    def test_of_the_topic_of_requests(self) -> None:
        found = told(RequestTopicChanged(state="running"), READ)
        assert (value(found, "request_topic_up"), value(found, "request_topic_lag_records")) == (1.0, 5.0)
        for fact in (RequestTopicChanged(state="degraded"), RequestsRead(taken=0, refused={}, lag_records=None)):
            found(fact)
        assert (value(found, "request_topic_up"), value(found, "request_topic_lag_records")) == (0.0, None)

    def test_of_callbacks_calls_failures_dead_letters_and_what_waits_are_counted_by_handler(self) -> None:
        found = told(CallbacksChanged(state="running"), CALLED, CALLED)
        counts = {name: value(found, f"callbacks_{name}_total", handler="webhook:ops") for name in ("called", "failed", "retried", "dead")}
        assert counts == {"called": 10, "failed": 6, "retried": 4, "dead": 2}
        assert (value(found, "callbacks_waiting", handler="webhook:ops"), value(found, "callbacks_lag_records")) == (4, 6)
        assert value(found, "callback_duration_seconds_count", handler="webhook:ops") == 4
        assert value(found, "callbacks_up") == 1.0
        found(CallbacksChanged(state="degraded"))
        found(CallbacksTold(handlers=(), lag_records=None))
        assert value(found, "callbacks_up") == 0.0
        assert value(found, "callbacks_lag_records") is None

    def test_of_quality_are_absent_before_the_first_label(self) -> None:
        """Every metric of River says 0 then, which an alarm would take for a model that is always wrong."""
        assert not lines(told(observed(events_seen=0, running={"Accuracy": 0.0}, rolling={"Accuracy": 0.0})), "stream_retrain_quality{")

    def test_of_quality_say_which_way_is_better(self) -> None:
        assert value(told(), "quality_bigger_is_better", metric="Accuracy") == 1.0
        assert value(told(), "quality_bigger_is_better", metric="LogLoss") == 0.0

    def test_of_what_an_observation_no_longer_says_go(self) -> None:
        found = samples(told(observed(), observed(rolling={}, running={}, readings={}, duel=None, members=None)))
        names = ("quality", "drift_", "contestant_", "duel_events", "member_weight")
        assert not [key for key in found if key[0].startswith(names) and not key[0].endswith(("_total", "_is_better"))]

    def test_of_a_drift_are_shown_for_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        watch = {"partition": "3", "detector": "ADWIN", "signal": "error"}
        now_s = [1_000.0]
        monkeypatch.setattr(metrics_module.time, "monotonic", lambda: now_s[0])
        calm = {("error", "ADWIN"): Reading(estimate=0.25, width=64)}
        metrics = told(processed(EXAMPLES[DriftDetected]), observed(readings=calm))
        assert value(metrics, "drift_state", **watch) == 2.0
        now_s[0] += 59
        assert value(metrics, "drift_state", **watch) == 2.0, "a scrape a minute sees it"
        now_s[0] += 2
        assert value(metrics, "drift_state", **watch) == 0.0

    def test_of_lag_in_seconds_is_the_age_of_what_was_processed_last_while_something_waits(self) -> None:
        old = processed(stamped_s=time.time() - 100)
        assert value(told(old, Lagging(shard=SHARD, records=0)), "consumer_lag_seconds", **PLACE) == 0.0, "an idle topic is not late"
        late = value(told(old, Lagging(shard=SHARD, records=3)), "consumer_lag_seconds", **PLACE)
        assert late == pytest.approx(100, abs=5)
        assert value(told(Lagging(shard=SHARD, records=3)), "consumer_lag_seconds", **PLACE) is None, "nothing was processed yet"
        unstamped = told(processed(stamped_s=-0.001), Lagging(shard=SHARD, records=3))
        assert value(unstamped, "consumer_lag_seconds", **PLACE) is None, "records without a timestamp have no age"
        ahead = told(processed(stamped_s=time.time() + 100), Lagging(shard=SHARD, records=3))
        assert value(ahead, "consumer_lag_seconds", **PLACE) == 0.0

    def test_of_the_group_are_those_of_the_last_look(self) -> None:
        assert value(told(), "unowned_partitions") is None, "nobody has looked"
        metrics = told(GroupSeen(partitions=8, unowned=2), GroupSeen(partitions=9, unowned=0))
        assert (value(metrics, "source_partitions"), value(metrics, "unowned_partitions")) == (9.0, 0.0)

    def test_of_a_training_begin_at_0_rows_until_somebody_works_at_it(self) -> None:
        before = TrainerTold(shard=SHARD, training=1, rows=500, rows_total=500)
        assert value(told(before, processed(EXAMPLES[TrainingRequested])), "training_rows", partition="3") == 0.0

    @pytest.mark.parametrize(
        "taken",
        [
            TrainerTold(shard=SHARD, training=5, rows=0, rows_total=None),
            observed(training=None, duel=None),
            Retrying(error="away", wait_s=1.0),
        ],
        ids=["taken", "over", "retrying"],
    )
    def test_of_a_training_that_nobody_takes_grow_until_it_is_taken(self, taken: WorkerFact) -> None:
        waits = TrainingWaits(shard=SHARD, training=5, waited_s=90.0, trainers=0)
        assigned = Assigned(shard=SHARD, offset=0, live_from=0)
        assert value(told(assigned), "training_waits_seconds", partition="3") == 0.0
        waited_s = value(told(assigned, waits, observed(training=3, duel=None)), "training_waits_seconds", partition="3")
        assert waited_s is not None
        assert 90.0 <= waited_s < 100.0
        assert value(told(assigned, waits, taken), "training_waits_seconds", partition="3") in (0.0, None)

    def test_of_a_shard_that_was_just_opened_count_its_checkpoint_from_now(self) -> None:
        before = time.time()
        opened = value(told(Assigned(shard=SHARD, offset=0, live_from=0)), "checkpoint_last_success_timestamp_seconds", partition="3")
        assert opened is not None
        assert before <= opened <= time.time()

    def test_of_a_training_under_way(self) -> None:
        assert value(told(observed(training=3, duel=None)), "training_active", partition="3") == 1.0
        assert value(told(observed(training=3, duel=None)), "duel_active", partition="3") == 0.0

    @pytest.mark.parametrize("gone", [Released(shard=SHARD, how="lost"), Retrying(error="away", wait_s=1.0)], ids=["released", "retrying"])
    def test_go_with_their_shard(self, gone: WorkerFact) -> None:
        mine = (Assigned(shard=SHARD, offset=0, live_from=0), observed(), Lagging(shard=SHARD, records=4))
        metrics = told(*mine, TrainerTold(shard=SHARD, training=1, rows=200, rows_total=None), gone)
        gauges = {family.name for family in CATALOGUE if family.kind == "gauge" and "partition" in family.labels}
        assert not [key for key in samples(metrics) if key[0] in gauges]
        assert value(metrics, "assigned_partitions") == 0.0

    def test_of_another_shard_stay(self) -> None:
        both = [fact for shard in (SHARD, OTHER) for fact in (Assigned(shard=shard, offset=0, live_from=0), observed(shard))]
        metrics = told(*both, Released(shard=SHARD, how="revoked"))
        alone = told(Assigned(shard=OTHER, offset=0, live_from=0), observed(OTHER))
        timed = "checkpoint_last_success_timestamp_seconds"  # when each of the two was opened
        gauges = {family.name for family in CATALOGUE if family.kind == "gauge"} - {timed}
        assert {key: each for key, each in samples(metrics).items() if key[0] in gauges} == {
            key: each for key, each in samples(alone).items() if key[0] in gauges
        }

    def test_counters_of_a_shard_that_went_stay(self) -> None:
        metrics = told(processed(EXAMPLES[Rejected]), Released(shard=SHARD, how="revoked"))
        assert value(metrics, "records_consumed_total", **PLACE) == 10.0
        assert value(metrics, "dead_letters_total", reason="schema") == 1.0

    def test_of_members_are_those_of_the_model_that_serves(self) -> None:
        standing = Standing(members=("tree", "forest"), weights=(0.5, 0.5), restarts=(0, 0), failures=(0, 0), leader="tree", changes=0)
        found = samples(told(observed(OTHER), observed(), observed(members=standing)))
        weights = {labels: weight for (name, labels), weight in found.items() if name == "member_weight" and ("partition", "3") in labels}
        assert weights == {key_of("", member=member, partition="3")[1]: 0.5 for member in ("tree", "forest")}
        found = samples(told(observed(OTHER), observed(), observed(members=None)))
        assert sum(name == "member_weight" for name, _ in found) == 2, "those of the other shard"

    def test_of_members_are_limited(self) -> None:
        count = NAMES_MAX + 5
        names, numbers = tuple(f"member {number}" for number in range(count)), (0,) * count
        standing = Standing(members=names, weights=(1 / count,) * count, restarts=numbers, failures=numbers, leader=names[0], changes=0)
        assert sum(name == "member_weight" for name, _ in samples(told(observed(members=standing)))) == NAMES_MAX

    @pytest.mark.parametrize(("number", "state"), list(enumerate(typing.get_args(WorkerState))))
    def test_of_the_worker_state_is_its_number(self, number: int, state: WorkerState) -> None:
        assert value(told(WorkerStateChanged(state=state)), "worker_state") == number
        [family] = [family for family in CATALOGUE if family.name == "worker_state"]
        assert f"{number} {state}" in family.meaning

    def test_of_a_worker_that_tries_again_says_degraded(self) -> None:
        metrics = told(WorkerStateChanged(state="running"), Retrying(error="away", wait_s=1.0))
        assert value(metrics, "worker_state") == value(told(WorkerStateChanged(state="degraded")), "worker_state")

    def test_of_the_store_say_whether_it_takes_writes(self) -> None:
        assert value(told(), "store_up") is None, "nobody has asked it"
        assert value(told(Restored(shard=SHARD, offset=1, generation=1, how="checkpoint")), "store_up") == 1.0
        assert value(told(StoreLost(error="away")), "store_up") == 0.0
        assert value(told(StoreLost(error="away"), StoreRegained(away_s=2.0)), "store_up") == 1.0

    def test_of_checkpoints_are_of_the_last_one(self) -> None:
        sizes = (Checkpointed(shard=SHARD, offset=1, bytes=bytes_, seconds=0.1, at_s=float(bytes_)) for bytes_ in (10, 20))
        metrics = told(*sizes)
        assert value(metrics, "checkpoint_size_bytes", partition="3") == 20.0
        assert value(metrics, "checkpoint_last_success_timestamp_seconds", partition="3") == 20.0

    def test_of_event_time_is_the_newest(self) -> None:
        times = (5.0, 9.0, 7.0, float("-inf"))
        metrics = told(*(processed(newest_time_s=time_s) for time_s in times))
        assert value(metrics, "last_event_timestamp_seconds") == 9.0
        assert value(told(processed(newest_time_s=float("-inf"))), "last_event_timestamp_seconds") is None

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (DriftDetected, "last_drift_timestamp_seconds"),
            (ModelReset, "model_last_change_timestamp_seconds"),
            (LeadChanged, "model_last_change_timestamp_seconds"),
        ],
    )
    def test_of_what_happened_last_are_by_the_wall_clock(self, kind: type[ShardFact], name: str) -> None:
        before = time.time()
        happened = value(told(processed(EXAMPLES[kind])), name, partition="3")
        assert happened is not None
        assert before <= happened <= time.time()
        other = value(told(processed(EXAMPLES[MemberRestarted])), name, partition="3")
        assert other in (None, 0.0)


@pytest.mark.parametrize(
    ("values", "half", "most"), [([], None, None), ([0.5] * 4, 0.5, 0.99), ([2.0, 3.0, 500.0], 4.0, 5.0), ([9.0] * 9, 5.0, 5.0)]
)
def test_quantiles_of_a_histogram_lie_within_their_bucket(values: list[float], half: float | None, most: float | None) -> None:
    counted = Histogram((1.0, 5.0))
    counted.observe_all(values)
    assert (counted.quantile(0.5), counted.quantile(0.99)) == (half, most)


def test_a_pause_by_hand_is_told_apart_from_one_for_refused_records() -> None:
    seen, who = observed(), Asked(token="t", do="pause")
    for paused, held, gauges in ((False, None, (0, 0)), (True, None, (1, 0)), (True, who, (0, 1))):
        metrics = told(Assigned(shard=SHARD, offset=100, live_from=100), dataclasses.replace(seen, paused=paused, held=held))
        assert (value(metrics, "intake_paused", partition="3"), value(metrics, "paused", partition="3")) == gauges
