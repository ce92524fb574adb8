"""A changed pipeline: what did not change is kept, what is new begins afresh, what is gone takes with it what it had begun."""

from __future__ import annotations

from typing import Any

import pytest
from river import drift, dummy, linear_model, metrics, preprocessing, tree

from stream_retrain import Challenge, Evidence, Ignore, On, Pipeline, Reset, Retrain, Schema, Shard, Watch, Window
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.core.react.triggers import Every
from stream_retrain.core.state import Saved
from stream_retrain.errors import StateError
from stream_retrain.facts.shard import ChallengerJoined, Decided, DuelEnded, DuelStarted, Unmatched
from stream_retrain.facts.values import Event
from stream_retrain.lane.change import Change, adapted, unfit_parts
from stream_retrain.models import (
    AdditiveRegressor,
    FixedShareRegressor,
    QuickTreeRegressor,
    RestartingRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from tests.core import streams
from tests.lane.support import contestants, of, succession, wanted

PAIRS = streams.rows(1_500, flip_at=500)
LOG: list[Event] = list(streams.questions_and_answers(PAIRS, 15))
HALF = 600
"""Events of the log before the change."""
WAITING = 14
"""Questions that wait there."""

ERROR, FEATURE = Watch("error", drift.ADWIN()), Watch("feature:a", drift.PageHinkley())
OFTEN = On(Every(events=50), Ignore(), cooldown_events=120)
RESET = On.drift("error", Reset(), cooldown_events=300)
BEFORE: dict[str, Any] = {
    "metrics": [metrics.Accuracy(), metrics.F1()],
    "watch": [ERROR, FEATURE],
    "react": [RESET, OFTEN],
    "rolling_events": 100,
    "pending_rows_max": 20,
}


def pipeline(**changes: Any) -> Pipeline:
    return streams.pipeline(**{**BEFORE, **changes})


def at_half(before: Pipeline, events: int = HALF) -> Shard:
    shard = Shard(before)
    shard.process(LOG[:events])
    return shard


def read_back(shard: Shard) -> Saved:
    saved: Saved = load_state(dump_state(shard.snapshot()))
    return saved


def gone_on(shard: Shard, before: Pipeline, after: Pipeline) -> tuple[Shard, Change]:
    """The shard under the changed pipeline, by way of its bytes."""
    saved, change = adapted(read_back(shard), before.parts(), after)
    return Shard(after, load_state(dump_state(saved))), change


def changed(**changes: Any) -> tuple[Shard, Shard, Change]:
    """A shard before a change, after it, and what is told of it."""
    before, after = pipeline(), pipeline(**changes)
    shard = at_half(before)
    return shard, *gone_on(shard, before, after)


def watches(shard: Shard) -> list[Saved]:
    saved: list[Saved] = shard.snapshot()["reactions"]["watches"]["watches"]
    return saved


def rules(shard: Shard) -> list[Saved]:
    saved: list[Saved] = shard.snapshot()["reactions"]["policy"]["rules"]
    return saved


def same(first: object, second: object) -> bool:
    return digest(first) == digest(second)


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a metric added": {"metrics": [*BEFORE["metrics"], metrics.LogLoss()]},
    "a metric removed": {"metrics": [metrics.F1()]},
    "metrics in another order": {"metrics": [metrics.F1(), metrics.Accuracy()]},
    "the default metrics": {"metrics": []},
    "a watch added": {"watch": [Watch("loss", drift.ADWIN()), ERROR, FEATURE]},
    "a watch removed": {"watch": [ERROR]},
    "no watch and no rule": {"watch": [], "react": []},
    "rules in another order": {"react": [OFTEN, RESET]},
    "a rule added": {"react": [On.request(Ignore()), RESET, OFTEN]},
    "a rule that races": {"react": [RESET, OFTEN, On.request(Challenge())]},
    "a warning asked for": {"react": [On.warning("error", Ignore()), RESET, OFTEN]},
    "a smaller rolling score": {"rolling_events": 10},
    "a larger rolling score": {"rolling_events": 1_000},
    "another window": {"window_rows_max": 50, "window_age_max_s": 60.0},
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_champion_and_the_waiting_questions_are_kept(name: str) -> None:
    shard, after, change = changed(**CHANGES[name])
    assert same(succession(after)["champion"], succession(shard)["champion"])
    for name in ("generation", "events_seen", "newest_time_s"):
        assert getattr(after.observe(), name) == getattr(shard.observe(), name)
    assert same(after.snapshot()["questions"], shard.snapshot()["questions"])
    assert (change.questions_kept, change.questions_dropped, change.dropped) == (WAITING, 0, ())
    assert after.process(LOG[HALF : HALF + 60]).predicted == shard.process(LOG[HALF : HALF + 60]).predicted


def test_a_pipeline_that_did_not_change_differs_in_nothing() -> None:
    shard, _, change = changed()
    saved, _ = adapted(read_back(shard), pipeline().parts(), pipeline())
    assert same(saved, shard.snapshot())
    assert change.differs == ()
    assert change.kept == tuple(pipeline().parts())


@pytest.mark.parametrize(
    ("changes", "differs", "not_kept"),
    [
        (CHANGES["a metric added"], ("metric LogLoss",), {"metric LogLoss"}),
        (CHANGES["a metric removed"], ("metric Accuracy",), set()),
        (CHANGES["metrics in another order"], (), set()),
        (CHANGES["a watch added"], ("watch loss ADWIN",), {"watch loss ADWIN"}),
        (CHANGES["a watch removed"], ("watch feature:a PageHinkley",), set()),
        ({"watch": [ERROR, Watch("feature:a", drift.PageHinkley(threshold=9))]}, ("watch feature:a PageHinkley",), None),
        (CHANGES["a smaller rolling score"], ("rolling_events",), {"rolling_events"}),
        (CHANGES["another window"], ("window_rows_max", "window_age_max_s"), {"window_rows_max", "window_age_max_s"}),
        ({"react": [RESET]}, ("rule 1 every:50_events",), set()),
        (CHANGES["a rule added"], ("rule 0 request",), {"rule 0 request"}),
        (CHANGES["rules in another order"], (), set()),
        ({"react": [OFTEN]}, ("rule 0 drift:error",), set()),
        ({"react": [On.drift("error", Reset(), cooldown_events=5), OFTEN]}, ("rule 0 drift:error",), None),
    ],
)
def test_the_change_is_told_by_name(changes: dict[str, Any], differs: tuple[str, ...], not_kept: set[str] | None) -> None:
    """`not_kept` None: just what differs."""
    _, _, change = changed(**changes)
    assert change.differs == differs
    assert set(pipeline(**changes).parts()) - set(change.kept) == (set(differs) if not_kept is None else not_kept)


class TestMetrics:
    def test_those_that_stay_go_on(self) -> None:
        for name in ("a metric added", "a metric removed", "metrics in another order", "the default metrics"):
            shard, after, _ = changed(**CHANGES[name])
            running, rolling = after.observe().running, after.observe().rolling
            stayed = {metric: value for metric, value in shard.observe().running.items() if metric in running}
            assert stayed
            assert running.items() >= stayed.items()
            assert all(rolling[metric] == shard.observe().rolling[metric] for metric in stayed)

    def test_one_that_is_new_begins_afresh(self) -> None:
        _, after, _ = changed(metrics=[metrics.MacroF1(), metrics.Accuracy()])
        expected = metrics.MacroF1()
        for row in after.process(LOG[HALF:]).learned:
            if row.y_pred is not None:
                expected.update(row.y, row.y_pred)
        assert after.observe().running["MacroF1"] == expected.get()

    def test_one_of_probabilities_passes_over_predictions_that_have_none(self) -> None:
        """A model that gives labels only was asked for probabilities by nobody before."""
        model = preprocessing.StandardScaler() | linear_model.PAClassifier()
        before, after = (
            pipeline(model=model),
            pipeline(model=model, metrics=[metrics.LogLoss()], watch=[Watch("loss", drift.ADWIN()), ERROR]),
        )
        shard, _ = gone_on(at_half(before), before, after)
        shard.process(LOG[HALF:])
        assert shard.observe().running["LogLoss"] > 0

    def test_the_rolling_score_keeps_the_last_events(self) -> None:
        shard, after, _ = changed(rolling_events=10)
        recent = shard.snapshot()["scores"]["recent"]
        assert after.snapshot()["scores"]["recent"] == recent[-10:]
        assert after.observe().running == shard.observe().running


class TestWatches:
    def test_one_that_stays_goes_on(self) -> None:
        shard, after, _ = changed(watch=[Watch("loss", drift.ADWIN()), FEATURE, ERROR])
        assert same(watches(after)[1:], watches(shard)[::-1])

    def test_one_that_is_new_or_has_changed_begins_afresh(self) -> None:
        other = Watch("feature:a", drift.PageHinkley(threshold=9))
        shard, after, _ = changed(watch=[ERROR, other, Watch("loss", drift.ADWIN())])
        fresh = watches(Shard(pipeline(watch=[ERROR, other, Watch("loss", drift.ADWIN())])))
        assert same(watches(after)[0], watches(shard)[0])
        assert same(watches(after)[1:], fresh[1:])
        assert not same(watches(shard)[1], fresh[1])

    def test_a_rule_that_asks_for_warnings_adds_a_warner_and_keeps_the_guard(self) -> None:
        shard, after, _ = changed(react=[On.warning("error", Ignore()), RESET, OFTEN])
        assert same(watches(after)[0]["guard"], watches(shard)[0]["guard"])
        assert watches(shard)[0]["warner"] is None
        assert watches(after)[0]["warner"] is not None

    def test_a_warner_that_nobody_asks_for_goes(self) -> None:
        before, after = pipeline(react=[On.warning("error", Ignore()), RESET]), pipeline(react=[RESET])
        shard, _ = gone_on(at_half(before), before, after)
        assert watches(shard)[0]["warner"] is None

    def test_what_they_say_is_what_they_would_have_said(self) -> None:
        shard, after, _ = changed(metrics=[metrics.MacroF1()], react=[OFTEN, RESET])
        facts = [of(Decided, each.process(LOG[HALF:]).facts) for each in (shard, after)]
        assert any(fact.trigger == "drift:error" for fact in facts[0])
        assert sorted(facts[0], key=str) == sorted(facts[1], key=str)


class TestRules:
    def test_one_that_moved_still_cools_down(self) -> None:
        shard, after, change = changed(react=[On.request(Ignore()), OFTEN])
        assert rules(shard)[1]["acted_at"] == 200
        assert [rule["acted_at"] for rule in rules(after)] == [None, 200]
        assert "rule 1 every:50_events" in change.kept
        outcomes = {fact.events_seen: fact.outcome for fact in of(Decided, after.process(LOG[HALF : HALF + 300]).facts)}
        assert outcomes == {300: "cooldown", 350: "ignored", 400: "cooldown"}

    def test_one_that_has_changed_begins_afresh(self) -> None:
        _, after, change = changed(react=[RESET, On(Every(events=50), Ignore(), cooldown_events=60)])
        assert "rule 1 every:50_events" not in change.kept
        outcomes = [fact.outcome for fact in of(Decided, after.process(LOG[HALF : HALF + 40]).facts)]
        assert outcomes == ["ignored"]

    def test_the_state_of_its_trigger_moves_with_it(self) -> None:
        below = On.below("accuracy", 0.2, do=Ignore(), over_events=200, events_min=50)
        before, after = pipeline(react=[below, OFTEN]), pipeline(react=[OFTEN, below])
        shard = at_half(before)
        again, _ = gone_on(shard, before, after)
        assert len(rules(shard)[0]["trigger"]["predictions"]) == 200
        assert same(rules(again)[1], rules(shard)[0])

    def test_of_two_that_are_the_same_each_keeps_its_own_state(self) -> None:
        before, after = pipeline(react=[OFTEN, OFTEN, RESET]), pipeline(react=[RESET, OFTEN, OFTEN])
        shard = at_half(before)
        again, _ = gone_on(shard, before, after)
        assert same(rules(again), [rules(shard)[2], rules(shard)[0], rules(shard)[1]])

    def test_one_of_two_that_are_the_same_may_go(self) -> None:
        before, after = pipeline(react=[OFTEN, OFTEN]), pipeline(react=[OFTEN])
        again, change = gone_on(at_half(before), before, after)
        assert len(rules(again)) == 1
        assert change.differs == ("rule 1 every:50_events",)


class TestQuestions:
    def test_beyond_a_smaller_limit_the_oldest_are_left_out_and_counted(self) -> None:
        shard, after, change = changed(pending_rows_max=6)
        waiting = list(shard.snapshot()["questions"]["waiting"])
        assert list(after.snapshot()["questions"]["waiting"]) == waiting[-6:]
        assert (change.questions_kept, change.questions_dropped) == (6, WAITING - 6)
        answers = [Event(HALF + number, id_, float(HALF), None, True) for number, id_ in enumerate(waiting)]
        assert [fact.id for fact in of(Unmatched, after.process(answers).facts)] == waiting[:-6]

    def test_under_a_larger_limit_all_go_on(self) -> None:
        _, after, change = changed(pending_rows_max=1_000)
        assert (after.waiting, change.questions_kept, change.questions_dropped) == (WAITING, WAITING, 0)


QUICK = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)
RACE = On.every(events=520, do=Challenge(challengers=("fresh", "since_change"), evidence=Evidence(events_max=300)))
DUELLING: dict[str, Any] = {"model": QUICK, "watch": [], "metrics": []}


