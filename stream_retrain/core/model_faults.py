"""What is wrong with a model as it stands: its kind, or randomness without a seed, whose state would not be a function of the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from river import base

from stream_retrain.core.inside import named, unseeded
from stream_retrain.core.schema import Task

__all__ = ["model_faults", "seed_faults"]


def model_faults(where: str, model: Any, task: Task) -> Iterator[str]:
    """What is wrong with a model as it stands: its kind, or randomness without a seed."""
    wanted = base.Regressor if task == "regression" else base.Classifier
    if not isinstance(model, wanted):
        yield f"{where}: a {task} task needs a River {wanted.__name__.lower()}, not {type(model).__name__}"
    elif task == "multiclass" and not model._multiclass:
        yield f"{where}: {named(model)} knows two classes only; wrap it in river.multiclass.OneVsRestClassifier"
    else:
        yield from seed_faults(where, model)


def seed_faults(where: str, declared: Any) -> Iterator[str]:
    """Randomness without a seed, in a declared thing or anywhere inside it."""
    for name in dict.fromkeys(unseeded(declared)):
        yield f"{where}: {name} has no seed, so it could not be restored or replayed to the same; give seed=1"
