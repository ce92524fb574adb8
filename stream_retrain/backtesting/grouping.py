"""Which variants share a job: as few groups as keep all processes at work, each with about the same to do.

What a variant costs is measured on its first records, because one model may cost a hundred times what another does. Grouping makes a
backtest quicker or slower, and changes nothing of what comes of it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Final

from stream_retrain.backtesting.spool import SpooledPartition
from stream_retrain.backtesting.variants import Variant
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.replay import Replay
from stream_retrain.lane.batch import Records
from stream_retrain.lane.encoder import encode_nothing
from stream_retrain.lane.formats.decoder import EventDecoder

__all__ = ["grouped", "groups_for"]

PROBE_RECORDS: Final = 600
PROBE_STEP_RECORDS: Final = 20
PROBE_S_MAX: Final = 0.3


def groups_for(variants: int, partitions: int, processes: int) -> int:
    """Into how many groups the variants are dealt: more than one only where there are fewer partitions than processes."""
    return min(variants, max(1, -(-processes // max(1, partitions))))


def grouped(variants: Sequence[Variant], groups: int, partition: SpooledPartition) -> list[tuple[int, ...]]:
    """The variants by place, in that many groups: the dearest first, each to the group that has least to do; `partition` to measure on."""
    if groups <= 1:
        return [tuple(range(len(variants)))]
    records = next(chunk.records for chunk in partition.chunks())
    costs = [_cost_s(variant.pipeline, records) for variant in variants]
    dealt: list[list[int]] = [[] for _ in range(groups)]
    loads = [0.0] * groups
    for index in sorted(range(len(variants)), key=lambda index: -costs[index]):
        least = loads.index(min(loads))
        dealt[least].append(index)
        loads[least] += costs[index]
    return [tuple(sorted(group)) for group in dealt if group]


def _cost_s(pipeline: Pipeline, records: Records) -> float:
    """CPU time a record, over the first ones."""
    if pipeline.start is not None:  # what it costs is about the same untrained
        pipeline = dataclasses.replace(pipeline, start=None)
    decoder, run = EventDecoder.of(pipeline, record_bytes_max=1_000_000), Replay(pipeline, encoder=encode_nothing)
    began, done = time.process_time(), 0
    while done < min(PROBE_RECORDS, len(records)) and time.process_time() - began < PROBE_S_MAX:
        end = min(done + PROBE_STEP_RECORDS, len(records))
        for _ in run.take(decoder.decode_batch(records.rows(done, end))):
            pass
        done = end
    return (time.process_time() - began) / max(1, done)
