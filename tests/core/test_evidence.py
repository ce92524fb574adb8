"""The paired test: what it promises under the null, what it finds, and that nothing about it depends on how it is run."""

from __future__ import annotations

import itertools
import math
import pickle
import random
import statistics
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.core.contest.evidence import BETS, Evidence, PairedTest, RelativeLoss
from stream_retrain.core.contest.loss import scoring_of

DUELS = 250
Losses = list[float | None]


def lead_changes(spec: Evidence, events: Iterable[Losses], contestants: int = 3) -> list[tuple[int, int]]:
    """(event, new leader) for each change of a duel."""
    test = spec.build(contestants=contestants)
    changes = []
    for number, losses in enumerate(events, start=1):
        taker = test.update(losses)
        if taker is not None:
            test.lead(taker)
            changes.append((number, taker))
        if test.events >= spec.events_max:
            break
    return changes


def independent(rates: list[float], rng: random.Random) -> Iterator[Losses]:
    while True:
        yield [float(rng.random() < rate) for rate in rates]


def in_shared_runs(rates: list[float], rng: random.Random) -> Iterator[Losses]:
    """Errors that come in long runs, hard stretches for all models alike; within a stretch who errs is chance."""
    factor = 1.0
    while True:
        if rng.random() < 0.03:
            factor = rng.choice([0.1, 0.5, 2.5])
        yield [float(rng.random() < min(1.0, rate * factor)) for rate in rates]


def one_hard_question(rates: list[float], rng: random.Random) -> Iterator[Losses]:
    """Errors that models make on the same events: a question is hard or easy for everyone."""
    while True:
        hardness = rng.random()
        yield [float(hardness < rate) if rng.random() < 0.7 else float(rng.random() < rate) for rate in rates]


def real_valued(rates: list[float], rng: random.Random) -> Iterator[Losses]:
    while True:
        yield [min(1.0, rng.expovariate(1 / rate)) for rate in rates]


def with_gaps(rates: list[float], rng: random.Random) -> Iterator[Losses]:
    for losses in independent(rates, rng):
        yield [loss if index == 0 or rng.random() < 0.5 else None for index, loss in enumerate(losses)]


NULLS = {"independent": independent, "shared runs": in_shared_runs, "hard questions": one_hard_question, "gaps": with_gaps}


@pytest.mark.slow
@pytest.mark.parametrize("spend", [None, 0.5])
@pytest.mark.parametrize("name", NULLS)
@pytest.mark.parametrize("rates", [[0.3, 0.3, 0.3], [0.2, 0.2, 0.35]])
def test_a_champion_that_is_no_worse_keeps_its_place(name: str, rates: list[float], spend: float | None) -> None:
    """Whole duels, looked at after every event: it loses its place in at most alpha of them."""
    spec = Evidence(alpha=0.2, spend=spend, events_max=500)
    replaced = sum(bool(lead_changes(spec, NULLS[name](rates, random.Random(seed)))) for seed in range(DUELS))
    assert replaced <= limit(0.2 if spend is None else 0.1)


def limit(probability: float) -> float:
    """Three standard deviations above what the promise allows."""
    return DUELS * probability + 3 * math.sqrt(DUELS * probability * (1 - probability))


def test_real_valued_losses_are_covered() -> None:
    spec = Evidence(alpha=0.2, spend=None, events_max=500)
    replaced = sum(bool(lead_changes(spec, real_valued([0.2, 0.2], random.Random(seed)), 2)) for seed in range(DUELS // 2))
    assert replaced <= limit(0.2) / 2


def pairs_of_forecasts(kind: str, positives: float, rng: random.Random, par: float) -> Iterator[tuple[bool, float, float]]:
    """Labels, with the probabilities of the served model and of a rival; with a fitting `par` they are equally good on average."""
    middle = math.log(positives / (1 - positives))

    def p(logit: float) -> float:
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))

    while True:
        told = rng.gauss(0, 1.5)
        y, noise, other = rng.random() < p(middle + told), rng.gauss(0, 1), rng.gauss(0, 1)
        match kind:
            case "both by chance":
                yield y, p(middle + told + noise), p(middle + told + other)
            case "rival too sure":
                yield y, p(middle + 0.3 * told), p(middle + par * told)
            case "served too sure":
                yield y, p(middle + par * told), p(middle + 0.3 * told)
            case "rival knows half":
                half = rng.random() < 0.5
                yield y, p(middle + 0.5 * told), p(middle + told) if half else p(middle + 0.5 * told + par * noise)


FORECASTS = {
    ("both by chance", 0.5): 0.0,
    ("both by chance", 0.03): 0.0,
    ("rival too sure", 0.5): 2.0,
    ("rival too sure", 0.03): 1.62,
    ("served too sure", 0.5): 2.0,
    ("served too sure", 0.03): 1.62,
    ("rival knows half", 0.5): 0.56,
    ("rival knows half", 0.03): 1.03,
}
LOG = scoring_of("log", "binary", probabilities=True)


