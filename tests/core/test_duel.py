"""The duel: who predicts, who learns, whose vote is scored, and what is told of it."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, dummy, linear_model, preprocessing, stats, tree

from stream_retrain.core.contest.duel import Asked, Ballot, Contestant, Duel, DuelSpec
from stream_retrain.core.contest.evidence import Evidence
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import ContestantFailed, DuelEnded, DuelFact, LeadChanged
from tests.core import streams


class Says(base.Classifier):
    """Predicts the same until it has learned `turns_at` events, then the other; raises at the event numbers it is told to."""

    def __init__(self, says: bool | None, turns_at: int = 10**9, predict_raises: tuple[int, ...] = (), learn_raises: tuple[int, ...] = ()):
        self.says = says
        self.turns_at = turns_at
        self.predict_raises = predict_raises
        self.learn_raises = learn_raises
        self.learned = 0

    def predict_one(self, x: dict[str, Any], **_: Any) -> bool | None:
        if x["n"] in self.predict_raises:
            raise ZeroDivisionError("predict")
        return self.says if self.learned < self.turns_at or self.says is None else not self.says

    def learn_one(self, x: dict[str, Any], y: Any, **_: Any) -> None:  # noqa: ARG002 - River calls it so
        if x["n"] in self.learn_raises:
            raise KeyError("learn")
        self.learned += 1


SPEC = DuelSpec(evidence=Evidence(events_max=60, rarest_min=0), task="binary")


def duel(champion: Any, *rivals: Any, spec: DuelSpec = SPEC, places: int | None = None) -> Duel:
    return spec.start(
        7,
        Contestant("champion", champion),
        [Contestant(f"rival{number}", rival) for number, rival in enumerate(rivals, 1)],
        places=places or 0,
    )


def run(fought: Duel, count: int = 200, y: bool = True, start: int = 0) -> list[DuelFact]:
    """Questions answered at once, until the duel has ended."""
    facts: list[DuelFact] = []
    for number in range(start, start + count):
        asked = fought.ask(number, float(number), {"n": number})
        facts += asked.facts
        facts += fought.step(number, float(number), {"n": number}, y, asked.ballot)
        if fought.over:
            break
    return facts


def told(facts: list[DuelFact]) -> list[tuple[Any, ...]]:
    out: list[tuple[Any, ...]] = []
    for fact in facts:
        match fact:
            case LeadChanged():
                out.append(("lead", fact.offset, fact.before, fact.now, fact.cause))
            case ContestantFailed():
                out.append(("failed", fact.offset, fact.name, fact.detail))
            case DuelEnded():
                out.append((fact.result, fact.offset, fact.winner, fact.changes))
    return out


def test_a_better_challenger_leads_and_is_promoted() -> None:
    facts = run(duel(Says(False), Says(True), Says(False)))
    assert told(facts) == [("lead", 9, "champion", "rival1", "evidence"), ("promoted", 59, "rival1", 1)]
    change = facts[0]
    assert isinstance(change, LeadChanged)
    assert [(each.name, each.loss_mean, each.events) for each in change.standings] == [
        ("champion", 1.0, 10),
        ("rival1", 0.0, 10),
        ("rival2", 1.0, 10),
    ]
    assert change.standings[1].e_value > 40
    assert change.standings[0].e_value == change.standings[2].e_value == 1.0


def test_the_loser_may_win_its_place_back() -> None:
    facts = run(duel(Says(False, turns_at=15), Says(True, turns_at=15)))
    assert [line[:4] for line in told(facts)] == [
        ("lead", 9, "champion", "rival1"),
        ("lead", 34, "rival1", "champion"),
        ("kept", 59, "champion", 2),
    ]


@pytest.mark.parametrize(
    ("rivals", "result"), [([Says(False)], "kept"), ([Says(True)], "undecided"), ([Says(False), Says(True)], "undecided")]
)
def test_the_champion_stays_because_it_is_better_or_because_nothing_was_shown(rivals: list[Any], result: str) -> None:
    assert told(run(duel(Says(True), *rivals))) == [(result, 59, "champion", 0)]


def test_a_model_that_cannot_predict_yet_has_missed() -> None:
    assert told(run(duel(Says(None), Says(True))))[0][:4] == ("lead", 9, "champion", "rival1")
    assert told(run(duel(Says(True), Says(None)))) == [("kept", 59, "champion", 0)]


def test_the_served_model_predicts_until_the_lead_changes() -> None:
    fought = duel(Says(False), Says(True))
    predictions = []
    for number in range(12):
        asked = fought.ask(number, 0.0, {"n": number})
        predictions.append(asked.prediction[0])
        fought.step(number, 0.0, {"n": number}, True, asked.ballot)
    assert predictions == [False] * 10 + [True] * 2
    assert fought.served == "rival1"
    assert fought.model.says is True


def test_everyone_learns_every_label() -> None:
    models = [Says(False), Says(True), Says(False)]
    run(duel(*models))
    assert [model.learned for model in models] == [60, 60, 60]


def test_votes_are_scored_as_they_were_when_the_question_was_asked() -> None:
    """All questions are asked before the first label: the challenger was wrong on all of them, whatever it has learned since."""
    fought = duel(Says(True), Says(False, turns_at=1))
    asked = [fought.ask(number, 0.0, {"n": number}) for number in range(60)]
    facts = [fact for number in range(60) for fact in fought.step(60 + number, 0.0, {"n": number}, True, asked[number].ballot)]
    assert told(facts) == [("kept", 119, "champion", 0)]
    assert facts[-1].standings[1].loss_mean == 1.0  # type: ignore[union-attr]


@pytest.mark.parametrize("ballot", [None, Ballot(6, (False, True))])
def test_a_question_from_before_this_duel_teaches_and_proves_nothing(ballot: Ballot | None) -> None:
    champion, rival = Says(False), Says(True)
    fought = duel(champion, rival)
    for number in range(100):
        assert fought.step(number, 0.0, {"n": number}, True, ballot) == []
    assert champion.learned == rival.learned == 100
    assert [each.events for each in fought.standing().contestants] == [0, 0]
    assert not fought.over


@pytest.mark.parametrize("where", ["predict_raises", "learn_raises"])
def test_a_challenger_that_raises_is_out_and_the_duel_goes_on(where: str) -> None:
    detail = "ZeroDivisionError: predict" if where == "predict_raises" else "KeyError: 'learn'"
    facts = run(duel(Says(False), Says(True, **{where: (4,)}), Says(True)))
    assert told(facts)[0] == ("failed", 4, "rival1", detail)
    assert [line[:4] for line in told(facts)[1:]] == [("lead", 9, "champion", "rival2"), ("promoted", 59, "rival2", 1)]


@pytest.mark.parametrize("where", ["predict_raises", "learn_raises"])
def test_a_served_challenger_that_raises_gives_the_lead_back(where: str) -> None:
    fought = duel(Says(False), Says(True, **{where: (20,)}))
    facts = run(fought)
    assert [line[0] for line in told(facts)] == ["lead", "failed", "lead", "kept"]
    assert told(facts)[2] == ("lead", 20, "rival1", "champion", "failure")
    assert told(facts)[3][1:3] == (20, "champion"), "nobody is left to compare with"


def test_a_champion_that_raises_alone_is_followed_by_the_first_challenger() -> None:
    fought = duel(Says(True, predict_raises=(3,)), Says(True), Says(True))
    facts = run(fought)
    assert told(facts)[:2] == [
        ("failed", 3, "champion", "ZeroDivisionError: predict"),
        ("lead", 3, "champion", "rival1", "failure"),
    ]
    assert told(facts)[-1] == ("promoted", 59, "rival1", 1)


def test_the_prediction_comes_from_who_is_left() -> None:
    fought = duel(Says(True, predict_raises=(0,)), Says(False))
    assert fought.ask(0, 0.0, {"n": 0}).prediction[0] is False


@pytest.mark.parametrize(("where", "error"), [("predict_raises", ZeroDivisionError), ("learn_raises", KeyError)])
def test_an_event_on_which_everyone_raises_is_raised_and_nobody_is_out(where: str, error: type[Exception]) -> None:
    fought = duel(Says(False, **{where: (5,)}), Says(True, **{where: (5,)}))
    run(fought, 5)
    with pytest.raises(error):
        run(fought, 1, start=5)
    assert [line[0] for line in told(run(fought, start=6))] == ["lead", "promoted"]


def test_one_that_joins_has_all_events_before_it_and_is_scored_from_there() -> None:
    fought = duel(Says(False), Says(False), places=2)
    assert run(fought, 40) == []
    early = fought.ask(40, 0.0, {"n": 40})
    fought.join(Contestant("trained", Says(True)))
    assert fought.step(40, 0.0, {"n": 40}, True, early.ballot) == []
    assert [each.events for each in fought.standing().contestants] == [41, 41, 0]
    facts = run(fought, start=41)
    assert told(facts)[0][:1] + told(facts)[0][2:4] == ("lead", "champion", "trained")
    assert told(facts)[-1][:3] == ("promoted", 99, "trained")
    with pytest.raises(ValueError, match="places for 2"):
        fought.join(Contestant("late", Says(True)))


def test_one_that_joined_and_leads_is_not_scored_on_questions_from_before() -> None:
    """Labels come 50 events late; the leader was not there when some of them were asked."""
    fought = duel(Says(False), Says(False), places=2)
    early = [fought.ask(number, 0.0, {"n": number}) for number in range(50)]
    fought.join(Contestant("trained", Says(True)))
    assert [line[3] for line in told(run(fought, 30))] == ["trained"]
    for asked in early:
        fought.step(99, 0.0, {"n": 0}, True, asked.ballot)
    assert [each.events for each in fought.standing().contestants] == [30, 30, 30]


def test_a_place_that_is_kept_costs_evidence_from_the_start() -> None:
    alone, kept = (told(run(duel(Says(False, turns_at=0), Says(False), places=places or 0)))[-1] for places in (1, 4))
    assert alone == kept == ("kept", 59, "champion", 0)
    spec = DuelSpec(evidence=Evidence(events_min=1, rarest_min=0), task="binary")
    first = [told(run(duel(Says(False), Says(True), spec=spec, places=places or 0)))[0][1] for places in (1, 4)]
    assert first[0] < first[1]


PAIRS = streams.rows(330, seed=8, flip_at=30)


def contestants() -> tuple[Contestant, list[Contestant]]:
    # Without max_depth a tree keeps the interpreter's recursion limit in its state, and hypothesis raises that while it runs.
    champion = tree.HoeffdingTreeClassifier(grace_period=20, max_depth=20)
    for x, y in streams.rows(300, seed=9):
        champion.learn_one(x, y)
    linear = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return Contestant("champion", champion), [Contestant("fresh", champion.clone()), Contestant("linear", linear)]


def fight(delay: int, stops: frozenset[int]) -> tuple[list[DuelFact], list[Any], str]:
    """A real duel with labels `delay` events late, saved and restored before the events in `stops`."""
    spec = DuelSpec(evidence=Evidence(events_max=250), task="binary", proba=True)
    fought = spec.start(1, *contestants())
    facts: list[DuelFact] = []
    asked: list[Asked] = []
    for number, (x, _) in enumerate(PAIRS):
        if number in stops:
            state, asked = pickle.loads(pickle.dumps((fought.snapshot(), asked)))
            fought = spec.build(state)
        asked.append(fought.ask(number, float(number), x))
        if number >= delay:
            before, y = PAIRS[number - delay]
            facts += fought.step(number, float(number), before, y, asked[number - delay].ballot)
        if fought.over:
            break
    return facts, [each.prediction for each in asked], digest(fought.snapshot())


WHOLE = {delay: fight(delay, frozenset()) for delay in (0, 13)}


def test_the_real_duel_has_something_to_tell() -> None:
    for facts, _, _ in WHOLE.values():
        assert isinstance(facts[0], LeadChanged)
        assert isinstance(facts[-1], DuelEnded)
        assert facts[-1].result == "promoted"


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([0, 13]), st.frozensets(st.integers(0, 320), min_size=1, max_size=4))
def test_restored_and_gone_on_is_never_stopped(delay: int, stops: frozenset[int]) -> None:
    assert fight(delay, stops) == WHOLE[delay]


FOUGHT: dict[str, list[Any]] = {
    "a better one": [Says(False), Says(True), Says(False)],
    "the lead comes back": [Says(False, turns_at=15), Says(True, turns_at=15)],
    "one that raises": [Says(False), Says(True, predict_raises=(4,)), Says(True)],
    "the leader raises": [Says(False), Says(True, learn_raises=(20,)), Says(False)],
    "all but one raise": [Says(True), Says(False, predict_raises=(7,)), Says(False, learn_raises=(30,))],
}


@pytest.mark.parametrize("name", FOUGHT)
def test_restored_before_every_event_it_goes_the_same_way(name: str) -> None:
    whole, cut = (duel(*pickle.loads(pickle.dumps(FOUGHT[name])), places=4) for _ in range(2))
    expected, facts = run(whole), list[DuelFact]()
    for number in range(200):
        facts += run(cut, 1, start=number)
        if cut.over:
            break
        cut = SPEC.build(pickle.loads(pickle.dumps(cut.snapshot())))
    assert facts == expected
    assert isinstance(facts[-1], DuelEnded)
    assert digest(cut.snapshot()) == digest(whole.snapshot())


def test_a_later_label_changes_no_vote_before_it() -> None:
    first, second = (duel(contestants()[0].model, *(each.model for each in contestants()[1])) for _ in range(2))
    for number, (x, y) in enumerate(PAIRS[:40]):
        one, two = first.ask(number, 0.0, x), second.ask(number, 0.0, x)
        assert one.ballot == two.ballot
        first.step(number, 0.0, x, y, one.ballot)
        second.step(number, 0.0, x, y != (number == 39), two.ballot)


def test_regression_is_dueled_by_relative_loss_and_an_exploding_model_loses() -> None:
    spec = DuelSpec(evidence=Evidence(events_max=100), task="regression")

    class Explodes(dummy.StatisticRegressor):
        def predict_one(self, x: dict[str, Any]) -> float:  # noqa: ARG002 - River calls it so
            return 1e23

    line = preprocessing.StandardScaler() | linear_model.LinearRegression()
    fought = spec.start(
        1,
        Contestant("champion", dummy.StatisticRegressor(stats.Mean())),
        [Contestant("line", line), Contestant("wild", Explodes(stats.Mean()))],
    )
    facts: list[DuelFact] = []
    for number, (x, _) in enumerate(PAIRS[:200]):
        asked = fought.ask(number, 0.0, x)
        facts += fought.step(number, 0.0, x, 1_000 * x["a"], asked.ballot)
        if fought.over:
            break
    assert [line[0] for line in told(facts)] == ["lead", "promoted"]
    assert facts[-1].winner == "line"  # type: ignore[union-attr]
    assert fought.standing().contestants[2].loss_mean == 1.0


def test_facts_are_values() -> None:
    facts = run(duel(Says(False), Says(True)))
    assert pickle.loads(pickle.dumps(facts)) == facts
    with pytest.raises(dataclasses.FrozenInstanceError):
        facts[0].offset = 1  # type: ignore[misc]


class Sure(base.Classifier):
    """Gives the probability of True that the event says under its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def predict_proba_one(self, x: dict[str, Any], **_: Any) -> dict[bool, float]:
        return {False: 1 - x[self.name], True: x[self.name]}

    def learn_one(self, x: dict[str, Any], y: Any, **_: Any) -> None:
        pass