class TestDuel:
    @pytest.fixture
    def before(self) -> Pipeline:
        return pipeline(**DUELLING, react=[RACE])

    @pytest.fixture
    def shard(self, before: Pipeline) -> Shard:
        """In the middle of a duel that a challenger leads."""
        shard = at_half(before, 1_300)
        assert shard.observe().duel.number == 0
        assert shard.generation == 1
        return shard

    def test_whose_rule_is_gone_ends_with_its_leader_as_the_champion(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[OFTEN]))
        duel = succession(shard)["duel"]
        leader = contestants(shard)[duel["test"]["served"]]
        assert leader[0] != "champion"
        assert change.dropped == ("duel 0",)
        assert after.observe().duel is None
        assert same(succession(after)["champion"], leader[1])
        assert (after.generation, succession(after)["duels"]) == (1, 1)
        asked = LOG[1_300:1_302]
        assert after.process(asked).predicted == shard.process(asked).predicted

    def test_whose_rule_moved_goes_on_as_if_nothing_had_happened(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[On.request(Ignore()), RACE]))
        assert change.dropped == ()
        assert succession(after)["duel"]["rule"] == 1
        facts, expected = after.process(LOG[1_300:]).facts, shard.process(LOG[1_300:]).facts
        assert of(DuelEnded, expected)
        assert facts == expected
        assert rules(after)[1] == rules(shard)[0], "the cool-down counts from the end of the duel"

    def test_of_another_family_leaves_it_so(self) -> None:
        race = Challenge(challengers=[preprocessing.StandardScaler() | linear_model.LogisticRegression()])
        before = pipeline(**DUELLING, react=[On.every(events=520, do=race)])
        shard = at_half(before, 1_300)
        assert shard.generation == 1
        after, _ = gone_on(shard, before, pipeline(**DUELLING, react=[]))
        assert succession(after)["family"] == "another"


