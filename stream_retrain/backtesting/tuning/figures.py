"""What came of tuning as rows of text, for a terminal and a notebook: the trials, the choice, and what it came to later."""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_retrain.backtesting.report.formats import lead_text, loss_text
from stream_retrain.backtesting.tuning.result import TrialResult, Tuning

__all__ = ["TuningFigures", "tuning_figures"]

ROWS_MAX: Final = 20
REFUSED_MAX: Final = 5


class TuningFigures(NamedTuple):
    """A table of trials, what stands below it, and what can be pasted."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    sentences: list[str]
    snippet: str


def tuning_figures(tuning: Tuning, task: str) -> TuningFigures:
    """The figures of tuning a pipeline of a task."""
    header = ("rank", *tuning.before, "error" if task == "regression" else "missed", "of records", "repl.")
    ranked = [each for each in tuning.trials if each.rank is not None]
    rows = [_row(each, tuning, task) for each in ranked[:ROWS_MAX]]
    return TuningFigures(header, rows, [*_more(tuning, ranked), *_chosen(tuning), *_compared(tuning, task)], tuning.snippet)


def _row(trial: TrialResult, tuning: Tuning, task: str) -> tuple[str, ...]:
    assert trial.score is not None, "it has a rank"
    values = tuning.before | trial.settings
    settings = [_value(values[path]) for path in tuning.before]
    name = f"{trial.rank} (as it is)" if trial.number == 0 else str(trial.rank)
    return (name, *settings, loss_text(trial.score.loss, task), f"{trial.score.records:,}", f"{trial.score.replacements:,}")


def _more(tuning: Tuning, ranked: list[TrialResult]) -> list[str]:
    said = []
    if len(ranked) > ROWS_MAX:
        said.append(f"{len(ranked) - ROWS_MAX:,} more trials are behind these.")
    refused = [each for each in tuning.trials if each.refused is not None]
    said += [f"Refused: {_settings(each.settings)}: {each.refused}" for each in refused[:REFUSED_MAX]]
    if len(refused) > REFUSED_MAX:
        said.append(f"{len(refused) - REFUSED_MAX:,} more were refused.")
    unfinished = sum(each.score is None and each.refused is None for each in tuning.trials)
    if unfinished:
        said.append(f"Trials that were interrupted, or never begun: {unfinished:,}.")
    return said


def _chosen(tuning: Tuning) -> list[str]:
    if tuning.chosen is None:
        return ["It was interrupted before a choice."]
    if not tuning.chosen:
        return [f"Nothing was better on the first {tuning.training_records:,} records than {tuning.as_it_is} as it is."]
    changes = ", ".join(f"{path} = {_value(value)} (was {_value(tuning.before[path])})" for path, value in tuning.chosen.items())
    return [f"Chosen on the first {tuning.training_records:,} records: {changes}."]


def _compared(tuning: Tuning, task: str) -> list[str]:
    pair = tuning.comparison
    if pair is None:
        return []
    difference, low, high = (lead_text(value, task, "") for value in (pair.difference, pair.low, pair.high))
    verb, unit = ("had an error that is lower by", "") if task == "regression" else ("missed", " points less")
    told_apart = "" if pair.is_shown else "; it includes 0, so the two cannot be told apart"
    return [
        f"On the records after them {pair.better} {verb} {difference}{unit} than {pair.worse} (95 % interval {low} to {high}{told_apart})."
    ]


def _settings(settings: dict[str, object]) -> str:
    return ", ".join(f"{path} = {_value(value)}" for path, value in settings.items())


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) if value is None or isinstance(value, str | int | list | tuple) else type(value).__name__
