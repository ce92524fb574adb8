"""The protocol of a lane: silence, holes, inputs, trainings; and that cutting changes nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from stream_retrain import Challenge, Evidence, Ignore, On, Retrain, Shard, Watch, Window
from stream_retrain.core.contest.commands import Cancel, Train
from stream_retrain.core.contest.inputs import Input, NotTrained, Request, Trained
from stream_retrain.core.contest.training import train
from stream_retrain.facts.shard import (
    SHARD_FACTS,
    ChallengerJoined,
    Decided,
    DuelEnded,
    DuelStarted,
    Rejected,
    Requested,
    TrainingFailed,
    TrainingRequested,
)
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.encoder import encode_nothing
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import OUTPUT_KINDS, Output, Step
from tests.core import streams
from tests.lane.support import of, restored

ID = ShardId("test", "events", 0)
PAIRS = streams.rows(900, flip_at=450)
PIPELINE = streams.pipeline(
    watch=[Watch("error", drift.ADWIN())],
    react=[
        On.drift("error", Challenge(challengers=("fresh",), evidence=Evidence(events_max=120)), cooldown_events=100),
        On.every(events=200, do=Retrain(window=Window(rows=600), evidence=Evidence(events_max=150))),
        On.request(Ignore()),
    ],
    pending_rows_max=20,
)


def log() -> Records:
    """Questions, their answers ten records later, records that are refused, and holes: transactions leave some offset out."""
    values: list[bytes] = []
    for number, (x, _) in enumerate(PAIRS):
        question = json.dumps({"id": f"e{number}", **x}).encode()
        values.append(question)
        if number >= 10:
            values.append(json.dumps({"id": f"e{number - 10}", "y": PAIRS[number - 10][1]}).encode())
        if number % 50 == 7:
            values.append(b"no JSON")
        if number % 90 == 8:
            values.append(question)
    offsets = itertools.count(100)
    numbered = ((next(offsets) + number // 40, value) for number, value in enumerate(values))
    return Records.of(Record(offset, b"key %d" % offset, value, offset * 1_000) for offset, value in numbered)


LOG = log()
FIRST, END = LOG.offsets[0], LOG.offsets[-1] + 1


def lane_of(shard: Shard | None = None, *, next_offset: int = 0, live_from: int = 0) -> Lane:
    decoder = EventDecoder(PIPELINE.schema, PIPELINE.task, record_bytes_max=1_000)
    return Lane(ID, shard or Shard(PIPELINE), decoder, next_offset=next_offset, live_from=live_from)


def between(start: int, end: int) -> Records:
    return LOG.since(start).before(end)


def taken(lane: Lane, records: Records) -> Step:
    step = lane.take(records)
    assert step is not None
    return step


def trained(number: int, through: int) -> Trained:
    """What the trainer would hand over: a new object each time, because the shard goes on teaching it."""
    model = PIPELINE.model.clone()
    lessons = train(model, [Learned(0, 0.0, dict(x), y, None) for x, y in PAIRS[:150]])
    return Trained(training=number, model=model, lessons=lessons, learned_through=through)


def offset_of(output: Output) -> int:
    assert output[2] is not None
    return int(output[2].removeprefix(b"key "))


def sentences(step: Step) -> list[str]:
    return [fact.sentence for fact in step.facts]


class TestAStep:
    def test_says_what_the_batch_did(self) -> None:
        lane = lane_of()
        step = taken(lane, between(FIRST, FIRST + 30))
        assert (step.records, step.replayed, step.went_live) == (30, False, False)
        assert lane.next_offset == FIRST + 30
        assert step.newest_time_s == float(FIRST + 29)
        assert [output[0] for output in step.outputs].count("predictions") == len(step.predicted)
        assert [output[0] for output in step.outputs].count("dead_letters") == len(of(Rejected, step.facts)) == 2
        assert [fact.reason for fact in of(Rejected, step.facts)] == ["decode", "duplicate"]

    def test_has_the_facts_of_decoder_and_shard_in_order_of_offset(self) -> None:
        step = taken(lane_of(), LOG)
        offsets = [fact.offset for fact in step.facts]
        assert offsets == sorted(offsets)
        assert {fact.reason for fact in of(Rejected, step.facts)} == {"decode", "duplicate"}

    def test_of_records_that_are_no_events_has_no_time(self) -> None:
        step = taken(lane_of(), Records.of([Record(5, b"k", b"no JSON", 1_000)]))
        assert step.newest_time_s == -math.inf
        assert (step.records, len(step.outputs)) == (1, 1)

    def test_is_of_the_same_batch_whether_the_lane_decodes_it_or_not(self) -> None:
        first, second = lane_of(), lane_of()
        decoder = EventDecoder(PIPELINE.schema, PIPELINE.task, record_bytes_max=1_000)
        assert comparable(taken(first, LOG)) == comparable(second.take(decoder.decode_batch(LOG)))
        assert first.digest() == second.digest()

    def test_has_no_outputs_where_nothing_is_to_be_encoded(self) -> None:
        decoder = EventDecoder(PIPELINE.schema, PIPELINE.task, record_bytes_max=1_000)
        lane, other = Lane(ID, Shard(PIPELINE), decoder, encode_nothing), lane_of()
        silent, loud = taken(lane, LOG), taken(other, LOG)
        assert not silent.outputs
        assert comparable(silent)["facts"] == comparable(loud)["facts"]
        assert lane.digest() == other.digest()

    def test_goes_by_the_records_when_some_were_had_before(self) -> None:
        once, twice = lane_of(), lane_of()
        taken(once, between(FIRST, FIRST + 60))
        taken(twice, between(FIRST, FIRST + 40))
        step = taken(twice, between(FIRST + 20, FIRST + 60))
        assert step.records == len(between(FIRST + 40, FIRST + 60))
        assert all(fact.offset >= FIRST + 40 for fact in step.predicted)
        assert once.digest() == twice.digest()

    def test_is_none_where_all_of_them_were(self) -> None:
        lane = lane_of()
        taken(lane, between(FIRST, FIRST + 40))
        before = lane.digest()
        assert lane.take(between(FIRST, FIRST + 40)) is None
        assert lane.take(Records.of([])) is None
        assert (lane.next_offset, lane.digest()) == (FIRST + 40, before)


class TestSilence:
    def test_below_where_it_is_live_it_learns_and_puts_nothing_out(self) -> None:
        silent, loud = lane_of(live_from=END), lane_of()
        assert silent.replaying
        step, heard = taken(silent, between(FIRST, FIRST + 100)), taken(loud, between(FIRST, FIRST + 100))
        assert (step.replayed, step.went_live, step.outputs) == (True, False, [])
        assert step.learned == heard.learned
        assert step.facts == heard.facts
        assert step.predicted == heard.predicted
        assert silent.digest() == loud.digest()

    def test_a_batch_that_straddles_puts_out_what_is_live(self) -> None:
        lane, loud = lane_of(live_from=FIRST + 50), lane_of()
        step, heard = taken(lane, between(FIRST, FIRST + 100)), taken(loud, between(FIRST, FIRST + 100))
        assert (step.replayed, step.went_live) == (True, True)
        assert step.outputs == [output for output in heard.outputs if offset_of(output) >= FIRST + 50]
        assert step.predicted == heard.predicted, "what is learned and told is of the whole batch"
        assert not lane.replaying
        assert taken(lane, between(FIRST + 100, FIRST + 110)).replayed is False

    def test_a_batch_that_ends_where_it_is_live_makes_it_live(self) -> None:
        lane = lane_of(live_from=FIRST + 50)
        step = taken(lane, between(FIRST, FIRST + 50))
        assert (step.replayed, step.went_live, step.outputs) == (True, True, [])
        assert not lane.replaying

    @settings(max_examples=25, deadline=None)
    @given(
        saved=st.integers(FIRST, END),
        committed=st.integers(FIRST, END),
        cuts=st.lists(st.integers(FIRST, END), max_size=5),
    )
    def test_a_restored_lane_puts_out_the_rest_and_nothing_twice(self, saved: int, committed: int, cuts: list[int]) -> None:
        """Law 4: from a checkpoint, silently up to the committed offset, live from there."""
        saved, committed = sorted((saved, committed))
        before = lane_of()
        before.take(between(FIRST, saved))
        lane = lane_of(shard=restored(PIPELINE, before.shard), next_offset=saved, live_from=committed)
        outputs = [output for step in run(lane, cuts, ()) for output in step.outputs]
        whole = [output for step in WITHOUT_INPUTS.steps for output in step.outputs if offset_of(output) >= committed]
        assert by_kind(outputs) == by_kind(whole)
        assert lane.digest() == WITHOUT_INPUTS.digest


class TestReached:
    @pytest.mark.parametrize(
        ("position", "next_offset", "live"),
        [
            (FIRST, FIRST + 50, False),
            (FIRST + 50, FIRST + 50, False),
            (FIRST + 60, FIRST + 60, False),
            (FIRST + 80, FIRST + 80, True),
            (FIRST + 900, FIRST + 80, True),
        ],
    )
    def test_moves_forward_only_and_not_beyond_where_it_is_live(self, position: int, next_offset: int, live: bool) -> None:
        lane = lane_of(next_offset=FIRST + 50, live_from=FIRST + 80)
        before = lane.digest()
        assert lane.reached(position) is live
        assert (lane.next_offset, lane.replaying) == (next_offset, not live)
        assert lane.digest() == before

    def test_says_so_once_and_a_live_lane_stays_where_it_is(self) -> None:
        lane = lane_of(next_offset=FIRST, live_from=FIRST + 10)
        assert [lane.reached(FIRST + 10), lane.reached(FIRST + 20)] == [True, False]
        assert lane.next_offset == FIRST + 10

    def test_what_comes_after_it_is_put_out(self) -> None:
        lane = lane_of(next_offset=FIRST, live_from=FIRST + 10)
        lane.reached(FIRST + 10)
        step = taken(lane, between(FIRST, FIRST + 20))
        assert min(map(offset_of, step.outputs)) == FIRST + 10
        assert not step.replayed


class TestInputs:
    def test_take_effect_with_the_next_event(self) -> None:
        lane = lane_of()
        taken(lane, between(FIRST, FIRST + 60))
        lane.receive(Request(reason="because", token="1"))
        assert not lane.take(Records.of([])), "nothing happens before it"
        refused = taken(lane, Records.of([Record(FIRST + 70, b"key 170", b"no JSON", 0)]))
        assert not of(Requested, refused.facts), "a record that is no event is none"
        step = taken(lane, between(FIRST + 80, FIRST + 100))
        first, *_ = LOG.since(FIRST + 80).offsets
        assert [fact.offset for fact in of(Requested, step.facts)] == [first]
        [decided] = of(Decided, step.facts)
        assert (decided.trigger, decided.outcome) == ("request", "ignored")

    def test_are_part_of_the_state_from_then_on(self) -> None:
        lane = lane_of()
        taken(lane, between(FIRST, FIRST + 60))
        lane.receive(Request(reason="because", token="1"))
        again = lane_of(shard=restored(PIPELINE, lane.shard), next_offset=lane.next_offset)
        steps = [taken(each, between(FIRST + 60, FIRST + 100)) for each in (lane, again)]
        assert comparable(steps[0]) == comparable(steps[1])
        assert of(Requested, steps[0].facts)

    def test_a_request_that_was_had_before_is_passed_over(self) -> None:
        lane = lane_of()
        for number in (2, 1, 2):
            lane.receive(Request(reason=f"number {number}", token=str(number)))
        step = taken(lane, between(FIRST, FIRST + 60))
        assert [fact.reason for fact in of(Requested, step.facts)] == ["number 2", "number 1"]


class TestTraining:
    @pytest.fixture
    def lane(self) -> Lane:
        """A lane that has asked for a training."""
        lane = lane_of()
        step = taken(lane, between(FIRST, FIRST + 440))
        [asked] = of(TrainingRequested, step.facts)
        [command] = step.commands
        assert isinstance(command, Train)
        assert (command.training.number, command.training.through_offset, command.base) == (0, asked.offset, None)
        return lane

    def test_is_asked_for_again_after_a_restart_under_the_same_number(self, lane: Lane) -> None:
        again = lane_of(shard=restored(PIPELINE, lane.shard), next_offset=lane.next_offset)
        [before], [after] = lane.outstanding(), again.outstanding()
        assert isinstance(before, Train)
        assert isinstance(after, Train)
        assert before.training == after.training
        assert before.generation == after.generation

    def test_is_asked_for_once_in_the_steps(self, lane: Lane) -> None:
        assert taken(lane, between(FIRST + 440, FIRST + 460)).commands == []

    def test_is_cancelled_where_the_lane_goes_elsewhere(self, lane: Lane) -> None:
        assert lane.release() == [Cancel(training=0)]
        assert lane.outstanding(), "it is asked for where the lane goes on"

    @pytest.mark.parametrize("given", [trained(0, FIRST + 439), NotTrained(training=0, error="no luck")], ids=["trained", "failed"])
    def test_is_not_asked_for_once_it_has_come(self, lane: Lane, given: Input) -> None:
        lane.receive(given)
        assert lane.outstanding() == lane.release() == []

    def test_joins_with_the_next_event(self, lane: Lane) -> None:
        lane.receive(trained(0, FIRST + 439))
        step = taken(lane, between(FIRST + 440, FIRST + 460))
        [joined] = of(ChallengerJoined, step.facts)
        [started] = of(DuelStarted, step.facts)
        assert joined.offset == started.offset == step.predicted[0].offset
        assert started.contestants == ("champion", "retrained")
        duel = lane.observe().duel
        assert duel is not None
        assert (duel.number, duel.leader, duel.events) == (0, "champion", 0)

    def test_is_observed_with_the_evidence_so_far(self, lane: Lane) -> None:
        lane.receive(trained(0, FIRST + 439))
        taken(lane, between(FIRST + 440, FIRST + 520))
        duel = lane.observe().duel
        assert duel is not None
        assert [each.name for each in duel.contestants] == ["champion", "retrained"]
        assert 0 < duel.events < 80
        assert duel.passes_at > 1
        assert all(each.events == duel.events and each.e_value > 0 for each in duel.contestants)
        assert lane.shard.duel == duel

    def test_that_failed_is_told_with_the_next_event(self, lane: Lane) -> None:
        lane.receive(NotTrained(training=0, error="no luck"))
        step = taken(lane, between(FIRST + 440, FIRST + 460))
        assert "training 0 of challenger retrained failed: no luck" in sentences(step)
        assert lane.observe().training is None

    def test_nobody_waits_for_one_where_none_was_asked_for(self) -> None:
        assert lane_of().outstanding() == lane_of().release() == []


INPUTS: tuple[tuple[int, Any], ...] = (
    (FIRST + 60, lambda: Request(reason="early", token="1")),
    (FIRST + 500, lambda: trained(0, FIRST + 480)),
    (FIRST + 900, lambda: NotTrained(training=1, error="no luck")),
    (FIRST + 900, lambda: Request(reason="late", token="2")),
    (FIRST + 1_720, lambda: trained(2, FIRST + 1_700)),
)


def run(lane: Lane, cuts: Iterable[int], inputs: Sequence[tuple[int, Any]]) -> list[Step]:
    """The steps of a lane over the log, cut at any offsets, and where an input is given."""
    steps = []
    borders = sorted({lane.next_offset, END, *cuts, *(offset for offset, _ in inputs)})
    for start, end in itertools.pairwise(borders):
        for make in [make for offset, make in inputs if offset == start]:
            lane.receive(make())
        if (step := lane.take(between(start, end))) is not None:
            steps.append(step)
    return steps


def by_kind(outputs: Iterable[Output]) -> dict[str, list[Output]]:
    """Outputs in order within their kind: the order across topics is nobody's."""
    held = list(outputs)
    return {kind: [output for output in held if output[0] == kind] for kind in OUTPUT_KINDS}


