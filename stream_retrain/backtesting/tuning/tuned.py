"""Tuning from beginning to end: rank candidates on the training part, then run the best and the pipeline as it is over everything.

1. Everything that can be refused is refused before the source is read; a candidate that there cannot be is refused alone.
2. The source is read once. Its training part ends where an interval ends.
3. Candidates are run over the training part, or less of it, and ranked. Nothing after it is looked at.
4. The best and the pipeline as it is are run over all records, with the controls. Figures are of the later part only. What a lane learned
   in the training part stays learned: the later part goes on with it, as a live run would.

Interrupted while candidates run, it has those that came to their end, and no choice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from stream_retrain.backtesting.interrupt import interruptions
from stream_retrain.backtesting.ranking import Loss, compared
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary, Comparison
from stream_retrain.backtesting.run import (
    Options,
    Planned,
    Ran,
    Unwatched,
    Watching,
    adding_up,
    check_options,
    interval_of,
    place_for,
    run_over,
    spooled,
    with_controls,
)
from stream_retrain.backtesting.source import Source
from stream_retrain.backtesting.spool import Spool
from stream_retrain.backtesting.tuning.candidates import Candidate, candidate
from stream_retrain.backtesting.tuning.grid import Grid
from stream_retrain.backtesting.tuning.paths import path_of, setting_at
from stream_retrain.backtesting.tuning.result import TrialResult, Tuning
from stream_retrain.backtesting.tuning.runner import Runner
from stream_retrain.backtesting.tuning.search import Scored, order, round_records, successively_halved
from stream_retrain.backtesting.tuning.suggested import check_optuna, suggested
from stream_retrain.backtesting.tuning.written import snippet
from stream_retrain.backtesting.variants import Chosen, Variant
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import SettingsError

__all__ = ["run_tuned"]

FINAL_LANES: Final = 4
"""The chosen one, the pipeline as it is, and two controls."""


def run_tuned(own: Pipeline, name: str, grid: Grid, source: Source, options: Options, watching: Watching | None = None) -> Ran:
    """Tune a pipeline, which goes by `name`. The result is of the later part, and has the trials.

    Raises what `run_backtest` raises, and `SettingsError` where optuna is asked for and not installed, or where the source is too short.
    """
    began = time.monotonic()
    told = watching or Unwatched()
    check_options(options)
    if grid.strategy == "optuna":
        check_optuna()
    made = _candidates(grid, own)
    place_for([Variant(name=name, pipeline=own)], options)
    with spooled(source, options, told) as spool, interruptions(options.signals) as stopped:
        interval_records = interval_of(spool)
        intervals = _training_intervals(spool, grid)
        records = intervals * interval_records
        rounds = round_records(len(made), intervals, interval_records) if grid.strategy == "halving" else [records]
        on_progress = adding_up(told, _planned(made, grid, rounds) + FINAL_LANES * spool.records)
        runner = Runner(spool, options, on_progress, stopped)
        found = _found(grid, own, made, rounds, runner)
        best = found[0].candidate if found[0].score is not None and not stopped() else None
        names = (name, f"{name}_tuned")
        planned = _final(own, best, names, options)
        planned.notes.insert(0, _note(records, spool))
        ran = run_over(planned, spool, options, on_progress, stopped, began, intervals)
    tuning = Tuning(
        strategy=grid.strategy,
        seed=grid.seed,
        training_records=records,
        before={path: setting_at(own, path_of(path))[0] for path in grid.settings},
        trials=_results(found),
        chosen=None if best is None else dict(best.settings) if best.digest != own.digest() else {},
        snippet="" if best is None or best.pipeline is None else snippet(own, best.pipeline),
        as_it_is=names[0],
        tuned=names[1],
        comparison=_comparison(ran.summary, ran.curves, names),
    )
    return ran._replace(tuning=tuning)


def _candidates(grid: Grid, own: Pipeline) -> list[Candidate]:
    """The pipeline as it is, and after it those that are known beforehand."""
    settings: Sequence[dict[str, Any]] = [] if grid.strategy == "optuna" else list(grid.combinations())
    made = [candidate(number, each, own) for number, each in enumerate([{}, *settings])]
    if settings and all(each.pipeline is None for each in made[1:]):
        raise SettingsError(f"none of the {len(settings):,} combinations is a pipeline; the first: {made[1].refused}")
    return made


def _training_intervals(spool: Spool, grid: Grid) -> int:
    each = interval_of(spool)
    intervals = round(grid.training_part * spool.records / each)
    if not 0 < intervals * each < spool.records:
        raise SettingsError(
            f"{spool.source}: its {spool.records:,} records, in intervals of {each:,}, have no room for a training part of"
            f" {grid.training_part:g} and a later part; use more records, or another training_part"
        )
    return intervals


def _planned(made: Sequence[Candidate], grid: Grid, rounds: Sequence[int]) -> int:
    """How much there is to do until a choice: records times candidates."""
    left = sum(each.pipeline is not None for each in made) + (grid.trials_max if grid.strategy == "optuna" else 0)
    total = 0
    for records in rounds:
        total += left * records
        left = -(-left // 2)
    return total


def _found(grid: Grid, own: Pipeline, made: Sequence[Candidate], rounds: Sequence[int], runner: Runner) -> list[Scored]:
    """All candidates, the best first."""
    found = successively_halved(made, rounds, runner.scores)
    if grid.strategy == "optuna":
        make: Callable[[int, dict[str, Any]], Candidate] = lambda number, settings: candidate(number, settings, own)  # noqa: E731
        found = order([*found, *suggested(grid, rounds[-1], make, runner.scores, runner.stopped)])
    return found


def _final(own: Pipeline, best: Candidate | None, names: tuple[str, str], options: Options) -> Planned:
    variants = [Variant(name=names[0], pipeline=own)]
    if best is not None and best.pipeline is not None and best.digest != own.digest():
        variants.append(Variant(name=names[1], pipeline=best.pipeline))
    return with_controls(Chosen(own, variants, []), options)


def _note(records: int, spool: Spool) -> str:
    return (
        f"Settings were ranked on the first {records:,} records alone. All figures are of the {spool.records - records:,} after them,"
        " to which each variant comes with what it has learned."
    )


def _results(found: Sequence[Scored]) -> list[TrialResult]:
    return [
        TrialResult(
            number=each.candidate.number,
            settings=dict(each.candidate.settings),
            rank=None if each.score is None else rank,
            score=each.score,
            refused=each.candidate.refused,
        )
        for rank, each in enumerate(found, start=1)
    ]


def _comparison(summary: BacktestSummary, curves: BacktestCurves, names: tuple[str, str]) -> Comparison | None:
    """The tuned pipeline and the pipeline as it is, the better one first, on the intervals that both have."""
    losses = {each.name: each.loss for each in summary.variants}
    as_it_is, tuned = (losses.get(name) for name in names)
    if as_it_is is None or tuned is None:
        return None
    better, worse = reversed(names) if tuned <= as_it_is else names
    rows: dict[str, dict[int, Loss]] = {better: {}, worse: {}}
    for row in curves.intervals:
        if row.partition is None and row.variant in rows:
            rows[row.variant][row.number] = Loss((row.loss or 0.0) * row.labelled, row.labelled if row.loss is not None else 0)
    common = sorted(rows[better].keys() & rows[worse].keys())
    return compared(better, worse, [rows[better][number] for number in common], [rows[worse][number] for number in common])
