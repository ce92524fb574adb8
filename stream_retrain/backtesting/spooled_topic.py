"""A range of the topic, for a challenger that learns the whole data set anew: in a backtest, of the records that it has read.

What a trainer would find in the topic when a training is asked for is what the source had until then: of the training's own partition the
records through the one at which it was asked for, of the others those with smaller positions. Nothing later is read, so a backtest
does not see ahead.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator, Sequence
from typing import Final

from stream_retrain.backtesting.spool import SpooledPartition
from stream_retrain.core.contest.challenger import TopicRange
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer import Job
from stream_retrain.engines.trainer.labelled import labelled
from stream_retrain.errors import TrainingError
from stream_retrain.facts.values import Event, Features, Learned
from stream_retrain.lane.formats.decoder import EventDecoder

__all__ = ["SpooledTopic"]

_BEGINNING: Final = float("-inf")
_END: Final = float("inf")


@dataclasses.dataclass(frozen=True, slots=True)
class SpooledTopic:
    """A `TopicReader` of the spool. Its rows come in the order of the source, as those of a topic do by the times of its records."""

    partitions: tuple[SpooledPartition, ...]
    record_bytes_max: int

    def __call__(self, pipeline: Pipeline, job: Job, wanted: TopicRange) -> Iterator[Learned]:
        """The labelled events of a range. Raises `TrainingError` for another topic than the pipeline's source."""
        if wanted.topic != pipeline.source:
            raise TrainingError(f"a backtest reads the records of its source alone, and topic {wanted.topic!r} is another")
        until = self._position(job)
        decoder = EventDecoder.of(pipeline, record_bytes_max=self.record_bytes_max)
        since_s, before_s = wanted.from_time_s, wanted.to_time_s
        times = (_BEGINNING if since_s is None else since_s * 1000, _END if before_s is None else before_s * 1000)
        waiting: dict[int, dict[str, Features]] = {each.partition: {} for each in self.partitions}
        streams = [_events(each, decoder, until, *times) for each in self.partitions]
        for _, partition, event in heapq.merge(*streams):
            yield from labelled(event, waiting[partition], pipeline.pending_rows_max)

    def _position(self, job: Job) -> int:
        """The position of the record at which a training was asked for."""
        [own] = [each for each in self.partitions if each.partition == job.shard.partition]
        through = job.training.through_offset
        for positions, records in own.chunks():
            if records.offsets[-1] >= through:
                return positions[list(records.offsets).index(through)]
        raise AssertionError(f"offset {through} of partition {own.partition} is not in the spool")


def _events(
    spooled: SpooledPartition, decoder: EventDecoder, until: int, since_ms: float, before_ms: float
) -> Iterator[tuple[int, int, Event]]:
    """The events of a partition through a position, each with its position, from the first record that is not older than `since_ms` to
    before the first that is not older than `before_ms`."""
    begun = False
    for positions, records in spooled.chunks():
        batch, place = decoder.decode_batch(records), _places(records.offsets, positions)
        timestamp = dict(zip(records.offsets, records.timestamps_ms, strict=True))
        for event in batch.events:
            position, at_ms = place[event.offset], timestamp[event.offset]
            if position > until or at_ms >= before_ms:
                return
            begun = begun or at_ms >= since_ms
            if begun:
                yield position, spooled.partition, event


def _places(offsets: Sequence[int], positions: Sequence[int]) -> dict[int, int]:
    return dict(zip(offsets, positions, strict=True))