LONG = Retrain(window=Window(rows=5_000), evidence=Evidence(events_max=100))
TRAIN = On.every(events=250, do=LONG)


def trained(number: int) -> Trained:
    model = QUICK.clone()
    lessons = train(model, Shard(pipeline(**DUELLING, react=[])).process(LOG[:500]).learned)
    return Trained(training=number, model=model, lessons=lessons, learned_through=499)


class TestTraining:
    @pytest.fixture
    def before(self) -> Pipeline:
        return pipeline(**DUELLING, react=[TRAIN])

    @pytest.fixture
    def shard(self, before: Pipeline) -> Shard:
        """Waiting for its training."""
        shard = at_half(before)
        assert shard.observe().training == 0
        return shard

    def test_whose_rule_is_gone_is_dropped(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[OFTEN]))
        assert change.dropped == ("training 0",)
        assert after.outstanding() == []
        assert after.observe().training is None
        after.receive(trained(0))
        assert not of(ChallengerJoined, after.process(LOG[HALF : HALF + 10]).facts)

    def test_whose_rule_moved_is_asked_for_again_under_its_number(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[OFTEN, TRAIN]))
        assert change.dropped == ()
        asked = wanted(after)
        assert asked is not None
        assert (asked.training.number, asked.training.rule) == (0, 1)
        after.receive(trained(0))
        [joined] = of(ChallengerJoined, after.process(LOG[HALF : HALF + 10]).facts)
        assert joined.challenger == "retrained"

    def test_a_number_is_never_given_twice(self, before: Pipeline, shard: Shard) -> None:
        after, _ = gone_on(shard, before, pipeline(**DUELLING, react=[On.every(events=100, do=LONG)]))
        after.process(LOG[HALF : HALF + 200])
        asked = wanted(after)
        assert asked is not None
        assert asked.training.number == 1


