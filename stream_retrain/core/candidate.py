"""A model that was made elsewhere, tried as the pipeline's own models are at load: it must be able to serve there."""

from __future__ import annotations

import dataclasses
from typing import Any

from stream_retrain.core.contest.training import copy_of
from stream_retrain.core.model_faults import model_faults
from stream_retrain.core.pipeline import Pipeline, declared_of
from stream_retrain.core.trial import Candidate, Trial

__all__ = ["tried"]


def tried(model: Any, pipeline: Pipeline, where: str) -> Trial:
    """The trial of a model with all it has learned; nothing of it learns, a copy does. `faults` says what is wrong."""
    of_kind = list(model_faults(where, model, pipeline.task))
    candidates = [] if of_kind else [Candidate(where, model, lambda: copy_of(model))]
    trial = Trial(dataclasses.replace(declared_of(pipeline), models=candidates, metrics=(), watches=()))
    trial.faults[:0] = of_kind
    return trial
