"""The shard of a pipeline over events that are all there already: for backtests and benchmarks.

Everything is the live code but time and place: the window is in memory, trainings are done on the spot by the same function, and a
challenger joins after a declared number of labelled events in place of the time its training takes. So the same events give the
same facts, every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.messages import Event, Outcome, ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.shard import Shard
from stream_retrain.engines.outside import Outside
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.stores import connect
from stream_retrain.stores.base import WindowLimits
from stream_retrain.stores.window import WindowChunk

__all__ = ["JOINS_AFTER_EVENTS", "replay"]

JOINS_AFTER_EVENTS: Final = 500
BATCH_EVENTS: Final = 500


def replay(pipeline: Pipeline, events: Iterable[Event], *, joins_after_events: int = JOINS_AFTER_EVENTS) -> Iterator[tuple[Shard, Outcome]]:
    """The shard and what each batch of events did, in order of offset.

    joins_after_events
        Labelled events between the request for a training and the event before which its challenger joins, at least 1.
    """
    stores, keyring = connect("memory://"), Keyring.unsigned()
    id_ = ShardId(pipeline.name, pipeline.source, 0)
    epoch = stores.checkpoints.claim(id_)
    limits = WindowLimits(rows_max=max(1, pipeline.window_rows_max), age_max_s=pipeline.window_age_max_s)
    outside = Outside(pipeline, stores, keyring, InlineTrainer(pipeline, stores, keyring), lambda _: None)
    shard = Shard(pipeline)
    log = iter(events)
    now_s = 0.0
    while batch := list(itertools.islice(log, _step(shard, joins_after_events))):
        outcome = shard.process(batch)
        if outcome.learned:
            stores.window.append(id_, epoch, WindowChunk.of(outcome.learned), limits)
        yield shard, outcome
        if shard.training is not None and _wait(shard, joins_after_events) <= 0:
            for _ in range(2):  # the first look asks for the training, the second takes it
                now_s += 60.0
                inputs = outside.inputs_of(id_, epoch, shard, now_s)
                for given in inputs:
                    shard.receive(given)
                outside.taken(id_, inputs)


def _wait(shard: Shard, joins_after_events: int) -> int:
    training = shard.training
    return joins_after_events if training is None else training.events_seen + joins_after_events - shard.events_seen


def _step(shard: Shard, joins_after_events: int) -> int:
    """How many events may be processed before the next look: a training asked for in them must not be due before their end."""
    return max(1, min(BATCH_EVENTS, _wait(shard, joins_after_events)))
