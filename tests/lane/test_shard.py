"""What a shard does, event by event."""

from __future__ import annotations

import itertools
from typing import Any

from river import base, drift

from stream_retrain import Ignore, On, Reset, Shard, Watch
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import Decided, DriftDetected, ModelReset, Rejected, Unmatched
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import succession

X = {"a": 1.0, "b": 0.0, "c": 0.0}


def question(offset: int, id_: str, time_s: float | None = None) -> Event:
    return Event(offset, id_, float(offset) if time_s is None else time_s, dict(X), None)


def answer(offset: int, id_: str, y: bool = True, time_s: float | None = None) -> Event:
    return Event(offset, id_, float(offset) if time_s is None else time_s, None, y)


def test_an_event_with_both_is_predicted_and_then_learned() -> None:
    outcome = Shard(streams.pipeline()).process([Event(5, "e", 1.0, dict(X), True)])
    assert [(fact.offset, fact.id, fact.generation) for fact in outcome.predicted] == [(5, "e", 0)]
    assert [(row.offset, row.y, row.y_pred) for row in outcome.learned] == [(5, True, outcome.predicted[0].prediction)]


def test_an_answer_teaches_the_features_of_its_question() -> None:
    outcome = Shard(streams.pipeline()).process([question(0, "q"), answer(1, "q")])
    assert len(outcome.predicted) == 1
    assert [(row.offset, row.x, row.y) for row in outcome.learned] == [(1, X, True)]


def test_an_enriched_record_of_a_waiting_question_is_its_answer() -> None:
    outcome = Shard(streams.pipeline()).process([question(0, "q"), Event(1, "q", 1.0, {**X, "a": -9.0}, True)])
    assert len(outcome.predicted) == 1, "a question is answered once"
    assert outcome.learned[0].x == X


def test_a_question_asked_again_while_it_waits_is_a_duplicate() -> None:
    outcome = Shard(streams.pipeline()).process([question(0, "q"), question(1, "q")])
    assert [(fact.offset, fact.reason) for fact in outcome.facts if isinstance(fact, Rejected)] == [(1, "duplicate")]
    assert len(outcome.predicted) == 1


def test_an_answer_without_a_question_is_counted_and_teaches_nothing() -> None:
    shard = Shard(streams.pipeline())
    before = shard.snapshot()
    outcome = shard.process([answer(0, "nobody", time_s=float("-inf"))])
    assert outcome.facts == [Unmatched(offset=0, id="nobody", reason="no_question")]
    after = shard.snapshot()
    assert shard.observe().labels.unjoined == 1
    assert digest({**before, "questions": None}) == digest({**after, "questions": None})


def test_waiting_questions_expire_by_rows_oldest_first() -> None:
    shard = Shard(streams.pipeline(pending_rows_max=2))
    outcome = shard.process([question(0, "q0"), question(1, "q1"), question(2, "q2"), answer(3, "q0"), answer(4, "q2")])
    assert outcome.facts == [
        Unmatched(offset=2, id="q0", reason="expired_rows"),
        Unmatched(offset=3, id="q0", reason="late"),
    ]
    assert len(outcome.learned) == 1


def test_waiting_questions_expire_by_event_time() -> None:
    shard = Shard(streams.pipeline(pending_age_max_s=10.0))
    outcome = shard.process([question(0, "q0", 0.0), question(1, "q1", 5.0), question(2, "q2", 12.0), answer(3, "q1", time_s=12.0)])
    assert outcome.facts == [Unmatched(offset=2, id="q0", reason="expired_age")]
    assert len(outcome.learned) == 1


def test_a_drift_is_detected_decided_and_acted_on_in_one_event() -> None:
    shard = Shard(streams.pipeline())
    outcome = shard.process(streams.events(streams.rows(2_000, flip_at=1_000)))
    kinds = [type(fact) for fact in outcome.facts]
    assert kinds == [DriftDetected, Decided, ModelReset]
    drifted, decided, reset = outcome.facts
    assert drifted.offset == decided.offset == reset.offset
    assert 1_000 <= drifted.offset < 1_200
    assert isinstance(decided, Decided)
    assert (decided.trigger, decided.reaction, decided.outcome) == ("drift:error", "Reset", "done")
    assert outcome.predicted[drifted.offset].generation == 0
    assert outcome.predicted[drifted.offset + 1].generation == 1


