"""Memory ceilings: reached at the same event by everyone, told, and followed by what is declared."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, forest, linear_model, neighbors, tree

from stream_retrain import Challenge, Challenger, On, Pipeline, PipelineError, Shard, Window
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.ceiling import FIRST_EVENTS, Ceiling
from stream_retrain.core.contest.commands import Stop as StopCommand
from stream_retrain.core.contest.prune import prune
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.errors import LimitError
from stream_retrain.facts.shard import (
    ContestantFailed,
    Decided,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    MemoryReached,
    ModelPruned,
    ModelReset,
)
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Batch
from stream_retrain.models import PerKey
from stream_retrain.models.packing import memory_bytes_of
from stream_retrain.stores.memory import memory_stores
from tests.core import streams
from tests.lane.support import joined, of, restored

EVENTS = streams.events(streams.rows(3_000))


def growing(window: int = 100_000) -> Any:
    """A model that keeps every event: some 310 bytes each."""
    return neighbors.KNNClassifier(n_neighbors=1, engine=neighbors.LazySearch(window_size=window))


def pipeline(*rules: On, model: Any = None, **changes: Any) -> Pipeline:
    return streams.pipeline(model=growing() if model is None else model, watch=[], react=list(rules), **changes)


def run(declared: Pipeline, events: list[Event] = EVENTS) -> tuple[Shard, list[Any], list[Any]]:
    shard = Shard(declared)
    outcome = shard.process(events)
    return shard, outcome.facts, outcome.commands


def test_a_model_that_grows_is_reset_near_the_limit_and_never_far_above_it() -> None:
    shard, facts, _ = run(pipeline(On.memory(model_bytes_max=300_000, do="reset")))
    reached, resets = of(MemoryReached, facts), of(ModelReset, facts)
    assert len(reached) == len(resets) >= 3
    assert all(300_000 < each.model_bytes < 1.25 * 300_000 for each in reached)
    assert [each.offset for each in resets] == [each.offset for each in reached]
    assert {each.cause for each in resets} == {"memory:model_300000"}
    memory = shard.observe().memory
    assert memory is not None
    assert (memory.model_bytes_max, memory.shard_bytes_max) == (300_000, None)
    assert memory.model_bytes < 1.25 * 300_000


def test_a_model_that_does_not_grow_is_left_alone_and_hardly_ever_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    ceiling_measure = Ceiling.measure
    monkeypatch.setattr(Ceiling, "measure", lambda self, *given: measured.append(given[1]) or ceiling_measure(self, *given))
    _, facts, _ = run(pipeline(On.memory(model_bytes_max=1_000_000, do="reset"), model=linear_model.LogisticRegression()))
    assert facts == []
    assert measured[0] == FIRST_EVENTS
    assert len(measured) < 25
    assert all(later - earlier >= FIRST_EVENTS for earlier, later in itertools.pairwise(measured))


def test_without_a_rule_of_memory_nothing_is_measured() -> None:
    shard, _, _ = run(streams.pipeline())
    assert shard.observe().memory is None


def test_a_limit_that_is_passed_is_told_once_where_nothing_is_done_about_it() -> None:
    _, facts, _ = run(pipeline(On.memory(model_bytes_max=100_000, do="ignore")))
    assert len(of(MemoryReached, facts)) == 1
    assert {each.outcome for each in of(Decided, facts)} == {"ignored"}
    assert not of(ModelReset, facts)


@pytest.mark.parametrize(
    "rule", [On.memory(model_bytes_max=200_000, do="reset"), On.memory(shard_bytes_max=300_000, do="prune")], ids=["reset", "prune"]
)
@given(cuts=st.lists(st.integers(1, 1_499), max_size=6, unique=True))
@settings(max_examples=6, deadline=None)
def test_however_the_log_is_cut_and_wherever_it_is_restored_it_is_the_same(rule: On, cuts: list[int]) -> None:
    declared, events = pipeline(rule), EVENTS[:1_500]
    whole = Shard(declared)
    expected = whole.process(events)
    shard, outcomes = Shard(declared), []
    for first, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(events)], strict=True):
        outcomes.append(shard.process(events[first:end]))
        shard = restored(declared, shard)
    assert digest(joined(outcomes)) == digest(joined([expected]))
    assert shard.digest() == whole.digest()


def test_pruning_a_forest_keeps_it_and_stops_its_growth() -> None:
    model = forest.ARFClassifier(n_models=3, seed=1, grace_period=20, drift_detector=None, warning_detector=None)
    shard, facts, _ = run(pipeline(On.memory(model_bytes_max=400_000, do="prune"), model=model))
    pruned = of(ModelPruned, facts)
    assert pruned
    assert all(each.bytes_after < each.bytes_before for each in pruned)
    assert not of(ModelReset, facts)
    assert shard.generation == 0
    assert memory_bytes_of(shard.snapshot()["reactions"]["succession"]["champion"]) < 1.3 * 400_000


def test_pruning_a_tree_deactivates_half_of_its_leaves_those_that_promise_least() -> None:
    model = tree.HoeffdingTreeClassifier(grace_period=20, delta=0.1, tau=0.5)
    for event in EVENTS:
        model.learn_one(event.x, event.y)
    active = [leaf for leaf in model._find_leaves() if leaf.is_active()]
    promises = sorted(leaf.calculate_promise() for leaf in active)
    before = memory_bytes_of(model)
    assert len(active) > 3
    assert prune(model)
    left = [leaf for leaf in active if leaf.is_active()]
    assert len(left) == len(active) // 2 == model._n_active_leaves
    assert sorted(leaf.calculate_promise() for leaf in left) == promises[-len(left) :]
    assert memory_bytes_of(model) < before
    while prune(model):
        pass
    assert model.predict_one(EVENTS[0].x) is not None
    for event in EVENTS[:200]:
        model.learn_one(event.x, event.y)


class Shrinking(linear_model.LogisticRegression):  # type: ignore[misc]
    """A model of a user, which knows how to give memory back."""

    shrunk = 0

    def shrink(self) -> bool:
        Shrinking.shrunk += 1
        return True


def test_a_part_that_can_shrink_is_asked_wherever_it_is() -> None:
    per_key = PerKey(Shrinking(), by="k")
    per_key.learn_one({"a": 1.0, "k": "one"}, True)
    assert prune(per_key)
    assert per_key.keys_held.hot == 0
    assert Shrinking.shrunk >= 1


def test_where_nothing_can_be_pruned_the_model_is_reset() -> None:
    _, facts, _ = run(pipeline(On.memory(model_bytes_max=200_000, do="prune")))
    assert of(ModelReset, facts)
    assert not of(ModelPruned, facts)


def test_a_smaller_model_races_below_the_limit_and_serves_at_the_limit_whatever_the_evidence_says() -> None:
    small = Challenger(name="small", model=dummy.NoChangeClassifier())
    declared = pipeline(
        On.memory(model_bytes_max=100_000, do=Challenge(challengers=[small], rematch=False), cooldown_events=10_000),
        On.memory(model_bytes_max=150_000, do="reset"),
    )
    shard, facts, _ = run(declared, EVENTS[:1_200])
    [started], [failed], [led] = of(DuelStarted, facts), of(ContestantFailed, facts), of(LeadChanged, facts)
    assert started.contestants == ("champion", "small")
    assert (failed.name, failed.detail.partition(":")[0]) == ("champion", "MemoryError")
    assert (led.before, led.now, led.cause) == ("champion", "small", "failure")
    assert of(DuelEnded, facts)[0].winner == "small"
    assert not of(ModelReset, facts)
    assert [type(fact) for fact in facts].index(MemoryReached) < [type(fact) for fact in facts].index(DuelStarted)
    memory = shard.observe().memory
    assert memory is not None
    assert memory.shard_bytes < 10_000


def test_a_duel_in_which_everyone_is_too_large_ends_in_a_reset() -> None:
    big = Challenger(name="big", model=growing(), window=Window(since_change=True))
    declared = pipeline(On.every(events=150, do=Challenge(challengers=[big], rematch=False)), On.memory(model_bytes_max=60_000, do="reset"))
    _, facts, _ = run(declared, EVENTS[:1_000])
    at = next(fact.offset for fact in facts if isinstance(fact, ModelReset))
    assert [type(fact) for fact in facts if fact.offset == at][-2:] == [DuelEnded, ModelReset]


def test_all_models_together_are_too_large_and_the_challenger_leaves() -> None:
    declared = pipeline(
        On.every(events=150, do=Challenge(challengers=[Challenger(name="big", model=growing())], rematch=False)),
        On.memory(shard_bytes_max=120_000, do="reset"),
    )
    _, facts, _ = run(declared, EVENTS[:380])
    [failed] = of(ContestantFailed, facts)
    assert failed.name == "big"
    assert not of(ModelReset, facts)


def test_stop_ends_the_driver_after_a_checkpoint() -> None:
    declared = pipeline(On.memory(model_bytes_max=100_000, do="stop"), window_rows_max=0)
    _, facts, commands = run(declared, EVENTS[:400])
    [stop, *_] = [each for each in commands if isinstance(each, StopCommand)]
    assert "memory:model_100000" in stop.reason
    assert of(Decided, facts)[-1].reaction == "Stop"
    stores, keyring = memory_stores(Keyring.unsigned()), Keyring.unsigned()
    driver = Driver(declared, stores, keyring, DriverLimits(), lambda _: None)
    opened = driver.open(0, Log(None, 0, 0), 0.0)
    driver.take(0, Batch.of_events(EVENTS[:400]))
    driver.committed(driver.unsent().offsets)
    with pytest.raises(LimitError, match=r"test/events/0: models take more memory than memory:model_100000 allows"):
        driver.settle(0.0)
    assert len(stores.checkpoints.load(opened.id)) == 1
    again = Driver(declared, stores, keyring, DriverLimits(), lambda _: None)
    assert again.open(0, Log(400, 0, 400), 0.0).offset == 400


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (lambda: On.memory(do="reset"), "give model_bytes_max, shard_bytes_max, or both"),
        (lambda: On.memory(model_bytes_max=5, do="reset"), "model_bytes_max is 5; use a whole number of bytes of at least 10,000"),
        (lambda: On.memory(shard_bytes_max=1e9, do="reset"), "shard_bytes_max is 1000000000.0"),  # type: ignore[arg-type]
        (lambda: On.memory(model_bytes_max=50_000, do="explode"), "'explode' is not a reaction"),  # type: ignore[arg-type]
        (
            lambda: On.every(events=5, do=On.memory(model_bytes_max=50_000, do="stop").do),
            "Stop() makes room in memory; use it with On.memory",
        ),
    ],
)
def test_rules_that_cannot_be_are_refused(rule: Any, fault: str) -> None:
    with pytest.raises(PipelineError) as caught:
        pipeline(rule())
    assert fault in str(caught.value)
