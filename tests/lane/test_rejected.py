"""Law 10: an event that the model refuses is told once, and has moved nothing."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift, metrics
from river.drift import binary

from stream_retrain import Challenge, Every, Evidence, Ignore, On, Pipeline, Reset, Shard, Watch
from stream_retrain.facts.shard import Decided, DuelEnded, DuelStarted, LeadChanged, ModelReset, Rejected, Unmatched
from stream_retrain.facts.values import Event, Features
from stream_retrain.lane.outcome import Outcome
from tests.core import streams
from tests.lane.support import Refusing, joined, of

UNPREDICTABLE: Features = {"a": 0.4, "b": 0.1, "c": -99.0}
UNLEARNABLE: Features = {"a": 0.4, "b": 0.1, "c": 99.0}
WATCHES = [
    Watch("error", drift.ADWIN()),
    Watch("error", binary.DDM()),
    Watch("loss", drift.ADWIN()),
    Watch("feature:c", drift.PageHinkley()),
]
LOOKING_ON = [
    On.warning("error", Ignore()),
    On.every(seconds=50, do=Ignore()),
    On.below("accuracy", 0.6, do=Ignore(), over_events=100, events_min=50),
    On.drift("feature:c", Ignore()),
]


RESETTING = streams.pipeline(
    model=Refusing(),
    watch=WATCHES,
    react=[On.drift("error", Reset()), *LOOKING_ON],
    metrics=[metrics.Accuracy(), metrics.ROCAUC()],
    pending_rows_max=30,
    pending_age_max_s=30.0,
)
CHALLENGE = Challenge(challengers=("fresh", "since_change"), evidence=Evidence(events_max=100, loss="miss"))
DUELLING = dataclasses.replace(RESETTING, react=[On(Every(events=150), CHALLENGE), *LOOKING_ON])
PIPELINES = pytest.mark.parametrize("spec", [RESETTING, DUELLING], ids=["alone", "in a duel"])
LATE, EARLY, BEFORE = 10_000, 9_000, 200


def shard_of(spec: Pipeline) -> Shard:
    """A shard whose event time is 200 s, with a question waiting that the model can learn and one that it cannot; maybe in a duel."""
    shard = Shard(spec)
    shard.process(streams.events(streams.rows(BEFORE)))
    shard.process([
        Event(EARLY, "good", 199.0, {"a": 1.0, "b": 0.5, "c": 0.0}, None),
        Event(EARLY + 1, "bad", 200.0, UNLEARNABLE, None),
    ])  # fmt: skip
    assert (shard.observe().duel is not None) == (spec is DUELLING)
    assert shard.waiting == 2
    return shard


def the_refusal(outcome: Outcome) -> Rejected:
    """The one thing that happened."""
    assert (outcome.predicted, outcome.learned, outcome.commands) == ([], [], [])
    [fact] = outcome.facts
    assert isinstance(fact, Rejected)
    return fact


AT_ONCE = {
    "a label at once that cannot be learned": Event(LATE, "e", 201.0, UNLEARNABLE, True),
    "a label at once on what cannot be predicted": Event(LATE, "e", 201.0, UNPREDICTABLE, True),
    "a question that cannot be predicted": Event(LATE, "e", 201.0, UNPREDICTABLE, None),
    "a late label that cannot be learned": Event(LATE, "bad", 201.0, None, False),
    "a late label with features of its own": Event(LATE, "bad", 201.0, {"a": 0.0, "b": 0.0, "c": 0.0}, False),
    "an hour ahead, a label at once": Event(LATE, "e", 3_800.0, UNLEARNABLE, True),
    "an hour ahead, an unpredictable label at once": Event(LATE, "e", 3_800.0, UNPREDICTABLE, True),
    "an hour ahead, a question": Event(LATE, "e", 3_800.0, UNPREDICTABLE, None),
    "an hour ahead, a question under an id that would have expired": Event(LATE, "good", 3_800.0, UNPREDICTABLE, None),
    "29 seconds ahead, a late label": Event(LATE, "bad", 229.0, None, False),
    "long ago": Event(LATE, "e", -5.0, UNLEARNABLE, True),
}


@PIPELINES
@pytest.mark.parametrize("event", AT_ONCE.values(), ids=AT_ONCE)
def test_a_refused_event_moves_nothing(spec: Pipeline, event: Event) -> None:
    shard = shard_of(spec)
    digest, seen = shard.digest(), shard.observe()
    fact = the_refusal(shard.process([event]))
    assert (fact.offset, fact.reason) == (LATE, "model")
    assert "c is" in fact.detail
    assert shard.digest() == digest
    assert shard.observe() == seen


@PIPELINES
def test_a_question_asked_again_is_a_duplicate_and_the_model_is_not_asked(spec: Pipeline) -> None:
    shard = shard_of(spec)
    digest = shard.digest()
    for event in (Event(LATE, "good", 201.0, UNPREDICTABLE, None), Event(LATE, "bad", 229.0, UNLEARNABLE, None)):
        fact = the_refusal(shard.process([event]))
        assert (fact.offset, fact.reason) == (LATE, "duplicate")
        assert shard.digest() == digest


@PIPELINES
def test_a_refused_event_that_comes_twice_is_refused_twice(spec: Pipeline) -> None:
    shard = shard_of(spec)
    digest = shard.digest()
    for event in AT_ONCE.values():
        outcome = shard.process([event, event._replace(offset=LATE + 1)])
        assert [(type(fact), fact.offset) for fact in outcome.facts] == [(Rejected, LATE), (Rejected, LATE + 1)]
        assert shard.digest() == digest


@PIPELINES
def test_what_waits_is_still_answered_after_a_refusal_from_the_future(spec: Pipeline) -> None:
    shard = shard_of(spec)
    ahead = [event for event in AT_ONCE.values() if event.time_s > 1_000]
    assert len(of(Rejected, shard.process(ahead).facts)) == len(ahead) == 4
    outcome = shard.process([Event(LATE + 1, "good", 202.0, None, True), Event(LATE + 2, "e", 203.0, {"a": 0.0, "b": 0.0, "c": 0.0}, True)])
    assert [row.offset for row in outcome.learned] == [LATE + 1, LATE + 2]
    assert [fact.id for fact in outcome.predicted] == ["e"], "an id that was refused is free"
    assert not of(Unmatched, outcome.facts)


def test_the_same_time_ahead_on_a_good_event_moves_the_clock() -> None:
    """So the tests above would see a clock that a refused event has moved."""
    shard = shard_of(RESETTING)
    outcome = shard.process([Event(LATE, "e", 3_800.0, {"a": 0.0, "b": 0.0, "c": 0.0}, True)])
    assert [(fact.id, fact.reason) for fact in of(Unmatched, outcome.facts)] == [("good", "expired_age"), ("bad", "expired_age")]
    assert "every:50_s" in [fact.trigger for fact in of(Decided, outcome.facts)]


# A log with everything in it, of which every 25th question cannot be learned; its label may come or not.
def base_log() -> list[Event]:
    pairs = streams.rows(800, flip_at=350)
    at_once = streams.events(pairs[:300])
    late = [
        event._replace(id=f"q{event.id}", time_s=event.time_s + 300) for event in streams.questions_and_answers(pairs[300:600], delay=20)
    ]
    again = [event._replace(time_s=event.time_s + 320) for event in streams.events(pairs)[600:]]
    log = [*at_once, *late, *again]
    for number in range(len(log) - 10, 0, -25):
        log.insert(number, Event(0, f"bad{number}", log[number].time_s, UNLEARNABLE, None))
    return log


LOG = base_log()
INSERTED: dict[str, Callable[[Event], Event]] = {
    "label": lambda before: Event(0, "new", before.time_s, UNLEARNABLE, True),
    "label, unpredictable": lambda before: Event(0, "new", before.time_s, UNPREDICTABLE, False),
    "question": lambda before: Event(0, "new", before.time_s, UNPREDICTABLE, None),
    "label, ahead": lambda before: Event(0, "new", before.time_s + 1e6, UNLEARNABLE, False),
    "question, ahead": lambda before: Event(0, "new", before.time_s + 1e6, UNPREDICTABLE, None),
    "label, long ago": lambda before: Event(0, "new", before.time_s - 1e6, UNLEARNABLE, True),
    "again": lambda before: before,
    "late label": lambda before: Event(0, before.id, before.time_s, None, True),
}
"""What is refused, made after the event before it."""
POSITIONS = {
    "again": [number for number, event in enumerate(LOG) if event.y is None],
    "late label": [number for number, event in enumerate(LOG) if event.id.startswith("bad")],
}
"""Where a question waits that can be asked again, or answered with a label that cannot be learned."""
insertions = st.lists(
    st.sampled_from(sorted(INSERTED)).flatmap(
        lambda kind: st.tuples(st.sampled_from(POSITIONS[kind]) if kind in POSITIONS else st.integers(0, len(LOG) - 1), st.just(kind))
    ),
    min_size=1,
    max_size=40,
)


def with_refused(chosen: list[tuple[int, str]]) -> tuple[list[Event], set[int]]:
    """The log with refused events after some of its own, numbered through; and the offsets of those."""
    after: dict[int, list[str]] = {}
    for number, kind in chosen:
        after.setdefault(number, []).append(kind)
    log: list[Event] = []
    holes: set[int] = set()
    for number, event in enumerate(LOG):
        log.append(event._replace(offset=len(log)))
        for kind in after.get(number, ()):
            holes.add(len(log))
            log.append(INSERTED[kind](event)._replace(offset=len(log)))
    return log, holes


def run(spec: Pipeline, log: list[Event], cuts: list[int]) -> tuple[Shard, tuple[list[Any], list[Any], list[Any]]]:
    shard = Shard(spec)
    borders = sorted({0, len(log), *(cut % len(log) for cut in cuts)})
    return shard, joined(shard.process(log[start:end]) for start, end in itertools.pairwise(borders))


@pytest.mark.slow
@PIPELINES
@settings(max_examples=25, deadline=None)
@given(chosen=insertions, cuts=st.lists(st.integers(0, 2_000), max_size=5))
def test_a_log_with_refused_events_is_the_log_without_them(spec: Pipeline, chosen: list[tuple[int, str]], cuts: list[int]) -> None:
    log, holes = with_refused(chosen)
    mixed, (predicted, learned, facts) = run(spec, log, cuts)
    plain, expected = run(spec, [event for event in log if event.offset not in holes], [])
    told = [fact for fact in facts if fact.offset in holes]
    assert [(type(fact), fact.offset) for fact in told] == [(Rejected, offset) for offset in sorted(holes)]
    assert {fact.reason for fact in told} <= {"model", "duplicate"}
    assert (predicted, learned, [fact for fact in facts if fact.offset not in holes]) == expected
    assert mixed.observe() == plain.observe()
    assert mixed.digest() == plain.digest()


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [(RESETTING, {ModelReset, Decided, Unmatched}), (DUELLING, {DuelStarted, LeadChanged, DuelEnded, Decided, Unmatched})],
    ids=["alone", "in a duel"],
)
def test_the_log_has_something_to_disturb(spec: Pipeline, kinds: set[type]) -> None:
    _, (_, _, facts) = run(spec, with_refused([])[0], [])
    assert kinds <= {type(fact) for fact in facts}