def test_a_reset_helps_after_a_drift() -> None:
    log = streams.events(streams.rows(3_000, flip_at=1_500))
    with_reset, without = Shard(streams.pipeline(rolling_events=1_000)), Shard(streams.pipeline(react=[], rolling_events=1_000))
    with_reset.process(log)
    without.process(log)
    assert with_reset.observe().rolling["Accuracy"] > without.observe().rolling["Accuracy"] + 0.01


def test_ignore_says_so_and_changes_nothing() -> None:
    shard = Shard(streams.pipeline(react=[On.drift("error", Ignore())]))
    outcome = shard.process(streams.events(streams.rows(2_000, flip_at=1_000)))
    assert shard.generation == 0
    assert {fact.outcome for fact in outcome.facts if isinstance(fact, Decided)} == {"ignored"}


def test_two_detectors_that_fire_together_reset_once() -> None:
    watches = [Watch("error", drift.ADWIN(clock=1)), Watch("error", drift.binary.DDM())]
    shard = Shard(streams.pipeline(watch=watches, react=[On.drift("error", Reset()), On.drift("error", Reset())]))
    outcome = shard.process(streams.events(streams.rows(1_400, flip_at=1_000)))
    decided = [fact for fact in outcome.facts if isinstance(fact, Decided)]
    for first, second in zip(decided[::2], decided[1::2], strict=True):
        assert (first.offset, first.outcome) == (second.offset, "done")
        assert second.outcome == "cooldown"


def test_a_cooldown_holds() -> None:
    def decided(cooldown: int) -> list[Decided]:
        pipeline = streams.pipeline(
            watch=[Watch("feature:a", drift.ADWIN(delta=0.5, clock=1))],
            react=[On.drift("feature:a", Reset(), cooldown_events=cooldown)],
        )
        pairs = [({**x, "a": x["a"] + 6.0 * (number // 100)}, y) for number, (x, y) in enumerate(streams.rows(1_500))]
        outcome = Shard(pipeline).process(streams.events(pairs))
        return [fact for fact in outcome.facts if isinstance(fact, Decided)]

    assert len([fact for fact in decided(0) if fact.outcome == "done"]) > 10
    cooled = [fact.events_seen for fact in decided(400) if fact.outcome == "done"]
    assert len(cooled) >= 2
    assert all(later - earlier >= 400 for earlier, later in itertools.pairwise(cooled))


def test_errors_of_an_earlier_generation_are_not_shown_to_fresh_detectors() -> None:
    pairs = streams.rows(2_600, flip_at=1_000)
    shard = Shard(streams.pipeline())
    outcome = shard.process(streams.questions_and_answers(pairs, 300))
    assert [type(fact) for fact in outcome.facts].count(ModelReset) == 1


class Moody(base.Classifier):
    """A classifier that raises on some events."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], _y: Any) -> None:
        if x["a"] > 90:
            raise OverflowError("too much to learn")
        self.learned += 1

    def predict_one(self, x: dict[Any, Any], **_: Any) -> bool:
        if x["a"] < -90:
            raise ZeroDivisionError("nothing to divide by")
        return True


def test_a_model_that_raises_rejects_the_event_and_goes_on() -> None:
    shard = Shard(streams.pipeline(model=Moody()))
    values = [1.0, -99.0, 2.0, 99.0, 3.0]
    log = [Event(number, f"e{number}", 0.0, {**X, "a": value}, True) for number, value in enumerate(values)]
    outcome = shard.process(log)
    assert [fact.offset for fact in outcome.predicted] == [0, 2, 4], "a rejected event has no prediction either"
    assert [(fact.offset, fact.reason) for fact in outcome.facts if isinstance(fact, Rejected)] == [(1, "model"), (3, "model")]
    assert succession(shard)["champion"].learned == 3


def test_features_are_watched_and_missing_ones_passed_over() -> None:
    shard = Shard(streams.pipeline(watch=[Watch("feature:b", drift.PageHinkley(threshold=5))], react=[]))
    log = [Event(n, str(n), float(n), {"a": 1.0, "c": 1.0} | ({"b": 0.0 if n < 300 else 3.0} if n % 2 else {}), True) for n in range(600)]
    drifts = [fact for fact in shard.process(log).facts if isinstance(fact, DriftDetected)]
    assert drifts
    assert drifts[0].offset > 300
    assert drifts[0].direction == "up"
