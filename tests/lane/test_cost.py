"""What a lane takes beside its model, in instructions of Python for each event: a number that no machine and no load changes.

It is a guard: where a limit is passed, the hot path does more at each event than it did. Then mend it, or say here why it is worth it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import msgspec
from river import drift, linear_model, metrics, preprocessing

from stream_retrain import Ignore, On, Pipeline, Schema, Watch
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Records
from stream_retrain.lane.encoder import encode
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.shard import Shard
from stream_retrain.models import QuickTree
from tests.core import streams
from tests.models.twins import needs_extension

EVENTS = 500
FEATURES = streams.FEATURES


def instructions(run: Callable[[], Any]) -> float:
    """Of Python, for each event."""
    count = 0

    def traced(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        run()
    finally:
        sys.settrace(before)
    return count / EVENTS


def pairs() -> list[tuple[dict[str, float], bool]]:
    return streams.rows(2 * EVENTS)


def records(first: int) -> Records:
    part = list(enumerate(pairs()))[first : first + EVENTS]
    values = [msgspec.json.encode({"id": f"e{offset}", "y": y, **x}) for offset, (x, y) in part]
    none = [None] * EVENTS
    return Records([offset for offset, _ in part], none, values, [1_700_000_000_000 + offset for offset, _ in part], none)


def lane(model: Any) -> Lane:
    schema = Schema(id="id", label="y", features=dict.fromkeys(FEATURES, float))
    parts: dict[str, Any] = {"watch": [Watch("error", drift.ADWIN())], "react": [On.drift("error", Ignore())]}
    pipeline = Pipeline(name="cost", task="binary", source="events", schema=schema, model=model, **parts)
    decoder = EventDecoder.of(pipeline, record_bytes_max=100_000)
    return Lane(ShardId("cost", "events", 0), Shard(pipeline), decoder, encode, next_offset=0, live_from=0)


def cost_of(model: Any) -> float:
    """The second batch of a lane: it has learned, and nothing is done for the first time."""
    taken = lane(model)
    assert taken.take(records(0)) is not None
    second = records(EVENTS)
    return instructions(lambda: taken.take(second))


@needs_extension
def test_a_compiled_model_is_taken_with_few_instructions_an_event() -> None:
    """66 with Python 3.11, of which the detector of River's is a half; taken one by one, it would take 458."""
    assert cost_of(QuickTree()) < 80


class Loop:
    """The bare River loop."""

    def __init__(self, model: Any) -> None:
        self.model, self.metric = model, metrics.Accuracy()

    def run(self, part: list[tuple[dict[str, float], bool]]) -> None:
        for x, y in part:
            y_pred = self.model.predict_one(x)
            if y_pred is not None:
                self.metric.update(y, y_pred)
            self.model.learn_one(x, y)


def test_decoded_scored_watched_and_encoded_it_takes_no_more_than_the_bare_loop_of_river() -> None:
    """The lane asks once for label and probability, and counts many predictions at a time: 1,119 beside 1,412."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    loop = Loop(model.clone())
    loop.run(pairs()[:EVENTS])
    bare = instructions(lambda: loop.run(pairs()[EVENTS:]))
    assert cost_of(model) < bare
