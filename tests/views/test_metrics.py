"""Metrics as a fold over facts, read through the exposition that Prometheus would scrape."""

from __future__ import annotations

import time
import typing
from collections.abc import Iterable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from stream_retrain.facts.observation import Standing
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.shard import SHARD_FACTS, DriftDetected, LeadChanged, MemberRestarted, ModelReset, Rejected, ShardFact
from stream_retrain.facts.telling import counted_labels
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
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
from stream_retrain.views.catalogue import CATALOGUE, HISTOGRAMS, PREFIX
from stream_retrain.views.metrics import MEMBERS_MAX, Metrics, PipelineLabels
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

LABELS = PipelineLabels(
    name="flights",
    task="binary",
    topic="flights.events",
    model="LogisticRegression",
    watches=(("ADWIN", "error"),),
    reactions=("Challenge",),
)
PLACE = {"topic": "flights.events", "partition": "3"}
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
    return {key: now - old.get(key, 0.0) for key, now in samples(after).items() if key[0].endswith("_total") and now != old.get(key, 0.0)}


def lines(metrics: Metrics, family: str) -> list[str]:
    """The lines of a family, comments included."""
    return [line for line in exposition(metrics).splitlines() if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(family)]


EVERYTHING: tuple[WorkerFact, ...] = (
    Assigned(shard=SHARD, offset=100, live_from=105),
    Restored(shard=SHARD, offset=100, generation=1, how="checkpoint"),
    Lagging(shard=SHARD, records=40),
    processed(*EXAMPLES.values()),
    observed(),
    TrainerTold(shard=SHARD, training=5, rows=200, rows_total=None),
    Committed(outputs=9, offsets={SHARD: 110}, seconds=0.03),
    Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.002, at_s=1_500.5),
)


class TestExposition:
    def test_has_every_family_of_the_catalogue_with_its_kind_and_labels(self) -> None:
        families = {family.name: family for family in text_string_to_metric_families(exposition(told(*EVERYTHING)))}
        for declared in CATALOGUE:
            family = families[PREFIX + declared.name]
            assert (family.type, family.documentation) == (declared.kind, declared.meaning)
            assert family.samples, declared.name
            for sample in family.samples:
                assert sample.name == PREFIX + declared.name + ("_total" if declared.kind == "counter" else "")
                assert sample.labels.keys() == {"pipeline", *declared.labels}
        assert families.keys() == {
            *(PREFIX + declared.name for declared in CATALOGUE),
            *(PREFIX + name for name in HISTOGRAMS),
            f"{PREFIX}build_info",
            f"{PREFIX}pipeline_info",
        }

    def test_has_every_family_before_anything_happened(self) -> None:
        names = {family.name for family in text_string_to_metric_families(exposition(told()))}
        assert names >= {PREFIX + declared.name for declared in CATALOGUE}

    @pytest.mark.parametrize("facts", [(), EVERYTHING], ids=["at the start", "after everything"])
    def test_is_open_metrics_too_where_that_is_asked_for(self, facts: Iterable[WorkerFact]) -> None:
        content_type, body = told(*facts).render("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        families = {family.name for family in open_metrics_families(body.decode())}
        assert families >= {PREFIX + declared.name for declared in CATALOGUE}

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
        ]

    def test_of_quality(self) -> None:
        assert lines(told(observed()), "stream_retrain_quality") == [
            "# HELP stream_retrain_quality prequential score, in the metric's own unit",
            "# TYPE stream_retrain_quality gauge",
            'stream_retrain_quality{metric="Accuracy",partition="3",pipeline="flights",role="champion",window="cumulative"} 0.75',
            'stream_retrain_quality{metric="Accuracy",partition="3",pipeline="flights",role="champion",window="rolling"} 0.5',
        ]

    def test_of_commits(self) -> None:
        metrics = told(*(Committed(outputs=1, offsets={}, seconds=seconds) for seconds in (0.005, 0.03, 60.0)))
        buckets = {"0.005": 1, "0.01": 1, "0.025": 1, "0.05": 2, "0.1": 2, "0.25": 2, "0.5": 2, "1.0": 2, "2.5": 2, "10.0": 2, "+Inf": 3}
        assert lines(metrics, "stream_retrain_commit_duration_seconds") == [
            "# HELP stream_retrain_commit_duration_seconds Kafka transactions, begin to commit",
            "# TYPE stream_retrain_commit_duration_seconds histogram",
            *(
                f'stream_retrain_commit_duration_seconds_bucket{{le="{bound}",pipeline="flights"}} {count}.0'
                for bound, count in buckets.items()
            ),
            'stream_retrain_commit_duration_seconds_count{pipeline="flights"} 3.0',
            'stream_retrain_commit_duration_seconds_sum{pipeline="flights"} 60.035',
        ]


