"""Where and why the succession does something, and which declaration a training is of."""

from __future__ import annotations

from typing import NamedTuple

from stream_retrain.core.contest.challenger import Challenger
from stream_retrain.core.contest.training import Training
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Race
from stream_retrain.errors import TrainingError

__all__ = ["Cause", "challenger_of"]


class Cause(NamedTuple):
    """Where and why something is done."""

    offset: int
    time_s: float
    rule: int
    trigger: str
    events_seen: int


def challenger_of(pipeline: Pipeline, training: Training) -> Challenger:
    """The declaration a training is of. Raises `TrainingError` where the pipeline has none such."""
    race = pipeline.react[training.rule].do if training.rule < len(pipeline.react) else None
    contestants = race.contestants() if isinstance(race, Race) else ()
    if training.challenger >= len(contestants):
        raise TrainingError(f"rule {training.rule} of pipeline {pipeline.name!r} has no challenger {training.challenger}")
    return contestants[training.challenger]
