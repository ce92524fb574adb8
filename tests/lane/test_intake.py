"""Too many refused records pause a worker's lane, at one place of the log, however it is cut; a restart finds it so; nothing is lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model

from stream_retrain import Pipeline, PipelineError, Schema, Shard
from stream_retrain.facts.records import IntakePaused, Rejected
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.change import adapted
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.intake import Intake
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import Output
from tests.lane.support import Refusing, restored

SHARD = ShardId("p", "s", 0)


def pipeline(share: float | None = 0.5, over: int = 10, **fields: Any) -> Pipeline:
    schema = Schema(id="id", label="y", features={"c": float})
    limits = {"rejects_share_max": share, "rejects_over_records": over}
    return Pipeline(name="p", task="binary", source="s", schema=schema, **({"model": Refusing()} | limits | fields))


GOOD, BAD, ODD = b'{"id":"%d","c":1,"y":true}', b"{", b'{"id":"%d","c":95,"y":true}'
"""`ODD` is an event that the model refuses, which nobody knows before."""


def log(kinds: str) -> list[Record]:
    """g: good, b: not JSON, o: refused by the model."""
    values = {"g": GOOD, "b": BAD, "o": ODD}
    return [Record(at, b"k", values[kind] % at if kind != "b" else BAD, 1_000 * at) for at, kind in enumerate(kinds)]


def lane(of: Pipeline, shard: Shard | None = None, at: int = 0, *, pauses: bool = True) -> Lane:
    made = Lane(SHARD, shard or Shard(of), EventDecoder.of(of, record_bytes_max=10_000), next_offset=at, live_from=at)
    made.pauses = pauses
    return made


def told(outputs: Sequence[Output]) -> list[tuple[str, bytes | None]]:
    return sorted((kind, value) for kind, _, _, value, _ in outputs)


def paused_at(kinds: str, share: float = 0.5, over: int = 10) -> list[int]:
    """Where the limit is reached, by the definition: counted by hand."""
    reached, since = [], 0
    for at, kind in enumerate(kinds):
        window = kinds[max(since, at + 1 - over) : at + 1]
        if kind != "g" and sum(each != "g" for each in window) >= share * over:
            reached.append(at)
            since = at + 1
    return reached


def taken(of: Pipeline, records: list[Record], cuts: Sequence[int], *, pauses: bool, restarts: bool = False) -> tuple[Any, list[int]]:
    """All of a log, resumed wherever it pauses: outputs, state; and where it paused."""
    made, outputs, stops = lane(of, pauses=pauses), [], []
    bounds = [0, *sorted(set(cuts)), len(records)]
    for first, end in itertools.pairwise(bounds):
        left = Records.of(records[first:end])
        while len(left := left.since(made.next_offset)):
            step = made.take(left)
            outputs += step.outputs if step else []
            if restarts:
                made = lane(of, restored(of, made.shard), made.next_offset, pauses=pauses)
            if made.paused:
                assert made.take(left) is None, "it takes nothing while it is paused"
                stops.append(made.next_offset - 1)
                made.resume()
    return (told(outputs), made.digest()), stops


@given(st.text("gbo", max_size=60), st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_it_pauses_at_the_same_record_however_the_log_is_cut_and_changes_nothing_else(kinds: str, cuts: list[int], restarts: bool) -> None:
    of, records = pipeline(), log(kinds)
    whole, none = taken(of, records, [], pauses=False)
    held, stops = taken(of, records, cuts, pauses=True, restarts=restarts)
    assert (none, stops) == ([], paused_at(kinds))
    assert held == whole


@given(st.text("gb", max_size=80), st.floats(0.01, 1.0), st.integers(1, 30))
def test_where_the_limit_is_reached_is_its_definition(kinds: str, share: float, over: int) -> None:
    of = pipeline(share, over, model=linear_model.LogisticRegression())
    step = lane(of, pauses=False).take(Records.of(log(kinds)))
    facts = [fact for fact in (step.facts if step else []) if isinstance(fact, IntakePaused)]
    assert [fact.offset for fact in facts] == paused_at(kinds, share, over)
    assert all(fact.time_s == fact.offset for fact in facts), "the timestamp of its record"


def test_it_is_told_after_the_refusal_that_reached_it_as_a_decision() -> None:
    step = lane(pipeline(1.0, 2)).take(Records.of(log("gbbgg")))
    assert step is not None
    assert [type(fact) for fact in step.facts] == [Rejected, Rejected, IntakePaused]
    assert [kind for kind, *_ in step.outputs] == ["predictions", "decisions", "dead_letters", "dead_letters"]
    assert (step.records, step.facts[-1].offset) == (3, 2)


def test_a_paused_lane_is_so_after_a_restart_and_goes_on_with_a_changed_pipeline() -> None:
    of = pipeline()
    first = lane(of)
    first.take(Records.of(log("bbbbbg")))
    assert (first.paused, first.next_offset) == (True, 5)
    assert lane(of, restored(of, first.shard), 5).paused
    changed = pipeline(0.9)
    state, change = adapted(first.snapshot(), of.parts(), changed)
    assert "rejects_share_max" in change.differs
    assert not lane(changed, Shard(changed, state), 5).paused


def test_a_lane_that_replays_does_not_pause() -> None:
    of = pipeline()
    made = Lane(SHARD, Shard(of), EventDecoder.of(of, record_bytes_max=10_000), next_offset=0, live_from=7)
    made.pauses = True
    step = made.take(Records.of(log("bbbbbbg")))
    assert step is not None
    assert (step.records, made.next_offset, made.paused) == (7, 7, False)


def test_a_lane_that_pauses_at_the_end_of_its_replay_is_paused() -> None:
    of = pipeline()
    made = Lane(SHARD, Shard(of), EventDecoder.of(of, record_bytes_max=10_000), next_offset=0, live_from=5)
    made.pauses = True
    made.take(Records.of(log("bbbbb")))
    assert made.paused
    assert made.take(Records.of(log("bbbbbg"))) is None


def test_without_a_limit_nothing_is_counted_and_nothing_pauses() -> None:
    of = pipeline(None)
    made = lane(of)
    step = made.take(Records.of(log("b" * 100)))
    assert step is not None
    assert (step.records, made.paused) == (100, False)
    assert made.shard.intake.snapshot() == Intake(of).snapshot()


def test_a_state_that_was_saved_before_there_was_a_limit_is_taken() -> None:
    of = pipeline()
    saved = lane(of).snapshot()
    before = {name: value for name, value in saved.items() if name != "intake"} | {"schema": 2}
    assert Shard(of, before).digest() == Shard(of).digest()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"share": 0.0}, "rejects_share_max is 0.0; use a share above 0 and at most 1"),
        ({"share": 1.5}, "rejects_share_max is 1.5"),
        ({"share": "half"}, "rejects_share_max is 'half'"),
        ({"over": 0}, "rejects_over_records is 0; use a whole number of at least 1"),
    ],
)
def test_faults(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(PipelineError, match=fault):
        pipeline(**fields)
