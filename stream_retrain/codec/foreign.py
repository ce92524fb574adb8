"""A model that was made by another program: a pickle, or what joblib wrote. Opening it runs whatever code it names.

So nothing here opens a file unless somebody says that they trust it. River's models are taken as they are; an estimator of scikit-learn
that learns step by step (`partial_fit`) is wrapped by River's `compat`.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.trial import trial_labels
from stream_retrain.errors import SettingsError, StateError

__all__ = ["open_foreign", "wrapped"]


def open_foreign(data: bytes, where: str, *, trusted: bool) -> Any:
    """What is in a pickle. Raises `SettingsError` unless it is trusted, `StateError` where it is none that can be opened here."""
    if not trusted:
        raise SettingsError(
            f"{where} is none of this project's files. If it is a pickle, opening it runs whatever code it names: if you made it yourself,"
            " or know who did, give --trust-pickle"
        )
    try:
        return pickle.loads(data)
    except Exception as error:  # noqa: BLE001 - whatever the code in it raises
        first = error
    try:
        import joblib
    except ImportError:
        raise StateError(f"{where} cannot be opened as a pickle: {first}. If joblib wrote it, pip install joblib") from None
    try:
        return joblib.load(io.BytesIO(data))
    except Exception as error:  # noqa: BLE001 - the same
        raise StateError(f"{where} can be opened neither as a pickle ({first}) nor by joblib ({error})") from None


def wrapped(model: Any, pipeline: Pipeline, where: str) -> Any:
    """The model as River's. Raises `StateError` where it is none that can learn step by step."""
    if hasattr(model, "learn_one") and hasattr(model, "predict_one"):
        return model
    if not (hasattr(model, "predict") and hasattr(model, "get_params")):
        raise StateError(f"{where} holds a {type(model).__name__}, and no model: give one of River or of scikit-learn")
    if not hasattr(model, "partial_fit"):
        raise StateError(
            f"{where} holds a {type(model).__name__} of scikit-learn, which cannot learn one event after the other: give one with"
            " partial_fit, such as SGDClassifier"
        )
    from river import compat

    if pipeline.task == "regression":
        return compat.convert_sklearn_to_river(model)
    classes = [
        each.item() if hasattr(each, "item") else each for each in getattr(model, "classes_", trial_labels(pipeline.schema, pipeline.task))
    ]
    return compat.convert_sklearn_to_river(model, classes=classes)
