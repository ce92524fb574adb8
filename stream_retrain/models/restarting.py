"""A model that restarts when its own error rises.

A drift detector reads the error of every prediction, as it was made before the label came (`prediction_cache`). When it fires, the model
is replaced by an untrained clone.

Only a rise of the error counts. The error of an untrained model falls for a while, and a detector that fires on the fall would restart
the model again and again. One-sided detectors (the defaults, and River's DDM, EDDM, HDDMA and HDDMW) fire only on a rise. An alarm of any
other detector counts if the recent error is above the mean error since the last alarm.

A model of the project is restarted by compiled code where it is itself compiled, and any other row by row (`plain_restarting`).

A restart loses everything learned. Inside a mixture a wrong restart costs little, because the other members still predict.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from river import base, drift, linear_model, preprocessing, tree
from river.drift import binary

from stream_retrain.models.adaptive import Standing
from stream_retrain.models.fast_adwin import FastADWIN
from stream_retrain.models.fast_hddma import FastHDDMA
from stream_retrain.models.feature_values import checked
from stream_retrain.models.implementation import cores_for, resumed, saved
from stream_retrain.models.probabilities import most_probable, probabilities

__all__ = ["Restarting", "RestartingClassifier", "RestartingRegressor"]

ONE_SIDED: Final = (FastHDDMA, binary.DDM, binary.EDDM, binary.HDDMA, binary.HDDMW)


class Restarting(base.Wrapper, base.Estimator, abc.ABC):  # type: ignore[misc]
    """Any classifier or regressor; it restarts when a detector says that its error rose.

    `Restarting(model)` makes a `RestartingClassifier` or a `RestartingRegressor`, according to the model.

    Parameters
    ----------
    model
        The model; a restart replaces it by an untrained clone.
    detector
        A River drift detector. Its input is the error of each prediction: 0 or 1 for a classifier; for a regressor the absolute error
        in standard deviations of the target, at most 1. None: `FastHDDMA(drift_confidence=0.005)` for a classifier,
        `FastADWIN(delta=0.05, clock=8)` for a regressor.

    """

    _CORE: ClassVar[str]
    """The class of its core."""

    def __new__(cls, model: Any = None, *_: Any, **__: Any) -> Restarting:
        """Choose the class for the model; unpickling gives no model, and then the class is already the right one."""
        if cls is Restarting:
            cls = RestartingRegressor if isinstance(model, base.Regressor) else RestartingClassifier
        made: Restarting = super().__new__(cls)
        return made

    def __init__(self, model: Any, detector: Any = None) -> None:
        if detector is not None and not isinstance(detector, base.DriftDetector | base.BinaryDriftDetector):
            raise ValueError(f"{detector!r} is not a River drift detector")
        self._core = self._new_core(model, self._default_detector() if detector is None else detector)

    def _new_core(self, model: Any, detector: Any) -> Any:
        one_sided = isinstance(detector, ONE_SIDED) and not getattr(detector, "two_sided_test", False)
        return getattr(cores_for([model]), self._CORE)(model, detector, one_sided)

    def __getstate__(self) -> dict[str, Any]:
        return {**saved(self), "model": self.model, "detector": self.detector}

    def __setstate__(self, state: dict[str, Any]) -> None:
        known = dict(state)
        model, detector = known.pop("model", None), known.pop("detector", None)
        resumed(self, known, lambda: self._new_core(model, detector))

    @staticmethod
    def _default_detector() -> Any:
        return FastHDDMA(drift_confidence=0.005, warning_confidence=0.01)

    @property
    def model(self) -> Any:
        """The model that learns now."""
        return self._core.model

    @property
    def detector(self) -> Any:
        """The detector that watches it."""
        return self._core.detector

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    @property
    def changes(self) -> int:
        """How often the model has restarted."""
        changes: int = self._core.changes
        return changes

    @property
    def restarts(self) -> int:
        """How often the model has restarted."""
        return self.changes

    def standing(self) -> Standing:
        """One member, and its restarts."""
        name = str(self.model)
        return Standing((name,), (1.0,), (self.changes,), (0,), name, self.changes)


class RestartingClassifier(Restarting, base.Classifier):  # type: ignore[misc]
    """A classifier that restarts when a detector says that its own error rose.

    Parameters
    ----------
    model
        The classifier; a restart replaces it by an untrained clone.
    detector
        A River drift detector. Its input is 1 for each wrong label and 0 for each right one. None:
        `FastHDDMA(drift_confidence=0.005)`.

    References
    ----------
    [^1]: Gama, J., Medas, P., Castillo, G. and Rodrigues, P., 2004. Learning with drift detection. SBIA 2004, 286-295.

    """

    _CORE: ClassVar[str] = "RestartingClassifier"

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[base.typing.ClfTarget, float]:
        """The model's probabilities; 1 for its label if it predicts only labels.

        Raises:
            ValueError: a value is infinite.
        """
        proba: dict[base.typing.ClfTarget, float]
        if kwargs:
            x = checked(x)
            proba = probabilities(self.model, x, **kwargs)
            self._core.keep(x, most_probable(proba))
        else:
            proba = self._core.predict(x)
        return proba

    def learn_one(self, x: Any, y: base.typing.ClfTarget, **kwargs: Any) -> None:
        """Score the prediction made for `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite.
        """
        if kwargs:
            x = checked(x)
            y = self._core.score(x, y)
            self.model.learn_one(x, y, **kwargs)
        else:
            self._core.learn(x, y)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": tree.HoeffdingTreeClassifier()}
        yield {"model": preprocessing.StandardScaler() | linear_model.LogisticRegression(), "detector": drift.ADWIN()}


class RestartingRegressor(Restarting, base.Regressor):  # type: ignore[misc]
    """A regressor that restarts when a detector says that its own error rose.

    Its predictions are clipped to the range of the targets seen, extended by 10 % on both sides: an untrained tree can predict any value.

    Parameters
    ----------
    model
        The regressor; a restart replaces it by an untrained clone.
    detector
        A River drift detector. Its input is the absolute error in standard deviations of the target, at most 1. None:
        `FastADWIN(delta=0.05, clock=8)`.

    References
    ----------
    [^1]: Gama, J., Medas, P., Castillo, G. and Rodrigues, P., 2004. Learning with drift detection. SBIA 2004, 286-295.

    """

    _CORE: ClassVar[str] = "RestartingRegressor"

    def __init__(self, model: Any, detector: Any = None) -> None:
        if isinstance(detector, base.BinaryDriftDetector) and not isinstance(detector, FastHDDMA):
            raise ValueError(f"{type(detector).__name__} takes 0 and 1 only; use FastHDDMA or a detector of numbers")
        super().__init__(model, detector)

    @staticmethod
    def _default_detector() -> Any:
        return FastADWIN(delta=0.05, clock=8)

    def predict_one(self, x: Any, **kwargs: Any) -> float:
        """The model's prediction, clipped; 0 before any target.

        Raises:
            ValueError: a value is infinite.
        """
        y_pred: float
        if kwargs:
            x = checked(x)
            y_pred = self._core.keep(x, self.model.predict_one(x, **kwargs))
        else:
            y_pred = self._core.predict(x)
        return y_pred

    def learn_one(self, x: Any, y: float, **kwargs: Any) -> None:
        """Score the prediction made for `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        if kwargs:
            x = checked(x)
            y = self._core.score(x, y)
            self.model.learn_one(x, y, **kwargs)
        else:
            self._core.learn(x, y)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": tree.HoeffdingTreeRegressor()}
        yield {"model": preprocessing.StandardScaler() | linear_model.LinearRegression(), "detector": drift.ADWIN()}