class TestAChallengerThatWaits:
    """The trainer brought it while the duel of another rule went on."""

    RACE = On.every(events=260, do=Challenge(challengers=("fresh",), evidence=Evidence(events_max=500)))

    @pytest.fixture
    def before(self) -> Pipeline:
        return pipeline(**DUELLING, react=[TRAIN, self.RACE])

    @pytest.fixture
    def shard(self, before: Pipeline) -> Shard:
        shard = at_half(before)
        shard.receive(trained(0))
        shard.process(LOG[HALF : HALF + 40])
        assert shard.observe().duel.number == 0
        assert [training.number for training, _ in succession(shard)["waiting"]] == [0]
        return shard

    def test_goes_on_waiting_where_both_rules_stay(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[self.RACE, TRAIN]))
        assert change.dropped == ()
        [(training, _)] = succession(after)["waiting"]
        assert training.rule == 1
        rest = LOG[HALF + 40 :]
        joined, expected = (of(ChallengerJoined, each.process(rest).facts) for each in (after, shard))
        assert joined == expected
        assert joined[0].training == 0

    def test_is_dropped_where_its_own_rule_is_gone(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[self.RACE]))
        assert change.dropped == ("the challenger of training 0",)
        assert after.observe().duel.number == 0
        assert succession(after)["waiting"] == ()

    def test_enters_with_the_next_event_where_the_duel_is_gone(self, before: Pipeline, shard: Shard) -> None:
        after, change = gone_on(shard, before, pipeline(**DUELLING, react=[OFTEN, TRAIN]))
        assert change.dropped == ("duel 0",)
        assert after.outstanding() == [], "it has come, so nobody trains it again"
        step = after.process(LOG[HALF + 40 : HALF + 60])
        [started], [joined] = of(DuelStarted, step.facts), of(ChallengerJoined, step.facts)
        assert started.offset == joined.offset == LOG[HALF + 40].offset
        assert (started.contestants, joined.training, joined.gap) == (("champion", "retrained"), 0, False)


