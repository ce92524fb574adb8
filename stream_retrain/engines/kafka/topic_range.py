"""A range of a topic as rows to learn: all partitions, by the time of their records, questions joined with their answers.

The end is where it was when the reading began. The records come by `range_reader`: the same range always gives the same rows in the same
order.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream_retrain.core.contest.challenger import TopicRange
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import partitions_of, reading
from stream_retrain.engines.kafka.range_reader import read_stretches
from stream_retrain.engines.kafka.range_text import AtTime
from stream_retrain.engines.kafka.registry import with_registry
from stream_retrain.engines.kafka.stretches import find_stretches
from stream_retrain.engines.trainer.jobs import Job
from stream_retrain.engines.trainer.labelled import labelled
from stream_retrain.errors import EventError
from stream_retrain.facts.values import Event, Features, Learned
from stream_retrain.lane.batch import Record
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.settings import Settings

__all__ = ["read_range"]


def read_range(settings: Settings, pipeline: Pipeline, job: Job, wanted: TopicRange) -> Iterator[Learned]:
    """The labelled events of a range, those of the job's own shard through `through_offset` at most: the window has the others.

    Records that are no events of the schema are left out. Raises `BrokerError` where the topic is not there, or Kafka does not
    answer.
    """
    decoder = EventDecoder.of(with_registry(pipeline, settings), record_bytes_max=settings.record_bytes_max)
    start, end = (None if time_s is None else AtTime(int(time_s * 1000)) for time_s in (wanted.from_time_s, wanted.to_time_s))
    waiting: dict[int, dict[str, Features]] = {}
    with reading(settings, wanted.topic) as consumer:
        stretches = find_stretches(consumer, wanted.topic, partitions_of(consumer, wanted.topic, settings), start, end)
        own = stretches.get(job.shard.partition)
        if own is not None and wanted.topic == job.shard.topic:
            stretches[job.shard.partition] = own._replace(end=min(own.end, job.training.through_offset + 1))
        for partition, record in read_stretches(consumer, wanted.topic, stretches, settings):
            for event in _events(decoder, record):
                yield from labelled(event, waiting.setdefault(partition, {}), pipeline.pending_rows_max)


def _events(decoder: EventDecoder, record: Record) -> list[Event]:
    try:
        event = decoder.decode(record)
        return [] if event is None else [event]
    except EventError:
        return []
