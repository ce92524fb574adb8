"""A model trained from history by the code that runs live: a pipeline over all records of a source, as if they were one shard's.

The rows of a file come in their order, the partitions of a topic merged by the timestamps of their records. The pipeline's own watches and
rules do what they do live: what drifts is reset or raced, and the model that serves at the end is the one that is handed over. Every event
is predicted before it is learned, so its score is of events that the model had not seen.

What the pipeline starts with is left out: this is how such a model is made.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from stream_retrain.backtesting.source import Source
from stream_retrain.codec.exported import History
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.replay import JOINS_AFTER_EVENTS, Replay
from stream_retrain.errors import SettingsError
from stream_retrain.lane.batch import Records
from stream_retrain.lane.encoder import encode_nothing
from stream_retrain.lane.warm import served_in

__all__ = ["Taught", "train"]

CHUNK_RECORDS: Final = 2_000


class Taught(NamedTuple):
    """The model that serves at the end, and what it is known to have learned."""

    model: Any
    family: str
    generation: int
    history: History
    notes: list[str]


def train(
    pipeline: Pipeline,
    source: Source,
    on_progress: Callable[[int, int | None], None] = lambda _records, _about: None,
    *,
    joins_after_events: int = JOINS_AFTER_EVENTS,
) -> Taught:
    """Train it, to the end of the source; `on_progress` is told how many records were learned, of about how many.

    Raises `SettingsError` where the source has no event of the schema or a challenger learns from a topic, `BrokerError`.
    """
    if pipeline.start is not None:
        pipeline = dataclasses.replace(pipeline, start=None)
    if pipeline.trains_on_topic:
        raise SettingsError(f"a challenger of {pipeline.name!r} learns from a topic, which is not read here: train without that rule")
    began, records, about = time.monotonic(), 0, source.estimate()
    run = Replay(pipeline, joins_after_events=joins_after_events, encoder=encode_nothing)
    on_progress(0, about)
    # Offsets are those of one log: several partitions may have the same.
    numbered = (record._replace(offset=offset) for offset, (_, record) in enumerate(source.records()))
    while chunk := list(itertools.islice(numbered, CHUNK_RECORDS)):
        for _ in run.take(Records.of(chunk)):
            pass
        records += len(chunk)
        on_progress(records, about)
    seen, served = run.lane.observe(), served_in(run.lane.shard.snapshot())
    if not seen.events_seen:
        raise SettingsError(f"{source.name}: none of its {records:,} records has a label that belongs to features: {_why(source)}")
    history = History(
        source=source.name,
        records=records,
        events=seen.events_seen,
        seconds=round(time.monotonic() - began, 3),
        score=_finite(seen.running),
        rolling=_finite(seen.rolling),
    )
    return Taught(served.model, served.family, seen.generation, history, source.notes)


def _why(source: Source) -> str:
    return " ".join(source.notes) or "see stream-retrain check PIPELINE --sample FILE"


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
