"""A small pipeline, rows for it, and the ways by which a source is opened and read here."""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stream_retrain import Pipeline, Schema
from stream_retrain.backtesting.open_source import open_source
from stream_retrain.backtesting.source import Source
from stream_retrain.backtesting.spool import write_spool
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Record
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.settings import Settings
from tests.core import streams

SCHEMA = Schema(id="id", time="at", label="y", features={"a": float, "b": float | None})
PIPELINE = streams.pipeline(schema=SCHEMA)
BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
SETTINGS = Settings()


def rows(count: int, *, step_s: float = 60.0, seed: int = 1) -> list[dict[str, Any]]:
    """One row a minute, for three shops."""
    rng = random.Random(seed)
    return [
        {
            "id": f"e{number}",
            "at": (BEGIN + dt.timedelta(seconds=step_s * number)).isoformat(),
            "shop": rng.choice(["north", "south", "west"]),
            "a": rng.gauss(0, 1),
            "b": rng.choice([None, 1.5]),
            "y": rng.random() < 0.4,
        }
        for number in range(count)
    ]


def jsonl(of: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in of)


def opened(given: Any, pipeline: Pipeline = PIPELINE, *, settings: Settings = SETTINGS, **options: Any) -> Source:
    return open_source(given, pipeline, settings=settings, **options)


def read(given: Any, pipeline: Pipeline = PIPELINE, **options: Any) -> list[tuple[int, Record]]:
    return list(opened(given, pipeline, **options).records())


def values(records: Iterable[tuple[int, Record]]) -> list[dict[str, Any]]:
    """What the records hold, as objects."""
    return [json.loads(record.value or b"") for _, record in records]


def events(records: Iterable[tuple[int, Record]], pipeline: Pipeline = PIPELINE) -> tuple[list[Event], int]:
    """The events of records in their order, and how many records are none."""
    decoder = EventDecoder.of(pipeline, record_bytes_max=1_000_000)
    found: list[Event] = []
    rejected = 0
    for _, record in records:
        batch = decoder.decode_batch(record_batch([record]))
        found += batch.events
        rejected += len(batch.rejected)
    return found, rejected


def record_batch(records: list[Record]) -> Any:
    from stream_retrain.lane.batch import Records

    return Records.of(records)


def spooled(source: Source, folder: Path) -> list[tuple[int, Record]]:
    """The records of a source as the spool gives them back, in their order among all partitions."""
    found: dict[int, tuple[int, Record]] = {}
    for partition in write_spool(source, folder).partitions:
        for positions, records in partition.chunks():
            columns = zip(records.offsets, records.keys, records.values, records.timestamps_ms, records.headers, strict=True)
            for position, record in zip(positions, map(Record._make, columns), strict=True):
                found[position] = partition.partition, record
    return [found[position] for position in sorted(found)]
