"""`stream_retrain.backtest`: a backtest from Python, in a script or a notebook."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

from stream_retrain.backtesting.backtest_result import BacktestResult
from stream_retrain.backtesting.open_source import open_source
from stream_retrain.backtesting.progress import ProgressBar
from stream_retrain.backtesting.result import Incident
from stream_retrain.backtesting.run import Options, Ran, run_backtest
from stream_retrain.backtesting.source import Source
from stream_retrain.backtesting.tuning.grid import load_grid
from stream_retrain.backtesting.tuning.tuned import run_tuned
from stream_retrain.backtesting.variants import Chosen, choose
from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.replay import JOINS_AFTER_EVENTS
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores.start import starts_of

__all__ = ["Where", "backtest"]


class Where(TypedDict, total=False):
    """Where a backtest runs and what it shows meanwhile; none of it makes a difference to the result."""

    processes: int | None
    """How many to run in; None: as many as there are cores."""
    spool: str | Path | None
    """The folder in which the records are kept meanwhile; None: the system's for temporary files."""
    cluster: str | None
    """The address of a dask scheduler to run on, such as "tcp://host:8786"."""
    settings: Settings | None
    """Where Kafka is; None: as the command line finds it."""
    progress: bool
    """Whether it is shown on standard error, where that is a terminal: yes, unless told otherwise."""


def backtest(
    pipeline: Pipeline | Mapping[str, Pipeline],
    source: str | Path | Iterable[Mapping[str, Any]],
    *,
    variants: Sequence[str] | None = None,
    partition_by: str | None = None,
    partitions: int = 1,
    label_delay: str | None = None,
    grid: str | Path | Mapping[str, Any] | None = None,
    joins_after_events: int = JOINS_AFTER_EVENTS,
    incidents: Mapping[str, int] | None = None,
    **where: Unpack[Where],
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
    grid
        Settings of one pipeline to try, as a TOML file or a mapping (`docs/tuning.md`): figures are of the part they were not ranked on.
    joins_after_events
        Labelled events between the request for a training and the event before which its challenger joins.
    incidents
        What is known to have happened, as text, and the position of the record with which it began.
    where
        processes, spool, cluster, settings, progress: see `Where`.

    Interrupted (Ctrl-C) while the variants run, it returns what they have come to, and `summary.partial` is true. Raises `SettingsError`,
    `PipelineError` for a pipeline that could not run live, `BrokerError`, `BacktestError` where a process or a machine was lost.
    """
    if grid is not None and (variants is not None or not isinstance(pipeline, Pipeline)):
        raise SettingsError("a grid makes variants of its own: give one pipeline, and no variants")
    chosen = _chosen(pipeline, variants if grid is None else [])
    tried = None if grid is None else load_grid(grid, chosen.own)
    settings = where.get("settings") or load_settings()
    opened = open_source(source, chosen.own, settings=settings, partition_by=partition_by, partitions=partitions, labels=label_delay)
    told = [Incident(text=text, position=position) for text, position in (incidents or {}).items()]
    command = _command(opened.name, chosen, joins_after_events)
    run: Callable[..., Ran] = functools.partial(run_backtest, chosen)
    if tried is not None:
        run = functools.partial(run_tuned, chosen.own, chosen.variants[0].name, tried)
    options = Options(joins_after_events=joins_after_events, incidents=told, command=command, **_needed(chosen, settings))
    return _run(run, opened, options, settings, where)


def _needed(chosen: Chosen, settings: Settings) -> dict[str, Any]:
    """The Schema Registry that its records need, if they need one, and the models that its variants begin with."""
    from stream_retrain.engines.kafka.registry import registry_for  # here, because the Kafka client takes a while to import

    starts = starts_of([each.pipeline for each in chosen.variants], settings)
    return {"schemas": registry_for(chosen.own, settings), "starts": starts}


def _run(run: Callable[..., Ran], source: Source, options: Options, settings: Settings, where: Where) -> BacktestResult:
    """Run it, with its decision logs in a folder that goes with the result."""
    spool = where.get("spool")
    decisions = Path(tempfile.mkdtemp(prefix="stream-retrain-decisions-"))
    options = dataclasses.replace(
        options,
        processes=where.get("processes"),
        spool=None if spool is None else Path(spool),
        cluster=where.get("cluster"),
        decisions=decisions,
        record_bytes_max=settings.record_bytes_max,
        schemas=options.schemas,
    )
    try:
        with ProgressBar() if where.get("progress", True) else contextlib.nullcontext() as watching:
            ran = run(source, options, watching)
    except BaseException:
        shutil.rmtree(decisions)
        raise
    return BacktestResult(ran.summary, ran.curves, decisions, ran.tuning)


def _chosen(pipeline: Pipeline | Mapping[str, Pipeline], variants: Sequence[str] | None) -> Chosen:
    declared = {pipeline.name: pipeline} if isinstance(pipeline, Pipeline) else dict(pipeline)
    if not declared:
        raise SettingsError("there is no pipeline to run: give one, or several by name")
    wanted = variants
    if not isinstance(pipeline, Pipeline):
        wanted = [*declared, *(name for name in variants or () if name not in declared)]
    chosen = choose(declared, next(iter(declared)), wanted)
    for variant in chosen.variants:
        if variant.pipeline.trains:  # its models are written and opened again
            checkpointable(variant.pipeline)
    return chosen


def _command(source: str, chosen: Chosen, joins_after_events: int) -> str:
    names = [variant.name for variant in chosen.variants]
    joins = f", joins_after_events={joins_after_events}" if joins_after_events != JOINS_AFTER_EVENTS else ""
    return f"stream_retrain.backtest({names[0]}, {source!r}, variants={names[1:]}{joins})"