def comparable(*steps: Step | None) -> dict[str, Any]:
    """What steps did, as if they were one."""
    made = [step for step in steps if step is not None]
    return {
        "records": sum(step.records for step in made),
        "outputs": by_kind(output for step in made for output in step.outputs),
        "predicted": [fact for step in made for fact in step.predicted],
        "learned": [row for step in made for row in step.learned],
        "facts": [fact for step in made for fact in step.facts],
        "commands": [dataclasses.astuple(command.training) for step in made for command in step.commands if isinstance(command, Train)],
    }


class Whole(NamedTuple):
    """A lane over the whole log, cut only where an input is given."""

    steps: list[Step]
    digest: str

    @classmethod
    def of(cls, inputs: Sequence[tuple[int, Any]]) -> Whole:
        lane = lane_of()
        return cls(run(lane, (), inputs), lane.digest())


WITHOUT_INPUTS, WITH_INPUTS = Whole.of(()), Whole.of(INPUTS)
WHOLE = comparable(*WITH_INPUTS.steps)


def test_the_log_has_what_cutting_could_change() -> None:
    facts = WHOLE["facts"]
    assert [fact.training for fact in of(TrainingRequested, facts)] == [0, 1, 2]
    assert [fact.training for fact in of(ChallengerJoined, facts)] == [0, 2]
    assert len(of(TrainingFailed, facts)) == 1
    assert len(of(Requested, facts)) == 2
    assert len(of(DuelEnded, facts)) >= 2
    assert {type(fact) for fact in facts} <= set(SHARD_FACTS)
    assert all(len(outputs) > 10 for outputs in WHOLE["outputs"].values())


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(FIRST, END), max_size=12))
def test_any_cutting_of_the_records_gives_the_same_outputs_facts_rows_and_state(cuts: list[int]) -> None:
    lane = lane_of()
    steps = run(lane, cuts, INPUTS)
    assert comparable(*steps) == WHOLE
    assert lane.digest() == WITH_INPUTS.digest


def test_so_does_a_batch_for_each_record() -> None:
    lane = lane_of()
    assert comparable(*run(lane, LOG.offsets, INPUTS)) == WHOLE
    assert lane.digest() == WITH_INPUTS.digest


def test_the_delay_of_each_answer_is_told_in_event_time() -> None:
    asked = [Record(number, None, json.dumps({"id": f"e{number}", **PAIRS[number][0]}).encode(), number * 1_000) for number in range(3)]
    answers = [Record(number + 3, None, json.dumps({"id": f"e{number}", "y": PAIRS[number][1]}).encode(), 10_000) for number in range(3)]
    whole = Record(6, None, json.dumps({"id": "e6", **PAIRS[6][0], "y": PAIRS[6][1]}).encode(), 11_000)
    unknown = Record(7, None, json.dumps({"id": "e99", "y": True}).encode(), 11_000)
    step = lane_of().take(Records.of([*asked, *answers, whole, unknown]))
    assert step is not None
    assert step.delays_s == [10.0, 9.0, 8.0], "an event with its label is no answer, and neither is a label without a question"
