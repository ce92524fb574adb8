"""Challengers of every kind: another family, a window, a copy of the champion; trained on the spot or by the trainer."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from typing import Any

import pytest
from river import drift, dummy, linear_model, preprocessing, tree

from stream_retrain import Challenge, Challenger, Evidence, FineTune, On, Pipeline, PipelineError, Retrain, Shard, Watch, Window
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.contest.inputs import Input, NotTrained, Trained
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import ChallengerJoined, Decided, DuelEnded, DuelStarted, TrainingFailed, TrainingRequested
from stream_retrain.facts.values import Event, Learned
from tests.core import streams
from tests.lane.support import contestants, of, succession, wanted

QUICK = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)
SHORT = Evidence(events_max=300)


def shard_with(reaction: Any, events: int = 900, **changes: Any) -> Shard:
    return Shard(streams.pipeline(**{"watch": [], "react": [On.every(events=events, do=reaction)], **changes}))


def log(count: int = 4_000, flip_at: int | None = 800) -> list[Event]:
    return streams.events(streams.rows(count, flip_at=flip_at))


def trained(shard: Shard, events: Sequence[Event], through: int) -> Trained:
    """What the trainer would hand over, taught all events up to `through`."""
    asked = wanted(shard)
    assert asked is not None
    model = QUICK.clone() if asked.base is None else asked.base
    rows = Shard(streams.pipeline(watch=[], react=[])).process(events[: through + 1]).learned
    return Trained(training=asked.training.number, model=model, lessons=train(model, rows), learned_through=through)


def test_a_model_of_another_family_can_take_the_place() -> None:
    shard = shard_with(Challenge(challengers=[preprocessing.StandardScaler() | linear_model.LogisticRegression()]), model=QUICK)
    facts = shard.process(log()).facts
    [started, *_] = of(DuelStarted, facts)
    assert started.contestants == ("champion", "another")
    assert any(ended.winner == "another" for ended in of(DuelEnded, facts))


def test_a_short_window_is_learned_on_the_spot() -> None:
    shard = shard_with(Challenge(window=Window(rows=100), evidence=SHORT))
    [started, *_] = of(DuelStarted, shard.process(log(950)).facts)
    assert started.contestants == ("champion", "fresh", "since_change", "additive", "window")
    assert started.trained_on[4] == 100


def test_a_copy_of_the_champion_starts_where_the_champion_is() -> None:
    own = Challenger(name="copy", start="champion", window=Window(rows=50))
    shard = shard_with(Challenge(challengers=[own], evidence=SHORT))
    shard.process(log(900, None))
    assert [name for name, *_ in contestants(shard)] == ["champion", "copy"]
    x = {"a": 0.3, "b": 0.1, "c": 0.0}
    champion, copy = (model.predict_proba_one(x)[True] for _, model, _ in contestants(shard))
    assert champion != copy, "it has learned 50 events twice"
    assert abs(champion - copy) < 0.2


def test_a_stored_version_goes_on_from_what_it_has_learned() -> None:
    stored = QUICK.clone()
    rows = [Learned(event.offset, event.time_s, event.x or {}, event.y or False, None) for event in log(2_000, None)]
    train(stored, rows)
    shard = shard_with(FineTune(window=Window(rows=50), model=stored, evidence=SHORT), model=dummy.PriorClassifier())
    facts = shard.process(log(900, None)).facts
    assert of(DuelStarted, facts)[0].contestants == ("champion", "fine_tuned")
    *_, (_, model, _) = contestants(shard)
    assert digest(stored) == digest(taught(rows)), "the stored one itself learns nothing more"
    assert digest(model) == digest(taught([*rows, *rows[850:900]]))
    assert of(DuelEnded, shard.process(log(1_300, None)[900:]).facts)[0].winner == "fine_tuned"


def test_what_a_stored_version_has_learned_is_part_of_the_pipeline() -> None:
    def pipeline(model: Any) -> Pipeline:
        return streams.pipeline(react=[On.drift("error", FineTune(window=Window(rows=50), model=model))])

    learned = taught([Learned(0, 0.0, {"a": 1.0, "b": 0.0, "c": 0.0}, True, None)])
    assert pipeline(QUICK).digest() == pipeline(QUICK.clone()).digest() != pipeline(learned).digest()


def taught(rows: Sequence[Learned]) -> Any:
    model = QUICK.clone()
    train(model, rows)
    return model


def test_a_challenger_of_a_release_without_digests_has_none() -> None:
    """Pickle saves the values of its fields, of which there was one less."""
    new = Trained(training=1, model=None, lessons=2, learned_through=3, gap=True, caught_up=4, digest="5e1f")
    old = Trained.__new__(Trained)
    old.__setstate__(new.__getstate__()[:-1])  # type: ignore[attr-defined]
    assert [old.training, old.lessons, old.learned_through, old.gap, old.caught_up, old.digest] == [1, 2, 3, True, 4, ""]
    back = pickle.loads(pickle.dumps(new))
    assert (back.digest, back.caught_up) == ("5e1f", 4)


class TestByTheTrainer:
    def test_it_is_asked_for_and_the_champion_goes_on(self) -> None:
        shard = shard_with(Retrain(window=Window(rows=5_000)))
        outcome = shard.process(log(2_000))
        [asked] = of(TrainingRequested, outcome.facts)
        assert (asked.offset, asked.training, asked.challenger) == (899, 0, "retrained")
        [command] = outcome.commands
        assert isinstance(command, Train)
        assert (command.training.number, command.training.through_offset, command.base) == (0, 899, None)
        asked_again = wanted(shard)
        assert asked_again is not None
        assert asked_again.training == command.training
        assert not of(DuelStarted, outcome.facts)
        assert len(outcome.predicted) == 2_000
        assert [fact.outcome for fact in of(Decided, outcome.facts)] == ["done", "in_training"], "one training at a time"

    def test_what_comes_back_races_from_the_next_event(self) -> None:
        events = log()
        shard = shard_with(Retrain(window=Window(rows=5_000), evidence=SHORT))
        shard.process(events[:1_500])
        shard.receive(trained(shard, events, 1_499))
        assert shard.observe().duel is None, "nothing happens before the next event"
        assert wanted(shard) is None, "and nobody is asked again"
        facts = shard.process(events[1_500:1_799]).facts
        [joined], [started] = of(ChallengerJoined, facts), of(DuelStarted, facts)
        assert (joined.offset, joined.training, joined.duel, joined.lessons, joined.learned_through) == (1_500, 0, 0, 1_500, 1_499)
        assert started.contestants == ("champion", "retrained")
        assert shard.observe().training is None
        assert shard.observe().duel.number == 0

    def test_it_joins_the_duel_its_rule_began(self) -> None:
        events = log()
        shard = shard_with(Challenge(window=Window(rows=1_000), evidence=Evidence(events_max=800)))
        facts = shard.process(events[:1_000]).facts
        assert of(DuelStarted, facts)[0].contestants == ("champion", "fresh", "since_change", "additive")
        shard.receive(trained(shard, events, 999))
        facts = shard.process(events[1_000:1_001]).facts
        assert of(ChallengerJoined, facts)[0].duel == 0
        assert not of(DuelStarted, facts)
        assert [name for name, *_ in contestants(shard)][4] == "window"

    def test_it_waits_for_the_duel_of_another_rule_and_learns_meanwhile(self) -> None:
        events = log()
        rules = [On.every(events=900, do=Retrain(window=Window(rows=5_000))), On.every(events=950, do=Challenge(evidence=SHORT))]
        shard = shard_with(None, react=rules)
        shard.process(events[:960])
        given = trained(shard, events, 959)
        shard.receive(given)
        meanwhile = shard.process(events[960:1_200]).facts
        assert not of(ChallengerJoined, meanwhile)
        facts = shard.process(events[1_200:1_400]).facts
        [ended], [joined] = of(DuelEnded, facts), of(ChallengerJoined, facts)
        assert joined.offset == ended.offset == 1_249
        assert joined.duel == 1
        other = Shard(streams.pipeline(model=QUICK, watch=[], react=[]))
        other.process(events[:1_400])
        x = {"a": 0.3, "b": 0.1, "c": 0.0}
        assert given.model.predict_proba_one(x) == succession(other)["champion"].predict_proba_one(x)

    def test_a_failure_is_told_and_another_training_may_follow(self) -> None:
        events = log()
        shard = shard_with(Retrain(window=Window(rows=5_000)))
        shard.process(events[:1_000])
        shard.receive(NotTrained(training=0, error="took longer than 600 s"))
        facts = shard.process(events[1_000:1_900]).facts
        [failed] = of(TrainingFailed, facts)
        assert (failed.offset, failed.challenger, failed.error) == (1_000, "retrained", "took longer than 600 s")
        assert [asked.training for asked in of(TrainingRequested, facts)] == [1]

    def test_a_training_s_end_nobody_waits_for_is_passed_over(self) -> None:
        events = log()
        shard = shard_with(Retrain(window=Window(rows=5_000)))
        shard.process(events[:1_000])
        late: list[Input] = [NotTrained(training=7, error="x"), Trained(training=7, model=QUICK, lessons=1, learned_through=5)]
        for given in late:
            shard.receive(given)
        assert not shard.process(events[1_000:1_010]).facts
        assert wanted(shard) is not None

    def test_fine_tuning_starts_from_the_champion_as_it_was(self) -> None:
        events = log()
        shard = shard_with(FineTune(window=Window(rows=5_000), passes=2))
        before = Shard(streams.pipeline(watch=[], react=[]))
        before.process(events[:900])
        shard.process(events[:1_300])
        x = {"a": 0.3, "b": 0.1, "c": 0.0}
        asked = wanted(shard)
        assert asked is not None
        assert asked.base.predict_proba_one(x) == succession(before)["champion"].predict_proba_one(x)

    def test_inputs_survive_restores_and_batches_change_nothing(self) -> None:
        events = log(2_500)
        whole, cut = (
            shard_with(Retrain(window=Window(rows=5_000), evidence=SHORT)),
            shard_with(Retrain(window=Window(rows=5_000), evidence=SHORT)),
        )
        for shard in (whole, cut):
            shard.process(events[:1_200])
            shard.receive(trained(shard, events, 1_199))
        expected = whole.process(events[1_200:]).facts
        facts: list[Any] = []
        for start in range(1_200, len(events), 77):
            cut = Shard(cut._pipeline, pickle.loads(pickle.dumps(cut.snapshot())))
            facts += cut.process(events[start : start + 77]).facts
        assert facts == expected
        assert cut.digest() == whole.digest()


@pytest.mark.parametrize(
    ("reaction", "said"),
    [
        (Retrain(window=Window()), "exactly one of rows"),
        (Retrain(window=Window(rows=5, seconds=5)), "exactly one of rows"),
        (Retrain(window=Window(rows=0)), "rows is 0"),
        (FineTune(window=Window(rows=500), passes=0), "passes is 0"),
        (Challenge(challengers=[Challenger(name="champion")]), "a name of its own"),
        (Challenge(challengers=[Challenger(name="rival")]), "a name of its own"),
        (Challenge(challengers=[Challenger(name="a", start="given")]), "give a trained River model"),
        (Challenge(challengers=[Challenger(name="a", model="linear")]), "model is 'linear'; use a River model or 'additive'"),
        (Challenge(challengers=["fresh", "fresh"]), "a name of its own"),
        (Challenge(challengers=[Challenger(name="a", start="champion", model=QUICK)]), "of another family"),
        (Challenge(challengers=[Challenger(name=n, window=Window(rows=5_000)) for n in "ab"]), "at most one challenger"),
        (Challenge(challengers=[linear_model.LinearRegression()]), "needs a River classifier"),
    ],
)
def test_faults_are_told(reaction: Any, said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(react=[On.drift("error", reaction)])
    assert any(said in fault for fault in caught.value.faults), caught.value.faults


class TestRegression:
    """River's wrapper around detectors is for classification only; here a regressor has all of it."""

    @staticmethod
    def log(count: int, flip_at: int) -> list[Event]:
        rng = random.Random(5)
        pairs = []
        for number in range(count):
            x = {name: rng.uniform(-1, 1) for name in streams.FEATURES}
            sign = -1.0 if number >= flip_at else 1.0
            pairs.append((x, sign * (3 * x["a"] - 2 * x["b"]) + rng.gauss(0, 0.1)))
        return streams.events(pairs)

    @staticmethod
    def pipeline(*rules: On) -> Pipeline:
        model = tree.HoeffdingTreeRegressor(grace_period=100)
        return streams.pipeline(task="regression", model=model, watch=[Watch("loss", drift.ADWIN())], react=rules)

    def test_a_threshold_on_its_error_lets_another_family_win(self) -> None:
        linear = preprocessing.StandardScaler() | linear_model.LinearRegression()
        rule = On.above("mae", 0.8, do=Challenge(challengers=["fresh", linear]), over_events=300, events_min=200)
        facts = Shard(self.pipeline(rule)).process(self.log(4_000, 2_000)).facts
        ended = of(DuelEnded, facts)
        assert ended
        assert ended[0].result == "promoted"

    def test_a_training_on_the_window_is_promoted_after_a_drift(self) -> None:
        events = self.log(4_000, 1_500)
        rule = On.drift("loss", Retrain(window=Window(rows=5_000), evidence=Evidence(events_max=1_000)))
        shard = Shard(self.pipeline(rule))
        facts = shard.process(events[:2_000]).facts
        [asked, *_] = of(TrainingRequested, facts)
        assert 1_500 < asked.offset < 1_600
        model = tree.HoeffdingTreeRegressor(grace_period=100)
        rows = [Learned(event.offset, event.time_s, event.x or {}, event.y or 0.0, None) for event in events[1_500:2_000]]
        shard.receive(Trained(training=0, model=model, lessons=train(model, rows), learned_through=1_999))
        facts = shard.process(events[2_000:]).facts
        assert of(ChallengerJoined, facts)
        assert of(DuelEnded, facts)[0].result == "promoted"