def log_duel(spec: Evidence, events: Iterable[tuple[bool, float, float]]) -> int | None:
    """The event at which the rival takes the lead by log loss."""
    assert LOG.most_lost is not None
    test = spec.build(unit=LOG.unit)
    for y, *votes in itertools.islice(events, spec.events_max):
        if test.update([LOG.loss(y, vote) for vote in votes], LOG.most_lost(votes, 0)) is not None:
            return test.events
    return None


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "positives"), FORECASTS)
def test_by_log_loss_too_a_champion_that_is_no_worse_keeps_its_place(kind: str, positives: float) -> None:
    """Though none of these pairs is equally good on each question, as the promise asks."""
    spec, par = Evidence(alpha=0.2, events_max=1_000), FORECASTS[kind, positives]
    gap = [
        LOG.loss(y, served) - LOG.loss(y, rival)
        for y, served, rival in itertools.islice(pairs_of_forecasts(kind, positives, random.Random(1), par), 50_000)
    ]
    assert abs(statistics.fmean(gap)) < 3 * statistics.stdev(gap) / math.sqrt(len(gap)), "the pair is not equally good"
    replaced = sum(log_duel(spec, pairs_of_forecasts(kind, positives, random.Random(seed), par)) is not None for seed in range(DUELS))
    assert replaced <= limit(0.1)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1)), max_size=5))
def test_by_log_loss_evidence_is_not_expected_to_grow_for_a_rival_that_is_not_better(
    p: float, served: float, rival: float, before: list[tuple[bool, float, float]]
) -> None:
    """However high the bets are: p is the probability of a positive, and of the two forecasts the better one is the served model's."""
    assert LOG.most_lost is not None

    def expected(forecast: float) -> float:
        return p * LOG.loss(True, forecast) + (1 - p) * LOG.loss(False, forecast)

    served, rival = sorted((served, rival), key=expected)
    test = Evidence(events_min=10**6, events_max=10**6).build(unit=LOG.unit)
    for y, *votes in before:
        test.update([LOG.loss(y, vote) for vote in votes], LOG.most_lost(votes, 0))
    e_value, snapshot = test.e_value(1), test.snapshot()
    after = {}
    for y in (False, True):
        next_ = Evidence(events_min=10**6, events_max=10**6).build(snapshot, unit=LOG.unit)
        next_.update([LOG.loss(y, served), LOG.loss(y, rival)], LOG.most_lost([served, rival], 0))
        after[y] = next_.e_value(1)
        assert all(held >= 0 for held in next_.snapshot()["capital"][1]), "nobody owes anything"
    assert p * after[True] + (1 - p) * after[False] <= e_value * (1 + 1e-9)


def test_by_log_loss_a_rare_class_is_decided_in_half_the_time() -> None:
    """The served model gives every event the share of positives; the rival finds half of them."""

    def stream(rng: random.Random) -> Iterator[tuple[bool, float, float]]:
        while True:
            y = rng.random() < 0.03
            yield y, 0.03, 0.5 if rng.random() < (0.5 if y else 0.015) else 0.016

    def at(spec: Evidence, seed: int, *, unit: float) -> int:
        test = spec.build(unit=unit)
        for y, *votes in stream(random.Random(seed)):
            if test.update([LOG.loss(y, vote) for vote in votes], LOG.most_lost(votes, 0) if LOG.most_lost else None) is not None:
                break
        return test.events

    spec = Evidence(events_max=10**6)
    shares, nats = (statistics.median(at(spec, seed, unit=unit) for seed in range(40)) for unit in (1.0, LOG.unit))
    assert nats < 0.5 * shares


def test_spent_by_halves_a_whole_duel_has_a_false_change_in_at_most_alpha() -> None:
    """The first change is due, every later one is false: the two that are good are equally good."""
    spec = Evidence(alpha=0.3, spend=0.5, events_max=500)
    false = promoted = 0
    for seed in range(DUELS):
        changes = lead_changes(spec, independent([0.5, 0.2, 0.2], random.Random(seed)))
        promoted += bool(changes)
        false += len(changes) > 1
    assert promoted == DUELS
    assert false <= limit(0.3)


def test_the_levels_of_all_changes_sum_to_alpha() -> None:
    spec = Evidence(alpha=0.2, spend=0.3)
    assert math.fsum(1 / spec.passes(change) for change in range(1, 200)) == pytest.approx(0.2)
    assert {Evidence(spend=None).passes(change) for change in range(1, 9)} == {5.0}
    assert spec.passes(1_000_000) == math.inf, "so small a level is never reached, rather than divided by"


