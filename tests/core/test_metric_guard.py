"""The metric that guards a duel: whom it keeps from the lead, for how long, and that it only ever holds up."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, imblearn, linear_model, metrics, preprocessing

from stream_retrain import Challenge, Evidence, On, Pipeline, PipelineError, Shard
from stream_retrain.core.contest.challenger import Challenger
from stream_retrain.core.contest.metric_guard import AGAIN_EVENTS, RAREST_MIN, SPAN_EVENTS, SPAN_EVENTS_MAX, MetricGuard
from stream_retrain.facts.shard import DuelEnded, LeadChanged
from tests.core import streams
from tests.lane.support import of, restored

Said = tuple[bool, list[Any]]


def predicted(count: int, *found: float, positives: float = 0.1, seed: int = 1) -> Iterator[Said]:
    """Labels, and what models predict that find such a share of the positives and raise no false alarm."""
    rng = random.Random(seed)
    for _ in range(count):
        y = rng.random() < positives
        yield y, [y and rng.random() < share for share in found]


def guard(metric: Any = None, margin: float = 0.05, saved: Any = None) -> MetricGuard:
    return MetricGuard(metric or metrics.Recall(), margin, saved)


def shown(running: MetricGuard, said: Iterator[Said]) -> MetricGuard:
    for y, labels in said:
        running.count(y, labels)
    return running


def test_whoever_is_worse_by_the_metric_is_held_up_and_whoever_is_not_is_let_by() -> None:
    running = shown(guard(), predicted(500, 0.9, 0.2, 0.95))
    assert running.allows(0, 2)
    assert not running.holds
    assert not running.allows(0, 1)
    assert running.holds
    assert running.name == "Recall"


@pytest.mark.parametrize(("margin", "allowed"), [(0.0, False), (0.05, False), (0.9, True)])
def test_by_how_much_is_the_margin(margin: float, allowed: bool) -> None:
    assert shown(guard(margin=margin), predicted(500, 0.9, 0.2)).allows(0, 1) is allowed


def test_of_a_metric_that_should_be_small_the_larger_is_the_worse() -> None:
    class Missed(metrics.Recall):  # type: ignore[misc]
        bigger_is_better = False

        def get(self) -> float:
            return 1.0 - float(super().get())

    running = shown(guard(Missed()), predicted(500, 0.9, 0.2))
    assert running.allows(1, 0)
    assert not running.allows(0, 1)


def test_until_enough_of_the_rarest_class_were_seen_it_lets_nobody_by() -> None:
    running = guard()
    for number in range(RAREST_MIN):
        assert not running.allows(0, 1), number
        assert not running.holds, "nobody was worse"
        shown(running, iter([(True, [True, True]), (False, [False, False]), (False, [False, False])]))
    assert running.allows(0, 1)
    alone = shown(guard(), ((True, [True, True]) for _ in range(SPAN_EVENTS_MAX)))
    assert alone.allows(0, 1), "a stream of one class does not wait for ever"


def test_who_was_held_up_is_looked_at_again_later() -> None:
    running = shown(guard(), predicted(200, 0.9, 0.0))
    assert not running.allows(0, 1)
    said = predicted(3 * SPAN_EVENTS, 0.0, 1.0)
    asked = next(number for number, each in enumerate(said, start=1) if shown(running, iter([each])).allows(0, 1))
    assert asked % AGAIN_EVENTS == 0
    assert not running.holds


def test_what_was_long_ago_is_forgotten() -> None:
    running = shown(guard(), predicted(10 * SPAN_EVENTS, 0.9, 0.0))
    shown(running, predicted(2 * SPAN_EVENTS, 0.0, 0.9, seed=2))
    assert running.allows(0, 1)
    assert not running.allows(1, 0)


def test_one_that_joins_is_compared_on_the_events_since() -> None:
    running = shown(guard(), predicted(400, 0.9))
    running.joined()
    assert not running.allows(0, 1)
    assert shown(running, predicted(400, 0.5, 0.6, seed=2)).allows(0, 1)


def test_no_prediction_counts_neither_way() -> None:
    said = [(y, [labels[0], labels[1] if number % 2 else None]) for number, (y, labels) in enumerate(predicted(500, 0.9, 0.9))]
    assert shown(guard(), iter(said)).allows(0, 1)


class Brittle(metrics.Recall):  # type: ignore[misc]
    def update(self, y_true: Any, y_pred: Any, w: float = 1.0) -> None:
        raise ArithmeticError(f"{y_true}, {y_pred}, {w}")


class Endless(metrics.Recall):  # type: ignore[misc]
    def get(self) -> float:
        return float("nan")


@pytest.mark.parametrize("metric", [Brittle(), Endless()], ids=["raises", "no number"])
def test_a_metric_that_says_nothing_holds_nobody_up(metric: Any) -> None:
    assert shown(guard(metric), predicted(500, 0.9, 0.0)).allows(0, 1)


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 2_500), max_size=5))
def test_restored_and_gone_on_is_never_stopped(stops: set[int]) -> None:
    whole, cut = guard(metrics.F1()), guard(metrics.F1())
    for number, (y, labels) in enumerate(predicted(2_500, 0.9, 0.5, 0.95)):
        if number in stops:
            cut = guard(metrics.F1(), saved=pickle.loads(pickle.dumps(cut.snapshot())))
        for running in (whole, cut):
            running.count(y, labels)
        if number % 97 == 0:
            assert [whole.allows(0, rival) for rival in (1, 2)] == [cut.allows(0, rival) for rival in (1, 2)]
    assert whole.snapshot() == cut.snapshot()


def rare(count: int, positives: float = 0.03) -> list[tuple[dict[str, Any], bool]]:
    rng = random.Random(5)
    made = []
    for _ in range(count):
        y = rng.random() < positives
        made.append(({"a": rng.gauss(1.6 if y else 0, 1), "b": 0.0, "c": 0.0}, y))
    return made


def scaled(model: base.Classifier) -> Any:
    return preprocessing.StandardScaler() | model


def under_sampled() -> Any:
    plain = linear_model.LogisticRegression()
    return scaled(imblearn.RandomUnderSampler(plain, desired_dist={False: 0.5, True: 0.5}, seed=1))


def judged(*by: Any, evidence: Evidence | None = None, swapped: bool = False) -> Pipeline:
    """A model with under-sampling, which finds the rare positives, is challenged by one that has better probabilities; or the other way."""
    makers: list[Callable[[], Any]] = [under_sampled, lambda: scaled(linear_model.LogisticRegression())]
    champion, rival = reversed(makers) if swapped else makers
    challenge = Challenge(challengers=(Challenger(name="other", model=rival()),), rematch=False, evidence=evidence or Evidence())
    return streams.pipeline(model=champion(), metrics=by, watch=[], react=[On.every(events=1_500, do=challenge)])


EVENTS = streams.events(rare(5_000))


@pytest.mark.parametrize("by", [metrics.Recall(), metrics.F1(), metrics.BalancedAccuracy()], ids=lambda each: type(each).__name__)
def test_a_duel_by_log_loss_does_not_promote_against_the_metric_it_is_judged_by(by: Any) -> None:
    facts = Shard(judged(by, metrics.Accuracy())).process(EVENTS).facts
    assert of(LeadChanged, facts) == []
    ended, *_ = of(DuelEnded, facts)
    assert (ended.result, ended.held_by) == ("undecided", type(by).__name__)
    assert ended.standings[1].e_value > 1e6
    assert f"was held up because its {type(by).__name__} is worse" in ended.sentence


@pytest.mark.parametrize(
    "spec",
    [judged(), judged(metrics.ROCAUC(), metrics.Recall()), judged(metrics.Recall(), evidence=Evidence(metric_margin=None))],
    ids=["no metric declared", "one of probabilities first", "without a margin"],
)
def test_where_nothing_guards_it_the_loss_decides(spec: Pipeline) -> None:
    facts = Shard(spec).process(EVENTS).facts
    assert [fact.now for fact in of(LeadChanged, facts)] == ["other"]
    assert {fact.held_by for fact in of(DuelEnded, facts)} == {None}


@pytest.mark.slow
def test_it_promotes_nobody_that_the_evidence_does_not() -> None:
    """The rival has the better recall and the worse probabilities."""
    assert of(LeadChanged, Shard(judged(metrics.Recall(), swapped=True)).process(EVENTS).facts) == []


@pytest.mark.slow
def test_batches_and_restores_change_nothing() -> None:
    spec = judged(metrics.F1())
    whole, cut, facts = Shard(spec), Shard(spec), list[Any]()
    expected = whole.process(EVENTS).facts
    for start in range(0, 5_000, 625):
        facts += cut.process(EVENTS[start : start + 625]).facts
        cut = restored(spec, cut)
    assert facts == expected
    assert cut.digest() == whole.digest()


def test_a_margin_is_no_less_than_nothing() -> None:
    with pytest.raises(PipelineError, match="metric_margin is -1; use a difference of the metric's values"):
        judged(evidence=Evidence(metric_margin=-1))
