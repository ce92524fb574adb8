"""What a lane was restored from is the first thing it tells, once, and no part of its state."""

from __future__ import annotations

import dataclasses
import json
import math

from stream_retrain import Ignore, On, Retrain, Shard, Window
from stream_retrain.core.contest.inputs import NotTrained, Request
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.shard import Requested
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import DECISIONS
from tests.core import streams
from tests.lane.support import of

ID = ShardId("test", "events", 0)
PIPELINE = streams.pipeline(watch=[], react=[On.every(events=20, do=Retrain(window=Window(rows=600))), On.request(Ignore())])
TOLD = ShardRestored(offset=-1, time_s=-math.inf, how="checkpoint", from_offset=12, training=None, request="", generation=0)


def records(first: int, last: int, *broken: int) -> Records:
    rows = [{"id": f"e{offset}", **x, "y": y} for offset, (x, y) in enumerate(streams.rows(last))]
    values = [b"none" if offset in broken else json.dumps(rows[offset]).encode() for offset in range(first, last)]
    return Records.of(Record(offset, b"k", value, offset * 1_000) for offset, value in zip(range(first, last), values, strict=True))


def lane(live_from: int = 0, shard: Shard | None = None) -> Lane:
    decoder = EventDecoder.of(PIPELINE, record_bytes_max=10_000)
    return Lane(ID, shard or Shard(PIPELINE), decoder, live_from=live_from, announcing=TOLD)


def told(lane_: Lane, given: Records) -> list[ShardRestored]:
    step = lane_.take(given)
    return [] if step is None else of(ShardRestored, step.facts)


def test_it_is_told_with_the_first_event_as_the_state_is_before_it() -> None:
    one = lane()
    [fact] = told(one, records(0, 5))
    assert (fact.offset, fact.time_s, fact.how, fact.from_offset) == (0, 0.0, "checkpoint", 12)
    assert (fact.training, fact.request, fact.generation) == (None, "", 0)
    assert told(one, records(5, 9)) == []


def test_it_waits_until_the_lane_is_live() -> None:
    one = lane(live_from=30)
    assert told(one, records(0, 10)) == []
    assert told(one, records(10, 30)) == []
    [fact] = told(one, records(30, 31))
    assert fact.offset == 30
    assert fact.training == 0, "it was asked for in the silence"


def test_it_waits_for_an_event() -> None:
    one = lane()
    assert told(one, records(0, 3, 0, 1, 2)) == []
    [fact] = told(one, records(3, 6, 3))
    assert fact.offset == 4


def test_records_before_its_event_that_are_none_keep_their_order() -> None:
    step = lane().take(records(0, 4, 0, 2))
    assert step is not None
    assert [fact.offset for fact in step.facts] == [0, 1, 2]


def test_it_stands_before_what_an_input_tells_and_knows_of_it() -> None:
    one = lane()
    one.receive(Request(reason="now", token="t1"))
    step = one.take(records(0, 2))
    assert step is not None
    assert [type(fact) for fact in step.facts][:2] == [ShardRestored, Requested]
    assert of(ShardRestored, step.facts)[0].request == "t1"
    ids = [json.loads(value or b"")["id"] for kind, _, _, value, _ in step.outputs if kind == DECISIONS]
    assert ids[:2] == ["events/0/0/0/shard.restored", "events/0/0/0/policy.requested"], "others have the ids they would have without it"


def test_a_training_that_came_is_not_waited_for() -> None:
    one = lane(live_from=30)
    one.take(records(0, 30))
    one.receive(NotTrained(training=0, error="no"))
    [fact] = told(one, records(30, 32))
    assert fact.training is None


def test_it_is_no_part_of_the_state() -> None:
    one, other = lane(), lane()
    other.announcing = None
    for each in (one, other):
        each.take(records(0, 50))
    assert one.digest() == other.digest()


def test_it_is_the_same_however_the_log_is_cut() -> None:
    whole = lane(live_from=10)
    whole.take(records(0, 10))
    [once] = told(whole, records(10, 60))
    cut = lane(live_from=10)
    facts = [fact for first in range(0, 60, 5) for fact in told(cut, records(first, first + 5))]
    assert facts == [once]
    assert dataclasses.replace(once, offset=-1, time_s=-math.inf) == TOLD