SCHEMA = pipeline().schema


@pytest.mark.parametrize(
    ("changes", "unfit"),
    [
        ({}, []),
        *(({**change}, []) for change in CHANGES.values()),
        ({"model": dummy.PriorClassifier()}, ["model"]),
        ({"model": preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1)}, ["model"]),
        ({"schema": Schema(id="id", label="y", features={"a": float, "b": float})}, ["schema"]),
        ({"schema": Schema(id="id", label="late", features=SCHEMA.features)}, ["schema"]),
        (
            {"task": "regression", "model": linear_model.LinearRegression(), "metrics": [], "watch": [], "react": []},
            ["task", "model"],
        ),
    ],
)
def test_with_another_task_schema_or_model_a_state_cannot_be_kept(changes: dict[str, Any], unfit: list[str]) -> None:
    assert unfit_parts(pipeline().parts(), pipeline(**changes)) == unfit


def test_parts_that_lack_one_of_them_fit_nothing() -> None:
    assert unfit_parts({}, pipeline()) == ["task", "schema", "model"]


@pytest.mark.parametrize("parts", [{}, {name: digest for name, digest in pipeline().parts().items() if not name.startswith("rule")}])
def test_a_state_that_is_not_of_its_parts_is_refused_and_the_remedy_named(parts: dict[str, str]) -> None:
    with pytest.raises(StateError, match="--rebuild"):
        adapted(read_back(at_half(pipeline())), parts, pipeline())