def rare(fought: Duel, count: int, every: int = 50) -> list[DuelFact]:
    """Labels of which each `every`-th is True; "good" knows a little of it, "none" nothing. Both always answer False."""
    facts: list[DuelFact] = []
    for number in range(count):
        y = number % every == every - 1
        x = {"n": number, "none": 1 / every, "good": 0.3 if y else 0.01}
        asked = fought.ask(number, 0.0, x)
        facts += [*asked.facts, *fought.step(number, 0.0, x, y, asked.ballot)]
        if fought.over:
            break
    return facts


def rarely(**evidence: Any) -> DuelSpec:
    return DuelSpec(evidence=Evidence(events_max=1_000, **evidence), task="binary")


def test_a_rare_class_decides_by_log_loss_and_not_by_labels_missed() -> None:
    [lead, ended] = rare(duel(Sure("none"), Sure("good"), spec=rarely(rarest_min=0)), 1_000)
    assert isinstance(lead, LeadChanged)
    assert isinstance(ended, DuelEnded)
    assert (lead.loss, ended.loss, ended.result) == ("log", "log", "promoted")
    [ended] = rare(duel(Sure("none"), Sure("good"), spec=rarely(rarest_min=0, loss="miss")), 1_000)
    assert isinstance(ended, DuelEnded)
    assert (ended.loss, ended.changes) == ("miss", 0)


