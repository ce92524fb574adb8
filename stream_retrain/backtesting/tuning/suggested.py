"""Candidates that optuna suggests, by what the ones before came to.

They are asked for in batches of `BATCH`, whatever the number of processes, so that the same seed always suggests the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stream_retrain.backtesting.tuning.candidates import Candidate
from stream_retrain.backtesting.tuning.grid import Grid, Range
from stream_retrain.backtesting.tuning.search import Scored, Scores
from stream_retrain.errors import SettingsError

__all__ = ["check_optuna", "suggested"]

BATCH: Final = 8
INSTALL: Final = "pip install 'stream_retrain[tune]'"


def check_optuna() -> Any:
    """The package. Raises `SettingsError` where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise SettingsError(f'strategy = "optuna" needs a package that is not installed: {INSTALL}') from None
    return optuna


def suggested(
    grid: Grid, records: int, make: Callable[[int, dict[str, Any]], Candidate], scores: Scores, stopped: Callable[[], bool]
) -> list[Scored]:
    """`trials_max` candidates, numbered from 1, each with its score over the first so many records."""
    optuna = check_optuna()
    said = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=grid.seed))
        found: list[Scored] = []
        while len(found) < grid.trials_max and not stopped():
            asked = [study.ask() for _ in range(min(BATCH, grid.trials_max - len(found)))]
            made = [make(len(found) + number, _settings(grid, trial)) for number, trial in enumerate(asked, start=1)]
            for trial, candidate, score in zip(asked, made, scores(made, records), strict=True):
                if score is None or score.loss is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, score.loss)
                found.append(Scored(candidate, score))
        return found
    finally:
        optuna.logging.set_verbosity(said)


def _settings(grid: Grid, trial: Any) -> dict[str, Any]:
    settings = {}
    for path, values in grid.settings.items():
        if isinstance(values, Range):
            suggest = trial.suggest_int if isinstance(values.low, int) and isinstance(values.high, int) else trial.suggest_float
            settings[path] = suggest(path, values.low, values.high, log=values.log)
        else:  # by its place: optuna keeps plain values alone
            settings[path] = values[trial.suggest_categorical(path, list(range(len(values))))]
    return settings