class TestCounters:
    def test_begin_at_0_so_that_the_first_increase_is_seen(self) -> None:
        found = samples(told(Assigned(shard=SHARD, offset=0, live_from=0), observed()))
        counters = {family.name for family in CATALOGUE if family.kind == "counter"}
        seen = {name.removesuffix("_total") for name, _ in found if name.endswith("_total")}
        assert seen == counters
        nonzero = {key for key, count in found.items() if key[0].endswith("_total") and count}
        assert nonzero == {key_of("rebalances_total", event="assigned")}

    @pytest.mark.parametrize(
        ("name", "labels"),
        [
            *(("dead_letters", {"reason": reason}) for reason in typing.get_args(RejectReason)),
            ("drift_detected", {"detector": "ADWIN", "signal": "error"}),
            ("detector_failures", {"detector": "ADWIN", "signal": "error"}),
            ("policy_decisions", {"reaction": "Challenge", "outcome": "in_duel"}),
            ("trainings", {"outcome": "joined"}),
            ("restores", {"how": "previous"}),
            ("lead_changes", {"cause": "failure"}),
            ("resets", {}),
        ],
    )
    def test_are_there_for_what_is_known_of_the_pipeline(self, name: str, labels: dict[str, str]) -> None:
        assert value(told(), f"{name}_total", **labels) == 0.0

    @pytest.mark.parametrize("kind", SHARD_FACTS, ids=lambda kind: kind.__name__)
    def test_each_fact_of_a_shard_raises_its_own_by_one(self, kind: type[ShardFact]) -> None:
        fact: Any = EXAMPLES[kind]
        [family] = [family for family in CATALOGUE if family.name == kind.counted.name]
        labels = dict(zip(family.labels, counted_labels(fact), strict=True))
        rose = raised(told(processed()), told(processed(fact)))
        assert rose == {key_of(f"{kind.counted.name}_total", **labels): 1.0}

    def test_of_a_batch(self) -> None:
        assert raised(told(), told(processed(), processed())) == {
            key_of("records_consumed_total", **PLACE): 20.0,
            key_of("events_predicted_total"): 16.0,
            key_of("events_learned_total"): 14.0,
        }

    def test_of_what_is_replayed_are_the_records_only(self) -> None:
        metrics = told(processed(*EXAMPLES.values(), replayed=True))
        assert raised(told(), metrics) == {key_of("records_consumed_total", **PLACE): 10.0, key_of("events_replayed_total"): 10.0}
        assert value(metrics, "last_drift_timestamp_seconds") == 0.0
        assert value(metrics, "last_event_timestamp_seconds") is None

    @pytest.mark.parametrize(
        ("fact", "rose"),
        [
            (Assigned(shard=SHARD, offset=0, live_from=0), {key_of("rebalances_total", event="assigned"): 1.0}),
            (Released(shard=SHARD, how="revoked"), {key_of("rebalances_total", event="revoked"): 1.0}),
            (Released(shard=SHARD, how="lost"), {key_of("rebalances_total", event="lost"): 1.0}),
            (Committed(outputs=5, offsets={}, seconds=0.1), {key_of("transactions_total", outcome="committed"): 1.0}),
            (TransactionAborted(error="fenced"), {key_of("transactions_total", outcome="aborted"): 1.0}),
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
            (StoreRegained(away_s=1.0), {}),
            (Lagging(shard=SHARD, records=1), {}),
            (WorkerStateChanged(state="running"), {}),
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
            key_of("replay_debt_records", partition="3"): 30.0,
            key_of("duel_active", partition="3"): 1.0,
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
        gauges = {family.name for family in CATALOGUE if family.kind == "gauge"}
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
        count = MEMBERS_MAX + 5
        names, numbers = tuple(f"member {number}" for number in range(count)), (0,) * count
        standing = Standing(members=names, weights=(1 / count,) * count, restarts=numbers, failures=numbers, leader=names[0], changes=0)
        assert sum(name == "member_weight" for name, _ in samples(told(observed(members=standing)))) == MEMBERS_MAX

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
        assert value(metrics, "checkpoint_size_bytes") == 20.0
        assert value(metrics, "checkpoint_last_success_timestamp_seconds") == 20.0

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
        happened = value(told(processed(EXAMPLES[kind])), name)
        assert happened is not None
        assert before <= happened <= time.time()
        other = value(told(processed(EXAMPLES[MemberRestarted])), name)
        assert other in (None, 0.0)