def test_a_duel_goes_on_until_enough_of_the_rarest_class_was_seen() -> None:
    [*_, ended] = rare(duel(Sure("none"), Sure("good"), spec=rarely()), 5_000)
    assert isinstance(ended, DuelEnded)
    assert ended.events == 2_500, "the fiftieth"


def test_a_duel_ends_at_twenty_times_its_events_whatever_it_lacks() -> None:
    spec = DuelSpec(evidence=Evidence(events_max=50), task="binary")
    [*_, ended] = rare(duel(Sure("none"), Sure("good"), spec=spec), 5_000, every=10**6)
    assert isinstance(ended, DuelEnded)
    assert ended.events == 1_000


def test_twins_end_at_once() -> None:
    [ended] = rare(duel(Sure("good"), Sure("good"), spec=rarely()), 5_000)
    assert isinstance(ended, DuelEnded)
    assert (ended.result, ended.events) == ("kept", 100)


def test_models_that_only_give_the_same_labels_are_twins_when_the_rare_ones_were_seen() -> None:
    """Two that answer False to everything may still differ in what matters."""
    [ended] = rare(duel(Says(False), Says(False), spec=rarely()), 5_000)
    assert isinstance(ended, DuelEnded)
    assert (ended.loss, ended.result, ended.events) == ("miss", "kept", 500)