def test_runs_that_hit_models_at_different_times_are_not_covered() -> None:
    """The limit of the promise, as its docstring tells it: equally good on average, and still the champion falls in a bad run."""

    def taking_turns(rng: random.Random) -> Iterator[Losses]:
        for number in itertools.count():
            worse = number // 60 % 2
            yield [float(rng.random() < (0.6 if index == worse else 0.1)) for index in range(2)]

    replaced = sum(bool(lead_changes(Evidence(events_max=500), taking_turns(random.Random(seed)), 2)) for seed in range(50))
    assert replaced > 40


@pytest.mark.parametrize(("served", "rival", "median_max"), [(0.5, 0.1, 25), (0.4, 0.2, 80), (0.3, 0.2, 250)])
def test_a_better_rival_is_found_soon(served: float, rival: float, median_max: int) -> None:
    delays = []
    for seed in range(100):
        changes = lead_changes(Evidence(events_max=500), independent([served, rival, served], random.Random(seed)))
        delays.append(changes[0][0] if changes else 1_000)
    assert sorted(delays)[50] <= median_max


def test_of_several_the_best_is_taken_and_a_wrong_leader_gives_its_place_back() -> None:
    rng = random.Random(2)
    stream = itertools.chain(
        itertools.islice(independent([0.5, 0.4, 0.05], rng), 100), itertools.islice(independent([0.05, 0.5, 0.6], rng), 300)
    )
    assert [taker for _, taker in lead_changes(Evidence(), stream)] == [2, 0]


def test_rivals_that_agree_need_less_and_never_more_than_bonferroni_asks() -> None:
    spec = Evidence(alpha=0.1, spend=None, events_min=1)
    alone = lead_changes(spec, [[1.0, 0.0, 1.0]] * 50)[0][0]
    together = lead_changes(spec, [[1.0, 0.0, 0.0]] * 50)[0][0]
    e_value = [0.25 + 0.75 * sum((1 + bet) ** wins for bet in BETS) / len(BETS) for wins in range(50)]
    assert together == next(wins for wins in range(50) if e_value[wins] >= 10)
    assert alone == next(wins for wins in range(50) if (e_value[wins] + 1) / 2 >= 10)
    assert e_value[alone] <= 20 * 1.9


def test_a_rival_with_much_evidence_is_held_back_by_no_more_than_its_sets() -> None:
    """Evidence that only another rival's losses weigh down: the lone rival passes when the mean over all does."""
    spec = Evidence(alpha=0.2, spend=None, events_min=1)
    test = spec.build(contestants=3)
    takers = [test.update([1.0, 0.0, 1.0 if number % 2 else 0.0]) for number in range(8)]
    assert 1 in takers
    assert 2 not in takers


def test_no_change_before_events_min_and_one_at_it_even_without_news() -> None:
    spec = Evidence(events_min=20)
    changes = lead_changes(spec, [[1.0, 0.0, 1.0]] * 19 + [[1.0, 1.0, 1.0]] * 5)
    assert changes == [(20, 1)]


def test_who_gives_no_prediction_is_not_scored_and_cannot_take_the_lead() -> None:
    test = Evidence(events_min=1, spend=None).build(contestants=3)
    for _ in range(3):
        assert test.update([1.0, None, 1.0]) is None
    assert test.e_value(1) == 1.0
    for _ in range(20):
        assert test.update([None, 0.0, 0.0]) is None
    assert test.events == 3, "without the served model's vote there is nothing to pair"


def test_a_rival_shown_to_be_worse_is_rejected() -> None:
    test = Evidence().build(contestants=3)
    for losses in itertools.islice(independent([0.1, 0.6, 0.1], random.Random(1)), 200):
        test.update(losses)
    assert test.rejects(1)
    assert not test.rejects(2)
    assert test.e_value_against(1) > 20 > 1 > test.e_value(1)


def test_very_many_events_of_one_kind_neither_overflow_nor_lose_the_way_back() -> None:
    test = Evidence(events_min=10**6, events_max=10**6).build()
    for _ in range(5_000):
        test.update([0.0, 1.0])
    assert 0 < test.e_value(1) < 0.01
    assert 1e100 < test.e_value_against(1) < math.inf
    for _ in range(15_000):
        test.update([1.0, 0.0])
    assert 1e100 < test.e_value(1) < math.inf
    assert test.e_value_against(1) < 1


@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), max_size=40), st.integers(90, 320))
def test_what_is_staked_later_leaves_it_a_martingale(pattern: list[float], events: int) -> None:
    """Between two models that are equally good the mean of what may come next is what there is, whatever came before."""
    spec = Evidence(events_min=10**6, events_max=10**6)
    test = spec.build()
    for difference in itertools.islice(itertools.cycle(pattern or [0.0]), events):
        test.update([max(difference, 0.0), max(-difference, 0.0)])
    e_value, snapshot = test.e_value(1), test.snapshot()
    after = []
    for losses in ([1.0, 0.0], [0.0, 1.0]):
        next_ = spec.build(pickle.loads(pickle.dumps(snapshot)))
        next_.update(losses)
        after.append(next_.e_value(1))
    assert sum(after) / 2 == pytest.approx(e_value)