@pytest.mark.parametrize("part", ["scores", "reactions", "questions", "inputs"])
def test_so_is_a_state_that_lacks_a_part(part: str) -> None:
    saved = read_back(at_half(pipeline()))
    del saved[part]
    with pytest.raises(StateError, match="--rebuild"):
        adapted(saved, pipeline().parts(), pipeline())


def test_states_of_the_recommended_regressor_from_before_it_had_an_adwin_of_its_own() -> None:
    """They are refused by name, and go on where the detector of then is declared."""
    restarting = RestartingRegressor(QuickTreeRegressor(), drift.ADWIN(delta=0.05, clock=8))
    declared = FixedShareRegressor({"restarting_tree": restarting, "additive": AdditiveRegressor()})
    now, then = (streams.pipeline(task="regression", model=model, watch=[], react=[]) for model in (adaptive_regressor("first"), declared))
    headers = {**then.parts(), "model": "31e07b9b47b50a2767c4b3f308323803d5fbcf27bce57b966570cb187d1d2014"}
    assert unfit_parts(headers, now) == ["model"]
    assert unfit_parts(headers, then) == []


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_the_recommended_model_of_an_earlier_release_serves_until_it_is_replaced(task: str) -> None:
    make = adaptive_regressor if task == "regression" else adaptive_classifier
    rows: list[tuple[dict[str, Any], Any]] = [(x, 3.0 * x["a"] + x["b"]) for x, _ in PAIRS] if task == "regression" else list(PAIRS)
    log = list(streams.questions_and_answers(rows, 15))
    declared = {"task": task, "watch": [], "react": [On(Every(events=700), Reset())]}
    before, after = (streams.pipeline(model=model, **declared) for model in (make("first"), make()))
    assert unfit_parts(before.parts(), after) == []
    assert unfit_parts(after.parts(), before) == unfit_parts(before.parts(), streams.pipeline(model=make("light"), **declared)) == ["model"]
    there, here = Shard(before), Shard(before)
    there.process(log[:HALF])
    here.process(log[:HALF])
    here, change = gone_on(here, before, after)
    assert change.differs == ("model",)
    there.process(log[HALF:1_200])
    here.process(log[HALF:1_200])
    assert digest(succession(here)["champion"]) == digest(succession(there)["champion"])
    assert "additive" in succession(here)["champion"].members
    here.process(log[1_200:1_600])
    assert "slow_pairs" in succession(here)["champion"].members
