"""What came of tuning, as values: every trial, what was chosen, and how it compares with the pipeline as it is."""

from __future__ import annotations

import dataclasses
from typing import Any

from stream_retrain.backtesting.result import Comparison

__all__ = ["Score", "TrialResult", "Tuning"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a trial did over the first records."""

    records: int
    """So many: the positions before this one."""
    loss: float | None
    """Mean over the labels that came in them: the share missed, or of a regression the mean absolute error. None without labels."""
    labelled: int
    drifts: int
    replacements: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """One choice of settings."""

    number: int
    """In the order in which they were made; 0 is the pipeline as it is."""
    settings: dict[str, Any]
    """By path."""
    rank: int | None
    """1 is the best. None: it was refused, or interrupted before it could be ranked."""
    score: Score | None
    """Over as many records as it came to: successive halving gives up the worse half before the others go on."""
    refused: str | None
    """Why there is no such pipeline."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The trials, and the choice."""

    strategy: str
    seed: int
    training_records: int
    """Trials were ranked on these first records alone; the figures beside them are of the records after."""
    before: dict[str, Any]
    """What the settings are in the pipeline as it is, by path."""
    trials: list[TrialResult]
    """The best first; those without a rank last."""
    chosen: dict[str, Any] | None
    """The settings of the best, by path; empty: the pipeline as it is. None: interrupted before a choice."""
    snippet: str
    """What the chosen settings change, as arguments of `Pipeline(...)`."""
    as_it_is: str
    """The names that the two have in the figures."""
    tuned: str
    comparison: Comparison | None
    """The two on the labels of the later part. None: they are the same, or there are too few labels."""
