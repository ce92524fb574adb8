"""`stream_retrain.backtest`: a backtest from Python, in a script or a notebook."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stream_retrain.backtesting.backtest_result import BacktestResult
from stream_retrain.backtesting.open_source import open_source
from stream_retrain.backtesting.progress import ProgressBar
from stream_retrain.backtesting.result import Incident
from stream_retrain.backtesting.run import Options, run_backtest
from stream_retrain.backtesting.variants import Chosen, choose
from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.replay import JOINS_AFTER_EVENTS
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings, load_settings

__all__ = ["backtest"]


def backtest(
    pipeline: Pipeline | Mapping[str, Pipeline],
    source: str | Path | Iterable[Mapping[str, Any]],
    *,
    variants: Sequence[str] | None = None,
    partition_by: str | None = None,
    partitions: int = 1,
    label_delay: str | None = None,
    joins_after_events: int = JOINS_AFTER_EVENTS,
    incidents: Mapping[str, int] | None = None,
    processes: int | None = None,
    spool: str | Path | None = None,
    cluster: str | None = None,
    settings: Settings | None = None,
    progress: bool = True,
) -> BacktestResult:
    """What the quality would have been: run variants of a pipeline over the same records, by the code that runs live.

    pipeline
        A pipeline; or several by name, which all run, the first being the one that built-in variants and controls are made from.
    source
        A file (CSV, JSON lines, Parquet), `kafka://TOPIC?from=...&to=...`, or rows as dicts. It is read once.
    variants
        Names of `pipeline`, and `none`, `reset`, `challenge`, `adaptive`; None: of one pipeline itself, `none` and `adaptive`.
    partition_by, partitions
        The field whose value decides the partition of a row, and how many there are; a topic has its own.
    label_delay
        How late labels come, such as "events=100", "seconds=3600" or "exponential:mean_s=3600,seed=7"; None: as the rows have them.
    joins_after_events
        Labelled events between the request for a training and the event before which its challenger joins.
    incidents
        What is known to have happened, as text, and the position of the record with which it began.
    processes
        How many to run in; None: as many as there are cores. It makes no difference to the result.
    spool
        The folder in which the records are kept meanwhile; None: the system's for temporary files.
    cluster
        The address of a dask scheduler to run on, such as "tcp://host:8786".
    settings
        Where Kafka is; None: as the command line finds it.
    progress
        Whether it is shown on standard error, where that is a terminal.

    Interrupted (Ctrl-C) while the variants run, it returns what they have come to, and `summary.partial` is true.

    Raises `SettingsError` for what is wrong with the source, the names or the options, `PipelineError` for a pipeline that could not run
    live, `BrokerError` where Kafka does not answer, `BacktestError` where a process or a machine was lost.
    """
    declared = dict(pipeline) if isinstance(pipeline, Mapping) else {pipeline.name: pipeline}
    chosen = _chosen(declared, None if isinstance(pipeline, Pipeline) else list(declared), variants)
    settings = settings or load_settings()
    opened = open_source(
        source,
        chosen.own,
        settings=settings,
        partition_by=partition_by,
        partitions=partitions,
        labels=label_delay,
    )
    decisions = Path(tempfile.mkdtemp(prefix="stream-retrain-decisions-"))
    options = Options(
        joins_after_events=joins_after_events,
        processes=processes,
        spool=None if spool is None else Path(spool),
        decisions=decisions,
        cluster=cluster,
        record_bytes_max=settings.record_bytes_max,
        incidents=[Incident(text=text, position=position) for text, position in (incidents or {}).items()],
        command=_command(opened.name, chosen, joins_after_events),
    )
    try:
        with ProgressBar() if progress else contextlib.nullcontext() as watching:
            ran = run_backtest(chosen, opened, options, watching)
    except BaseException:
        shutil.rmtree(decisions)
        raise
    return BacktestResult(ran.summary, ran.curves, decisions)


def _chosen(declared: Mapping[str, Pipeline], named: Sequence[str] | None, variants: Sequence[str] | None) -> Chosen:
    if not declared:
        raise SettingsError("there is no pipeline to run: give one, or several by name")
    first = next(iter(declared))
    wanted = variants if named is None else [*named, *(name for name in variants or () if name not in named)]
    chosen = choose(declared, first, wanted)
    for variant in chosen.variants:
        if variant.pipeline.trains:  # its models are written and opened again
            checkpointable(variant.pipeline)
    return chosen


def _command(source: str, chosen: Chosen, joins_after_events: int) -> str:
    names = [variant.name for variant in chosen.variants]
    joins = f", joins_after_events={joins_after_events}" if joins_after_events != JOINS_AFTER_EVENTS else ""
    return f"stream_retrain.backtest({names[0]}, {source!r}, variants={names[1:]}{joins})"