def test_a_rival_that_becomes_better_late_is_found_soon_after() -> None:
    changes = []
    for seed in range(50):
        rng = random.Random(seed)
        worse, better = independent([0.2, 0.5], rng), independent([0.2, 0.0], rng)
        found = lead_changes(Evidence(events_max=3_000), itertools.chain(itertools.islice(worse, 1_500), itertools.islice(better, 500)))
        changes += [event for event, _ in found]
    assert len(changes) == 50, "without what is staked later, hardly one: all would be lost in the first 1,500 events"
    assert min(changes) > 1_500
    assert sorted(changes)[25] < 1_500 + 150


LOSS = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1), st.none())


def seen(test: PairedTest) -> tuple[object, ...]:
    return (test.served, test.changes, test.events, *(test.e_value(index) for index in range(3)))


@given(st.lists(st.lists(LOSS, min_size=3, max_size=3), max_size=80), st.sets(st.integers(0, 80)))
def test_restored_and_gone_on_is_never_stopped(events: list[Losses], stops: set[int]) -> None:
    spec = Evidence(events_min=3, alpha=0.5)
    whole, stopped = spec.build(contestants=3), spec.build(contestants=3)
    for number, losses in enumerate(events):
        if number in stops:
            stopped = spec.build(pickle.loads(pickle.dumps(stopped.snapshot())))
        for test in (whole, stopped):
            taker = test.update(losses)
            if taker is not None:
                test.lead(taker)
        assert seen(whole) == seen(stopped)
    assert whole.snapshot() == stopped.snapshot()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60))
def test_the_e_value_is_the_mean_capital_of_the_bettors_and_one_bets_against(pairs: list[tuple[float, float]]) -> None:
    test = Evidence(events_min=1_000, events_max=1_000).build()
    for served, rival in pairs:
        test.update([served, rival])
    capital = [math.prod(1 + bet * (served - rival) for served, rival in pairs) for bet in BETS]
    against = math.prod(1 + 0.2 * (rival - served) for served, rival in pairs)
    assert test.e_value(1) == pytest.approx(0.25 + 0.75 * sum(capital) / len(BETS))
    assert test.e_value_against(1) == pytest.approx(against)


def test_relative_loss_uses_the_scale_of_the_past_only() -> None:
    relative = RelativeLoss()
    assert relative.losses(10.0, [9.0, 7.0]) is None, "the first event gives the scale: the lower median error, 1"
    assert relative.losses(10.0, [12.0, 1e23]) == [0.5, 1.0]
    assert relative.losses(10.0, [10.0, None]) == [0.0, None]


@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=40), st.integers(-20, 20))
def test_relative_loss_has_no_unit_and_is_bounded(rows: list[tuple[float, float, float]], exponent: int) -> None:
    plain, scaled = RelativeLoss(), RelativeLoss()
    unit = 2.0**exponent
    for y, first, second in [tuple(map(round, row)) for row in rows]:
        losses = plain.losses(y, [first, second])
        assert losses == scaled.losses(y * unit, [first * unit, second * unit])
        assert losses is None or all(loss is not None and 0 <= loss <= 1 for loss in losses)


@pytest.mark.parametrize("wild", [math.inf, -math.inf, math.nan, 1e300])
def test_a_prediction_that_explodes_loses_fully_and_does_not_move_the_scale(wild: float) -> None:
    relative = RelativeLoss()
    relative.losses(1.0, [0.0, 3.0])
    before = relative.snapshot()["scale"]
    assert relative.losses(1.0, [0.0, wild]) == [0.25, 1.0]
    assert relative.snapshot()["scale"] == pytest.approx(before)


def test_relative_loss_restored_goes_on() -> None:
    rng = random.Random(1)
    whole, stopped = RelativeLoss(), RelativeLoss()
    for _ in range(300):
        stopped = RelativeLoss(pickle.loads(pickle.dumps(stopped.snapshot())))
        y, predictions = rng.gauss(0, 1), [rng.gauss(0, 1), rng.gauss(0, 2)]
        assert whole.losses(y, predictions) == stopped.losses(y, predictions)


def test_faults_of_a_declaration_are_all_listed() -> None:
    assert not list(Evidence().faults())
    wrong = Evidence(alpha=1.5, spend=0.0, events_min=0, events_max=-1, bets=(1.0,))
    assert [fault.split()[0] for fault in wrong.faults()] == ["alpha", "spend", "events_min", "events_max", "bets"]
