"""What a lane tells stands in order of offset, whoever told it; and a fact's generation is the one that predictions have."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, drift, tree

from stream_retrain import Challenge, Evidence, Ignore, On, Pipeline, Reset, Schema, Shard, Watch
from stream_retrain.core.contest.inputs import Request
from stream_retrain.facts.shard import (
    ContestantFailed,
    Decided,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    ModelReset,
    Rejected,
    Requested,
    Unmatched,
)
from stream_retrain.facts.values import Event, Predicted, ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS, Step
from tests.core import streams
from tests.lane.support import Refusing, of

ID = ShardId("test", "events", 3)
SCHEMA = Schema(id="id", label="y", time="at", time_unit="s", features=dict.fromkeys(streams.FEATURES, float))
WATCH = [Watch("error", drift.ADWIN(delta=0.01, clock=8))]
BROKEN: dict[str, bytes | None] = {
    "empty": None,
    "decode": b"{",
    "schema": b'{"id": "x", "a": "text", "b": 1, "c": 1, "y": true}',
    "too_large": b" " * 2_001,
}

QUICK = tree.HoeffdingTreeClassifier(grace_period=20)
PIPELINES = {
    "reset": streams.pipeline(schema=SCHEMA, watch=WATCH, model=Refusing(), pending_rows_max=25),
    "duel": streams.pipeline(
        schema=SCHEMA,
        watch=WATCH,
        model=QUICK,
        react=[On.drift("error", Challenge(evidence=Evidence(events_max=150))), On.every(events=120, do=Ignore()), On.request(Ignore())],
        pending_rows_max=25,
    ),
}


def record(offset: int, event: Event) -> Record:
    fields = {"id": event.id, "at": event.time_s, "y": event.y, **(event.x or {})}
    return Record(offset, b"key", msgspec.json.encode(fields), 0)


def lane_of(pipeline: Pipeline) -> Lane:
    return Lane(ID, Shard(pipeline), EventDecoder(SCHEMA, "binary", record_bytes_max=2_000))


def base_log() -> list[Event]:
    """Labels at once and late ones, a drift, questions that are never answered and expire, and ones a model may refuse."""
    pairs = streams.rows(900, flip_at=400)
    for number in range(50, 900, 90):
        pairs[number][0]["c"] = 99.0
    late = [event._replace(id=f"q{event.id}") for event in streams.questions_and_answers(pairs[300:], 20)]
    answered = [event for event in late if event.x is not None or not event.id.endswith("33")]
    return [*streams.events(pairs[:300]), *answered]


LOG = base_log()


def with_broken(broken: dict[int, str]) -> list[Record]:
    """The log as records, a broken one before some of them; offsets have holes, as transactions leave them."""
    records: list[Record] = []
    for number, event in enumerate(LOG):
        if number in broken:
            records.append(Record(2 * len(records), None, BROKEN[broken[number]], 0))
        records.append(record(2 * len(records), event))
    return records


def steps_of(lane: Lane, records: list[Record], cuts: Sequence[int]) -> list[Step]:
    borders = sorted({0, len(records), *(cut % len(records) for cut in cuts)})
    taken = [lane.take(Records.of(records[start:end])) for start, end in itertools.pairwise(borders)]
    return [step for step in taken if step is not None]


def is_in_order(found: Sequence[Any]) -> bool:
    return all(before.offset <= after.offset for before, after in itertools.pairwise(found))


@pytest.mark.parametrize("name", PIPELINES)
@settings(max_examples=15, deadline=None)
@given(
    broken=st.dictionaries(st.integers(0, len(LOG) - 1), st.sampled_from(sorted(BROKEN)), max_size=60),
    cuts=st.lists(st.integers(0, 3_000), max_size=6),
)
def test_facts_are_in_order_of_offset_whoever_told_them(name: str, broken: dict[int, str], cuts: list[int]) -> None:
    lane = lane_of(PIPELINES[name])
    records = with_broken(broken)
    steps = steps_of(lane, records, cuts)
    facts = [fact for step in steps for fact in step.facts]
    assert is_in_order(facts)
    assert is_in_order([fact for step in steps for fact in step.predicted])
    assert is_in_order([fact for step in steps for fact in step.learned])
    decoded = [fact for fact in of(Rejected, facts) if fact.reason in BROKEN]
    assert [fact.reason for fact in decoded] == [reason for _, reason in sorted(broken.items())]
    assert all(len(of(type(fact), [other for other in facts if other.offset == fact.offset])) == 1 for fact in decoded)


def test_the_logs_have_much_to_tell_between_what_the_decoder_tells() -> None:
    broken = {number: sorted(BROKEN)[number % 4] for number in range(0, len(LOG), 7)}
    for name, kinds in (
        ("reset", {ModelReset, Decided, DriftDetected, Unmatched, Rejected}),
        ("duel", {DuelStarted, LeadChanged, DuelEnded, Decided, DriftDetected, Unmatched, Rejected}),
    ):
        [step] = steps_of(lane_of(PIPELINES[name]), with_broken(broken), [])
        assert kinds <= {type(fact) for fact in step.facts}
        reasons = {fact.reason for fact in of(Rejected, step.facts)}
        assert reasons == {*BROKEN, "model"} if name == "reset" else reasons == set(BROKEN)
        decisive = [fact.offset for fact in step.facts if not isinstance(fact, Rejected)]
        refused = [fact.offset for fact in of(Rejected, step.facts)]
        assert min(refused) < min(decisive) < max(decisive) < max(refused)


def test_outputs_stand_in_the_same_order_and_have_ids_of_their_own() -> None:
    broken = {number: sorted(BROKEN)[number % 4] for number in range(0, len(LOG), 7)}
    outputs = [output for step in steps_of(lane_of(PIPELINES["duel"]), with_broken(broken), [500]) for output in step.outputs]
    predictions = [msgspec.json.decode(value or b"")["offset"] for kind, _, _, value, _ in outputs if kind == PREDICTIONS]
    decisions = [msgspec.json.decode(value or b"") for kind, _, _, value, _ in outputs if kind == DECISIONS]
    letters = [int(dict(headers or [])["sr_offset"] or 0) for kind, _, _, _, headers in outputs if kind == DEAD_LETTERS]
    assert predictions == sorted(set(predictions))
    assert letters == sorted(set(letters))
    assert [each["data"]["offset"] for each in decisions] == sorted(each["data"]["offset"] for each in decisions)
    assert len({each["id"] for each in decisions}) == len(decisions) > 5


def test_what_an_input_does_is_told_at_the_next_event_in_order() -> None:
    lane = lane_of(PIPELINES["duel"])
    records = with_broken({200: "decode"})
    [first] = steps_of(lane, records[:200], [])
    assert is_in_order(first.facts)
    lane.receive(Request(reason="new sensors"))
    step = lane.take(Records.of(records[200:203]))
    assert step is not None
    at = [record.offset for record in records[200:203]]
    assert [(type(fact), fact.offset) for fact in step.facts] == [(Rejected, at[0]), (Requested, at[1]), (Decided, at[1])]


def generations(predicted: Sequence[Predicted], facts: Sequence[Any]) -> list[int]:
    """The generation each prediction must have by what was told before it."""
    told = sorted(of(LeadChanged, facts) + of(ModelReset, facts), key=operator.attrgetter("offset"))
    return [max((fact.generation for fact in told if fact.offset < each.offset), default=0) for each in predicted]


@pytest.mark.parametrize("delay", [None, 30])
def test_a_new_generation_is_the_one_that_predicts_from_then_on(delay: int | None) -> None:
    rule = On.drift("error", Challenge(evidence=Evidence(events_max=150)))
    shard = Shard(streams.pipeline(watch=WATCH, model=QUICK, react=[rule]))
    pairs = [(x, y != (number // 700 % 2 == 1)) for number, (x, y) in enumerate(streams.rows(4_200))]
    outcome = shard.process(streams.events(pairs) if delay is None else streams.questions_and_answers(pairs, delay))
    leads = of(LeadChanged, outcome.facts)
    assert len(leads) > 3
    assert [lead.generation for lead in leads] == list(range(1, len(leads) + 1)), "each change of lead begins one"
    assert [each.generation for each in outcome.predicted] == generations(outcome.predicted, outcome.facts)
    serving = 0
    for fact in outcome.facts:
        if isinstance(fact, LeadChanged):
            serving = fact.generation
        elif isinstance(fact, DuelStarted | DuelEnded | DriftDetected | Decided):
            assert fact.generation == serving, fact
    assert shard.generation == serving
    assert len(of(DuelEnded, outcome.facts)) > 1


class Wearing(base.Classifier):
    """Says what it is told to, until it has learned so many events: from there on it raises where it is told to."""

    def __init__(self, says: bool = False, predicts: int = 10**9, learns: int = 10**9) -> None:
        self.says = says
        self.predicts = predicts
        self.learns = learns
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:  # noqa: ARG002 - River's signature
        if self.learned >= self.learns:
            raise OverflowError("worn out by learning")
        self.learned += 1

    def predict_one(self, x: dict[Any, Any], **_: Any) -> bool:  # noqa: ARG002 - River's signature
        if self.learned >= self.predicts:
            raise OverflowError("worn out by predicting")
        return self.says


@pytest.mark.parametrize(("model", "first"), [(Wearing(predicts=150), 150), (Wearing(learns=150), 151)], ids=["predict", "learn"])
def test_one_that_takes_over_from_one_that_raised_predicts_under_its_generation_at_once(model: Wearing, first: int) -> None:
    """A question on which the champion raises is predicted by who takes over, and has its generation already."""
    challenge = Challenge(challengers=[Wearing(says=False)], rematch=False, evidence=Evidence(events_max=200))
    shard = Shard(streams.pipeline(model=model, watch=[], react=[On.every(events=100, do=challenge)]))
    outcome = shard.process(streams.events([(x, True) for x, _ in streams.rows(190)]))
    [failed], [lead], [ended] = of(ContestantFailed, outcome.facts), of(LeadChanged, outcome.facts), of(DuelEnded, outcome.facts)
    assert failed.offset == lead.offset == ended.offset == 150
    assert (lead.cause, lead.generation, ended.generation, shard.generation) == ("failure", 1, 1, 1)
    assert [type(fact) for fact in outcome.facts[-3:]] == [ContestantFailed, LeadChanged, DuelEnded]
    assert [each.generation for each in outcome.predicted] == [0] * first + [1] * (190 - first)


def test_a_reset_s_generation_predicts_from_the_next_question_on() -> None:
    outcome = Shard(streams.pipeline(react=[On.every(events=100, do=Reset())])).process(streams.events(streams.rows(350)))
    assert [(fact.offset, fact.generation) for fact in of(ModelReset, outcome.facts)] == [(99, 1), (199, 2), (299, 3)]
    assert [each.generation for each in outcome.predicted] == generations(outcome.predicted, outcome.facts)
