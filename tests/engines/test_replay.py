"""One live path: a replay, the verifier and a worker that is given inputs from outside come to the same outputs and the same state."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from river import drift, tree

from stream_retrain import Evidence, On, Pipeline, Reset, Retrain, Watch, Window
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.inputs import Input, Request, Trained
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.replay.checkpoint_watch import CheckpointWatch
from stream_retrain.engines.replay.clock import SimulatedClock
from stream_retrain.engines.replay.replay import Replay, replay, replay_events
from stream_retrain.engines.replay.verifier import Verdict, expected_of, verify
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.facts.request import Asked
from stream_retrain.facts.shard import ChallengerJoined, DuelEnded, ShardFact, TrainingRequested
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.put import Put, put_of
from stream_retrain.lane.step import OUTPUT_KINDS, Output
from stream_retrain.requests import new_token
from stream_retrain.stores import connect
from tests.core import streams

COUNT = 2_400
PAIRS = streams.rows(COUNT, flip_at=1_100)


def declared(**changes: Any) -> Pipeline:
    parts = {
        "model": tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1),
        "watch": [Watch("error", drift.ADWIN())],
        "react": [
            On.drift("error", Retrain(window=Window(rows=500), evidence=Evidence(events_max=300)), cooldown_events=200),
            On.request(Reset()),
        ],
    }
    return streams.pipeline(**{**parts, **changes})


PIPELINE = declared()
RECORDS = [
    Record(number, b"k%d" % (number % 3), json.dumps({"id": f"e{number}", **x, "y": y} if number % 50 else {"id": 7}).encode(), number)
    for number, (x, y) in enumerate(PAIRS)
]


def as_read(outputs: list[Output]) -> list[Put]:
    """Outputs as they stand in their topics, kind by kind."""
    puts = map(put_of, outputs)
    return sorted(puts, key=lambda put: OUTPUT_KINDS.index(put.kind))


class Live:
    """A driver with a trainer and requests, whose inputs are recorded as it takes them."""

    def __init__(self, requests_at: dict[int, str]) -> None:
        self.outputs: list[Output] = []
        self.inputs: list[tuple[int, Input]] = []
        self.facts: list[ShardFact] = []
        stores, keyring, clock = connect("memory://"), Keyring.unsigned(), SimulatedClock()
        trainer = InlineTrainer(PIPELINE, stores, keyring)
        driver = Driver(PIPELINE, stores, keyring, DriverLimits(), lambda _: None, clock, trainer)
        id_ = driver.open(0, Log(None, 0, COUNT), 0.0).id
        lane = driver.lanes[0]
        receive = lane.receive

        def recording(given: Input) -> None:
            self.inputs.append((lane.next_offset, copy.deepcopy(given)))
            receive(given)

        lane.receive = recording  # type: ignore[method-assign]
        for first in range(0, COUNT, 90):
            if (reason := requests_at.get(first)) is not None:
                stores.requests.ask(id_, Asked(token=new_token(), reason=reason))
            step = driver.take(0, Records.of(RECORDS[first : first + 90]))
            assert step is not None
            self.facts += step.facts
            unsent = driver.unsent()
            self.outputs += unsent.outputs
            driver.committed(unsent.offsets)
            clock.advance(1.0)
            driver.settle(clock.now_s)
        self.digest = lane.digest()


@pytest.fixture(scope="module")
def live() -> Live:
    return Live({1_800: "new sensors"})


def test_the_live_run_had_a_training_a_duel_and_a_request(live: Live) -> None:
    kinds = {type(fact) for fact in live.facts}
    assert {TrainingRequested, ChallengerJoined, DuelEnded} <= kinds
    assert {type(given) for _, given in live.inputs} >= {Trained, Request}


def test_the_verifier_given_the_recorded_inputs_has_every_byte_and_the_state(live: Live) -> None:
    expected = expected_of(PIPELINE, 0, RECORDS, live.inputs)
    assert expected.outputs == as_read(live.outputs)
    assert (expected.digest, expected.next_offset) == (live.digest, COUNT)
    assert verify(expected, as_read(live.outputs), (COUNT, live.digest), COUNT).holds


def test_without_an_input_the_verifier_sees_that_one_is_missing(live: Live) -> None:
    verdict = verify(expected_of(PIPELINE, 0, RECORDS, live.inputs[1:]), as_read(live.outputs), (COUNT, live.digest), COUNT)
    assert not verdict.holds


def test_an_input_one_event_later_is_another_history(live: Live) -> None:
    [(offset, given), *rest] = live.inputs
    later = expected_of(PIPELINE, 0, RECORDS, [(offset + 1, given), *rest])
    assert later.outputs != as_read(live.outputs)


def test_a_replay_without_trainings_is_the_oracle() -> None:
    plain = declared(react=[On.drift("error", Reset(), cooldown_events=100)])
    outputs = [output for _, step in replay(plain, RECORDS) for output in step.outputs]
    assert as_read(outputs) == expected_of(plain, 0, RECORDS).outputs


def test_a_replay_is_the_same_every_time_and_joins_when_it_is_told() -> None:
    def told(joins_after_events: int) -> list[ShardFact]:
        return [fact for _, step in replay(PIPELINE, RECORDS, joins_after_events=joins_after_events) for fact in step.facts]

    first = told(250)
    assert told(250) == first
    [requested, *_] = [fact for fact in first if isinstance(fact, TrainingRequested)]
    [joined, *_] = [fact for fact in first if isinstance(fact, ChallengerJoined)]
    labelled = [record.offset for record in RECORDS if record.offset % 50 and record.offset > requested.offset]
    assert joined.offset == labelled[250]
    assert told(40) != first


@pytest.mark.slow
def test_several_replays_of_one_batch_each_cut_it_for_themselves() -> None:
    """Of any length of batch and of step comes the same, for a pipeline that trains as for one that does not."""
    reset = declared(react=[On.drift("error", Reset(), cooldown_events=100)])
    alone = [
        [fact for _, step in replay(pipeline, RECORDS, joins_after_events=250) for fact in step.facts] for pipeline in (PIPELINE, reset)
    ]
    decoder = EventDecoder.of(PIPELINE, record_bytes_max=1_000_000)
    for batch_records, step_records_max in ((700, 500), (2_400, 33), (7, 1)):
        runs = [Replay(each, joins_after_events=250, step_records_max=step_records_max) for each in (PIPELINE, reset)]
        told: list[list[ShardFact]] = [[], []]
        for first in range(0, COUNT, batch_records):
            batch = decoder.decode_batch(Records.of(RECORDS[first : first + batch_records]))
            for run, facts in zip(runs, told, strict=True):
                steps = list(run.take(batch))
                assert max(step.records for step in steps) <= step_records_max
                facts += [fact for step in steps for fact in step.facts]
        assert told == alone


def test_a_window_is_kept_only_where_somebody_trains_on_it() -> None:
    id_ = ShardId("test", "events", 0)
    for pipeline, kept in ((PIPELINE, 1), (declared(react=[On.drift("error", Reset())]), 0)):
        run = Replay(pipeline)
        list(run.take(Records.of(RECORDS[:300])))
        assert len(run._driver._stores.window.last(id_, 1)) == kept


def test_outputs_can_be_left_out() -> None:
    silent, loud = replay(PIPELINE, RECORDS, outputs=False), replay(PIPELINE, RECORDS)
    for (_, without), (_, with_) in zip(silent, loud, strict=True):
        assert not without.outputs
        assert (without.facts, without.predicted) == (with_.facts, with_.predicted)


def test_events_that_were_no_records_come_to_the_same() -> None:
    events = [event for event in streams.events(PAIRS) if event.offset % 50]
    steps = [step for _, step in replay_events(PIPELINE, events)]
    of_records = [step for _, step in replay(PIPELINE, RECORDS)]
    predicted = [(fact.offset, fact.prediction, fact.probability) for step in steps for fact in step.predicted]
    assert predicted[:1_000] == [(fact.offset, fact.prediction, fact.probability) for step in of_records for fact in step.predicted][:1_000]


def test_a_replay_of_nothing_has_no_step() -> None:
    assert list(replay(PIPELINE, [])) == []
    assert expected_of(PIPELINE, 0, []).outputs == []


def damaged(outputs: list[Put]) -> Iterator[tuple[str, list[Put]]]:
    yield "lost", outputs[:100] + outputs[101:]
    yield "duplicated", [*outputs[:100], outputs[100], *outputs[100:]]
    yield "different", [*outputs[:100], outputs[100]._replace(value=(outputs[100].value or b"") + b" "), *outputs[101:]]
    yield "different", [*outputs[:100], outputs[101], outputs[100], *outputs[102:]]


@pytest.mark.parametrize("case", range(4))
def test_every_kind_of_damage_has_its_count(case: int) -> None:
    expected = expected_of(PIPELINE, 0, RECORDS[:600])
    kind, outputs = list(damaged(expected.outputs))[case]
    verdict = verify(expected, outputs, (expected.next_offset, expected.digest), 600)
    assert not verdict.holds
    assert getattr(verdict, kind) == 1
    assert verdict.examples


def test_a_state_at_another_offset_is_no_equal_state() -> None:
    expected = expected_of(PIPELINE, 0, RECORDS[:600])
    assert not verify(expected, expected.outputs, (599, expected.digest), 600).state_equal
    assert not verify(expected, expected.outputs, None, 600).state_equal


def test_verdicts_add_up() -> None:
    sum_ = Verdict(events=3, lost=1, examples=("a",)) + Verdict(events=4, different=2, state_equal=False, examples=("b",))
    assert (sum_.events, sum_.lost, sum_.different, sum_.state_equal, sum_.examples) == (7, 1, 2, False, ("a", "b"))


def test_checkpoints_are_never_beyond_what_is_committed_and_never_go_back() -> None:
    shard, watch = ShardId("p", "t", 0), CheckpointWatch()
    watch.saw(shard, 5, 10)
    watch.saw(shard, 10, 10)
    assert (watch.seen, watch.faults) == (2, [])
    watch.saw(shard, 11, 10)
    watch.saw(shard, 9, 20)
    watch.saw(shard, 9, None)
    assert len(watch.faults) == 3
    watch.forget()
    watch.saw(shard, 1, 20)
    assert len(watch.faults) == 3
