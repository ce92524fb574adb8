"""Answers that find no waiting question: kept until it comes, or told apart, counted and told."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, evaluate, metrics

from stream_retrain import Labels, Pipeline, PipelineError, Schema, Shard
from stream_retrain.core.digest import digest
from stream_retrain.core.state import Saved
from stream_retrain.facts.observation import LabelCounts
from stream_retrain.facts.shard import Rejected, Unmatched
from stream_retrain.facts.values import Event
from stream_retrain.lane.outcome import Outcome
from tests.core import streams
from tests.lane.support import Refusing, joined, of, restored
from tests.lane.test_shard import X, answer, question

KEEPING = Labels(early_age_max_s=100.0)


def told(outcome: Outcome) -> list[tuple[int, str, str]]:
    return [(fact.offset, fact.id, fact.reason) for fact in of(Unmatched, outcome.facts)]


def quiet(labels: Labels = KEEPING, **changes: Any) -> Pipeline:
    return streams.pipeline(watch=[], react=[], labels=labels, **changes)


class TestAnAnswerThatComesFirst:
    def test_is_learned_when_its_question_comes_which_is_predicted_first(self) -> None:
        shard, at_once = Shard(quiet()), Shard(quiet())
        pairs = streams.rows(300)
        log = list(
            itertools.chain.from_iterable(
                (answer(2 * n, f"e{n}", y, float(n)), Event(0, "", 0.0, {}, None)) for n, (_, y) in enumerate(pairs)
            )
        )
        for number, (x, _) in enumerate(pairs):
            log[2 * number + 1] = Event(2 * number + 1, f"e{number}", float(number), x, None)
        first, same = shard.process(log), at_once.process(streams.events(pairs))
        assert [each.prediction for each in first.predicted] == [each.prediction for each in same.predicted]
        assert shard.observe().running == at_once.observe().running
        assert shard.observe().labels == LabelCounts(joined=300)
        assert not first.facts
        assert shard.waiting == 0

    def test_has_a_delay_below_zero(self) -> None:
        assert Shard(quiet()).process([answer(0, "q", time_s=5.0), question(1, "q", 7.5)]).delays_s == [-2.5]

    def test_is_given_up_when_it_has_waited_too_long_in_event_time(self) -> None:
        shard = Shard(quiet())
        outcome = shard.process(
            [answer(0, "q", time_s=0.0), question(1, "other", 100.0), question(2, "third", 101.0), question(3, "q", 102.0)]
        )
        assert told(outcome) == [(2, "q", "early_age")]
        assert shard.waiting == 3

    def test_is_not_used_by_the_question_that_comes_too_late_for_it(self) -> None:
        outcome = Shard(quiet()).process([answer(0, "q", time_s=0.0), question(1, "q", 101.0)])
        assert told(outcome) == [(1, "q", "early_age")]
        assert outcome.learned == []

    @pytest.mark.parametrize(
        ("labels", "reason"),
        [
            (Labels(early_age_max_s=100.0, early_rows_max=2), "early_rows"),
            (Labels(early_age_max_s=100.0, early_bytes_max=2 * 250 + 10), "early_bytes"),
        ],
    )
    def test_makes_place_for_newer_ones(self, labels: Labels, reason: str) -> None:
        shard = Shard(quiet(labels))
        assert told(shard.process([answer(number, f"q{number}") for number in range(4)])) == [(2, "q0", reason), (3, "q1", reason)]
        assert shard.observe().labels == LabelCounts(unjoined=2, early=2)
        assert len(shard.process([question(4 + number, f"q{number}") for number in range(4)]).learned) == 2

    def test_is_not_kept_where_nobody_asked_for_it(self) -> None:
        assert told(Shard(quiet(Labels())).process([answer(0, "q"), question(1, "q")])) == [(0, "q", "no_question")]

    def test_stands_where_another_comes_before_the_question(self) -> None:
        outcome = Shard(quiet()).process([answer(0, "q"), answer(1, "q"), answer(2, "q", y=False), question(3, "q")])
        assert told(outcome) == [(1, "q", "duplicate"), (2, "q", "correction")]
        assert [row.y for row in outcome.learned] == [True]

    def test_waits_on_where_the_model_refuses_its_question(self) -> None:
        shard = Shard(quiet(model=Refusing()))
        outcome = shard.process([answer(0, "q"), Event(1, "q", 1.0, {**X, "c": -99.0}, None), question(2, "q")])
        assert [fact.reason for fact in of(Rejected, outcome.facts)] == ["model"]
        assert [row.offset for row in outcome.learned] == [2]


class TestAnAnswerWhoseQuestionIsSettled:
    def test_is_a_duplicate_or_a_correction_and_changes_nothing_that_was_learned(self) -> None:
        shard = Shard(quiet(Labels()))
        outcome = shard.process([question(0, "q"), answer(1, "q"), answer(2, "q"), answer(3, "q", y=False)])
        assert told(outcome) == [(2, "q", "duplicate"), (3, "q", "correction")]
        assert [row.offset for row in outcome.learned] == [1]
        assert shard.observe().labels == LabelCounts(joined=1, unjoined=2)

    def test_is_late_where_the_question_expired(self) -> None:
        shard = Shard(quiet(Labels(), pending_age_max_s=10.0))
        outcome = shard.process([question(0, "q", 0.0), question(1, "r", 11.0), answer(2, "q", time_s=11.0)])
        assert told(outcome) == [(1, "q", "expired_age"), (2, "q", "late")]
        assert shard.observe().labels == LabelCounts(unjoined=1, expired=1)

    def test_is_late_too_where_it_is_what_tells_that_the_question_expired(self) -> None:
        outcome = Shard(quiet(Labels(), pending_age_max_s=10.0)).process([question(0, "q", 0.0), answer(1, "q", time_s=11.0)])
        assert told(outcome) == [(1, "q", "expired_age"), (1, "q", "late")]

    def test_is_a_dead_letter_where_corrections_are_kept(self) -> None:
        shard = Shard(quiet(Labels(corrections="dead_letter")))
        shard.process([question(0, "q"), answer(1, "q")])
        before = shard.digest()
        outcome = shard.process([answer(2, "q", y=False, time_s=9e9)])
        assert [(fact.offset, fact.reason) for fact in of(Rejected, outcome.facts)] == [(2, "correction")]
        assert shard.digest() == before, "a record that is refused moves nothing"

    def test_is_known_for_so_many_questions(self) -> None:
        shard = Shard(quiet(Labels(remembered_rows_max=2)))
        log = [each for number in range(3) for each in (question(2 * number, f"q{number}"), answer(2 * number + 1, f"q{number}"))]
        outcome = shard.process([*log, answer(6, "q0"), answer(7, "q1"), answer(8, "q2")])
        assert told(outcome) == [(6, "q0", "no_question"), (7, "q1", "duplicate"), (8, "q2", "duplicate")]

    def test_a_question_asked_again_after_its_answer_is_a_new_one(self) -> None:
        outcome = Shard(quiet(Labels())).process([question(0, "q"), answer(1, "q"), question(2, "q"), answer(3, "q", y=False)])
        assert [row.y for row in outcome.learned] == [True, False]


class TestClasses:
    schema = Schema(id="id", label="y", features=dict.fromkeys(streams.FEATURES, float))

    def shard(self, **changes: Any) -> Shard:
        return Shard(quiet(task="multiclass", schema=self.schema, model=dummy.PriorClassifier(), **changes))

    def test_a_label_of_another_type_is_refused_when_it_comes(self) -> None:
        outcome = self.shard().process([Event(0, "a", 0.0, dict(X), "x"), Event(1, "q", 1.0, None, 3)])
        assert [(fact.offset, fact.reason) for fact in of(Rejected, outcome.facts)] == [(1, "schema")]

    def test_one_that_became_one_class_too_many_is_dropped_and_its_question_predicted(self) -> None:
        log = [Event(0, "q", 0.0, None, "z"), Event(1, "a", 1.0, dict(X), "x"), Event(2, "b", 2.0, dict(X), "y"), question(3, "q")]
        shard = self.shard(classes_max=2)
        outcome = shard.process(log)
        assert told(outcome) == [(3, "q", "early_refused")]
        assert [each.offset for each in outcome.predicted] == [1, 2, 3]
        assert shard.waiting == 1

    def test_a_new_class_may_come_first(self) -> None:
        shard = self.shard()
        shard.process([Event(0, "q", 0.0, None, "z"), question(1, "q")])
        assert shard.snapshot()["classes"] == ("z",)


ids = st.sampled_from([f"q{number}" for number in range(6)])
steps = st.tuples(ids, st.sampled_from("qqab"), st.booleans(), st.integers(0, 3))


def log_of(drawn: list[tuple[str, str, bool, int]]) -> list[Event]:
    """Questions, answers and events with both, in event time that goes on and now and then back."""
    made, time_s = [], 0.0
    for offset, (id_, kind, y, passed) in enumerate(drawn):
        time_s += passed
        x = {"a": float(offset % 3), "b": 1.0, "c": 0.0} if kind in "qb" else None
        made.append(Event(offset, id_, time_s - (passed == 3), x, y if kind in "ab" else None))
    return made


BOUNDED = quiet(Labels(early_age_max_s=8.0, early_rows_max=2, remembered_rows_max=3), pending_rows_max=2, pending_age_max_s=9.0)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40), st.data())
def test_cuts_and_restarts_change_nothing_and_each_answer_has_one_end(drawn: list[tuple[str, str, bool, int]], data: Any) -> None:
    log = log_of(drawn)
    whole = Shard(BOUNDED)
    expected = joined([whole.process(log)])
    cut, outcomes = Shard(BOUNDED), []
    borders = sorted({0, len(log), *data.draw(st.lists(st.integers(0, len(log)), max_size=4))})
    for start, end in itertools.pairwise(borders):
        outcomes.append(cut.process(log[start:end]))
        cut = restored(BOUNDED, cut)
    assert joined(outcomes) == expected
    assert cut.digest() == whole.digest()
    counts = whole.observe().labels
    answers = sum(event.x is None for event in log)
    enriched = sum(event.x is not None and event.y is not None for event in log)
    assert answers <= counts.joined + counts.unjoined + counts.early <= answers + enriched
    assert counts.early <= 2
    assert counts.expired + sum(fact.reason == "duplicate" for fact in of(Rejected, expected[2])) <= len(expected[0]) + len(log)


def test_the_score_with_answers_before_and_behind_is_that_of_river_in_the_order_of_learning() -> None:
    """Law 1 where some answers come first: those are learned with their question, the others five questions later."""
    pairs = [(dict(x), y) for x, y in streams.rows(600)]
    pipeline = quiet(metrics=[metrics.Accuracy(), metrics.LogLoss()])
    log: list[tuple[str, float, Any, Any]] = []
    for number, (x, y) in enumerate(pairs):
        if number % 3 == 0:
            log.append((f"e{number}", float(number), None, y))
        if number >= 5 and (number - 5) % 3:
            log.append((f"e{number - 5}", float(number), None, pairs[number - 5][1]))
        log.append((f"e{number}", float(number), x, None))
    log += [(f"e{number}", 600.0, None, pairs[number][1]) for number in range(595, 600) if number % 3]
    shard = Shard(pipeline)
    shard.process([Event(offset, *each) for offset, each in enumerate(log)])
    delays = {id(x): 0 if number % 3 == 0 else 5 for number, (x, _) in enumerate(pairs)}
    moments = {id(x): number for number, (x, _) in enumerate(pairs)}
    for metric in pipeline.scores.metrics:
        scored = evaluate.progressive_val_score(
            pairs, pipeline.model.clone(), metric.clone(), moment=lambda x: moments[id(x)], delay=lambda x, _: delays[id(x)]
        )
        assert shard.observe().running[type(metric).__name__] == scored.get()
    assert shard.observe().labels == LabelCounts(joined=600)


def test_a_state_from_before_answers_were_known_goes_on() -> None:
    shard = Shard(quiet())
    shard.process([question(0, "q")])
    saved: Saved = shard.snapshot()
    before = {**saved, "questions": {"schema": 1, "waiting": saved["questions"]["waiting"]}}
    outcome = Shard(quiet(), before).process([answer(1, "q"), answer(2, "q")])
    assert [row.offset for row in outcome.learned] == [1]
    assert told(outcome) == [(2, "q", "duplicate")]


def test_smaller_limits_leave_the_oldest_out() -> None:
    shard = Shard(quiet())
    shard.process([answer(number, f"q{number}") for number in range(5)])
    smaller = Shard(quiet(Labels(early_age_max_s=100.0, early_rows_max=2)), shard.snapshot())
    assert smaller.observe().labels.early == 2
    assert Shard(quiet(Labels()), shard.snapshot()).observe().labels.early == 0


def test_a_pipeline_that_says_nothing_of_labels_keeps_its_digest_and_parts() -> None:
    plain, said = quiet(Labels()), quiet(Labels(early_age_max_s=1.0))
    assert "labels" not in plain.parts()
    assert plain.digest() == streams.pipeline(watch=[], react=[]).digest() != said.digest()
    assert said.parts()["labels"] != quiet(Labels(early_age_max_s=2.0)).parts()["labels"]


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        (Labels(early_age_max_s=-1.0), "early_age_max_s is -1.0"),
        (Labels(early_age_max_s=float("nan")), "early_age_max_s is nan"),
        (Labels(early_rows_max=0), "early_rows_max is 0"),
        (Labels(remembered_rows_max=-1), "remembered_rows_max is -1"),
        (Labels(index_age_max_s=0), "index_age_max_s is 0"),
        (Labels(corrections="learn"), "no model unlearns"),  # type: ignore[arg-type]
        (Labels(corrections="drop"), "corrections is 'drop'"),  # type: ignore[arg-type]
        (Labels(topic="events"), "is the source itself"),
        (Labels(topic="a b"), "is not a topic name"),
        (Labels(topic="t", route="random"), "route is 'random'"),  # type: ignore[arg-type]
        (Labels(topic="t", key="k"), 'for route "key"'),
        (Labels(topic="t", id=""), "id must be the name of a field"),
        (Labels(label="y"), "no topic is named"),
        ("labels", "must be a Labels"),
    ],
)
def test_what_cannot_be_is_a_fault_at_load(labels: Any, fault: str) -> None:
    with pytest.raises(PipelineError, match="1 fault") as raised:
        quiet(labels)
    assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "labels", "fault"),
    [
        ({"format": "msgpack"}, {}, "a relay writes answers in JSON"),
        ({"id": "ids.0"}, {}, "whose id stands in a list"),
        ({}, {"id": "a..b"}, "of id cannot be read"),
        ({}, {"time": "at"}, "names no field of time"),
        ({}, {"early_age_max_s": 0.0}, "a moment before its question is known"),
    ],
)
def test_what_a_relay_cannot_do_is_a_fault_at_load(changes: dict[str, Any], labels: dict[str, Any], fault: str) -> None:
    schema = Schema(**{"id": "id", "label": "y", "features": dict.fromkeys(streams.FEATURES, float)} | changes)
    with pytest.raises(PipelineError, match="1 fault") as raised:
        quiet(Labels(topic="labels", **labels), schema=schema)
    assert fault in str(raised.value)


def test_answers_need_an_id() -> None:
    with pytest.raises(PipelineError, match="the schema names none"):
        quiet(Labels(topic="labels"), schema=Schema(label="y", features=dict.fromkeys(streams.FEATURES, float)))


def test_the_bytes_are_counted_down_again() -> None:
    shard = Shard(quiet(Labels(early_age_max_s=10.0, early_bytes_max=600)))
    for number in range(0, 200, 2):
        outcome = shard.process([answer(number, f"q{number:03}"), question(number + 1, f"q{number:03}")])
        assert not outcome.facts
    assert digest(shard.snapshot()["questions"]["answers"]["early"]) == digest({})
