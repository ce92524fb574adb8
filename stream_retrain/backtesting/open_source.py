"""The source that a person names: a range of a topic, a file, or rows of a program.

    kafka://TOPIC?from=...&to=...       a range of a topic (`engines/kafka/range_text.py` says how it is written)
    FILE.csv, FILE.jsonl, FILE.ndjson   with a row a line, plain, .gz or .zst
    FILE.parquet                        in pieces
    an iterable of dicts                of a program: read once, row by row

A topic has its partitions. A file is cut into partitions by the key that a field of it gives, as its topic would be. What the rows of a
file become is said in `row_source`, how labels are delayed in `label_delay`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import Path
from typing import Any, Final

from stream_retrain.backtesting.delayed import DelayedLabels
from stream_retrain.backtesting.label_delay import LabelDelay, parse_label_delay
from stream_retrain.backtesting.row_source import GivenRows, RowSource, fields_of
from stream_retrain.backtesting.source import Source
from stream_retrain.backtesting.table import SUFFIXES, Table
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema
from stream_retrain.engines.replay.rows import CSV_SUFFIXES, estimate_rows, kind_of, read_lines
from stream_retrain.errors import SettingsError
from stream_retrain.lane.formats.partitioner import DEFAULT, Partitioner
from stream_retrain.settings import Settings

__all__ = ["open_source"]

ROWS_TRIED_MIN: Final = 1_000
HEADER_TRIED: Final = 1_000
PARTITIONS_MAX: Final = 10_000
TOPIC: Final = "kafka://"
FORMS: Final = "kafka://TOPIC, or a file .csv, .jsonl, .ndjson (each plain, .gz or .zst) or .parquet"


def open_source(
    given: str | Path | Iterable[Mapping[str, Any]],
    pipeline: Pipeline,
    *,
    settings: Settings,
    partition_by: str | None = None,
    partitions: int = 1,
    labels: LabelDelay | str | None = None,
) -> Source:
    """Open a source for a pipeline, or for its variants, which have the same schema.

    partition_by, partitions
        The field that is the key of a row, and how many partitions keys are dealt to. Not for a topic.
    settings
        Where Kafka is, and with `kafka.partitioner` how keys are dealt.
    labels
        How late labels come, where that is to be simulated.

    Raises `SettingsError` for what is wrong with the source or the options, and `BrokerError` where the topic is not there or Kafka does
    not answer. Reading the source may raise them too.
    """
    delay = parse_label_delay(labels) if isinstance(labels, str) else labels
    source: Source
    if isinstance(given, str) and given.startswith(TOPIC):
        if partition_by is not None or partitions != 1:
            raise SettingsError(f"{given}: a topic has its partitions already; leave partition_by and partitions out")
        from stream_retrain.engines.kafka.topic_source import TopicSource

        source = TopicSource(given, settings)
    else:
        dealt = _partitioner(settings, partition_by, partitions)
        schema = pipeline.schema
        if not isinstance(schema.format, str):
            kind = type(schema.format).__name__
            raise SettingsError(f"rows are no records in {kind}: replay the topic, kafka://{pipeline.source}, or declare their own format")
        needed = fields_of(schema, partition_by, None if delay is None else delay.field)
        source = RowSource(_opened(given, pipeline, _fields_read(schema, needed)), schema, needed, partition_by, dealt)
    if delay is None:
        return source
    return DelayedLabels(source, delay, pipeline, record_bytes_max=settings.record_bytes_max)


def _partitioner(settings: Settings, partition_by: str | None, partitions: int) -> Partitioner:
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise SettingsError(f"partitions is {partitions}; use 1 to {PARTITIONS_MAX:,}")
    if partitions > 1 and partition_by is None:
        raise SettingsError(f"{partitions} partitions need partition_by: the field whose value decides the partition of a row")
    return Partitioner(partitions, settings.kafka.get("partitioner", DEFAULT) if partitions > 1 else DEFAULT)


def _fields_read(schema: Schema, needed: Mapping[str, str]) -> Set[str] | None:
    """The columns that are read of a table; None: all."""
    sparse = schema.sparse
    if not schema.names_columns or schema.unknown == "refuse" or (sparse is not None and sparse.path is None):
        return None
    return {*needed, *(str(field.path_in(name)[0]) for name, field in schema.fields.items())}


def _opened(given: str | Path | Iterable[Mapping[str, Any]], pipeline: Pipeline, fields: Set[str] | None) -> GivenRows:
    # A question waits among at most so many, so a label that is not there by then is of no use to it.
    rows_tried = max(ROWS_TRIED_MIN, pipeline.pending_rows_max)
    if not isinstance(given, str | Path):
        return GivenRows("rows of the program", _once(given), None, None, rows_tried)
    file = Path(given)
    if file.suffix in SUFFIXES:
        table = Table(file)
        fields = set(table.columns) if fields is None else fields
        untold = [f"the column {name!r} says no zone: it is taken as UTC" for name in table.without_zone(fields)]
        return GivenRows(file.name, lambda: table.rows(fields), table.count, table.columns, rows_tried, untold)
    if (kind := kind_of(file)) is None:
        raise SettingsError(f"{given}: cannot tell what it is; use {FORMS}")
    estimate = estimate_rows(file)
    columns = _header(file) if kind in CSV_SUFFIXES else None
    return GivenRows(file.name, lambda: read_lines(file), estimate, columns, rows_tried)


def _header(file: Path) -> list[str] | None:
    """The columns of a CSV, as its first row has them; None where no row is found."""
    rows = (row for _, row in itertools.islice(read_lines(file), HEADER_TRIED))
    return next((list(row) for row in rows if isinstance(row, dict)), None)


def _once(given: Iterable[Mapping[str, Any]]) -> Any:
    """Begins to read rows of a program, for the first time."""
    if not isinstance(given, Iterable):
        raise SettingsError(f"a source is a text, a path or an iterable of dicts, not a {type(given).__name__}")
    rows = iter(given)

    def read() -> Iterator[tuple[int, dict[str, Any]]]:
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                meant = "; of a data frame give to_dict('records')" if isinstance(row, str) else ""
                raise SettingsError(f"row {number} of the program is a {type(row).__name__}, not a dict{meant}")
            yield number, dict(row)

    return read