def test_one_that_differs_is_no_twin() -> None:
    facts = rare(duel(Sure("good"), Sure("good"), Sure("none"), spec=rarely(rarest_min=0)), 5_000)
    assert [fact.events for fact in facts if isinstance(fact, DuelEnded)] == [1_000]


def test_where_a_contestant_gives_no_probabilities_labels_decide_for_all() -> None:
    assert duel(Sure("good"), Says(True)).loss == "miss"
    assert duel(Sure("good"), Sure("none")).loss == "log"


def test_one_that_joins_without_probabilities_changes_no_loss_and_is_taken_to_be_sure() -> None:
    fought = duel(Sure("good"), Sure("none"), places=2, spec=rarely())
    fought.join(Contestant("trained", Says(True)))
    rare(fought, 10)
    assert fought.loss == "log"
    assert fought.standing().contestants[2].loss_mean == 1.0


def test_the_served_prediction_shows_no_probabilities_it_would_not_show_outside() -> None:
    class Both(Sure):
        def predict_one(self, x: dict[str, Any], **_: Any) -> bool:
            return bool(x[self.name] > 0.1)

    x = {"n": 0, "good": 0.3, "none": 0.02}
    for proba in (False, True):
        asked = duel(Both("good"), Sure("none"), spec=dataclasses.replace(rarely(), proba=proba)).ask(0, 0.0, x)
        assert asked.prediction == (True, {False: 0.7, True: 0.3} if proba else None)
        assert asked.ballot.votes == (0.3, 0.02)


def test_restored_with_rare_labels_it_goes_the_same_way() -> None:
    whole, cut = (duel(Sure("none"), Sure("good"), spec=rarely()) for _ in range(2))
    rare(whole, 2_000)
    rare(cut, 1_000)
    spec = rarely()
    cut = spec.build(pickle.loads(pickle.dumps(cut.snapshot())))
    assert cut.loss == "log"
    rare(cut, 1_000)
    assert cut.standing().contestants == whole.standing().contestants
    assert digest(cut.snapshot()) == digest(whole.snapshot())
