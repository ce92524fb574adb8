"""A model that restarts when its own error rises.

A drift detector reads the error of every prediction, as it was made before the label came (`prediction_cache`). When it fires, the model
is replaced by an untrained clone.

Only a rise of the error counts. The error of an untrained model falls for a while, and a detector that fires on the fall would restart
the model again and again. One-sided detectors (the defaults, and River's DDM, EDDM, HDDMA and HDDMW) fire only on a rise. An alarm of any
other detector counts if the recent error is above the mean error since the last alarm.

A restart loses everything learned. Inside a mixture a wrong restart costs little, because the other members still predict.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, Final

from river import base, drift, linear_model, preprocessing, tree
from river.drift import binary

from stream_retrain.models.adaptive import Standing
from stream_retrain.models.fast_hddma import FastHDDMA
from stream_retrain.models.feature_values import checked
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.probabilities import most_probable, probabilities
from stream_retrain.models.targets import Targets

__all__ = ["Restarting", "RestartingClassifier", "RestartingRegressor"]

ONE_SIDED: Final = (FastHDDMA, binary.DDM, binary.EDDM, binary.HDDMA, binary.HDDMW)
RECENT_RATE: Final = 1 / 30
"""Rate of the running mean that is the recent error."""


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
        `ADWIN(delta=0.05, clock=8)` for a regressor.

    """

    def __new__(cls, model: Any = None, *_: Any, **__: Any) -> Restarting:
        """Choose the class for the model; unpickling gives no model, and then the class is already the right one."""
        if cls is Restarting:
            cls = RestartingRegressor if isinstance(model, base.Regressor) else RestartingClassifier
        made: Restarting = super().__new__(cls)
        return made

    def __init__(self, model: Any, detector: Any = None) -> None:
        if detector is not None and not isinstance(detector, base.DriftDetector | base.BinaryDriftDetector):
            raise ValueError(f"{detector!r} is not a River drift detector")
        self.model = model
        self.detector = self._default_detector() if detector is None else detector
        self.changes = 0
        self._cache: PredictionCache[Any] = PredictionCache()
        self._one_sided = isinstance(self.detector, ONE_SIDED) and not getattr(self.detector, "two_sided_test", False)
        self._errors = 0
        self._error_sum = 0.0
        self._recent_error = 0.0

    @staticmethod
    def _default_detector() -> Any:
        return FastHDDMA(drift_confidence=0.005, warning_confidence=0.01)

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    @property
    def restarts(self) -> int:
        """How often the model has restarted."""
        return self.changes

    def standing(self) -> Standing:
        """One member, and its restarts."""
        name = str(self.model)
        return Standing((name,), (1.0,), (self.changes,), (0,), name, self.changes)

    def _score(self, error: float) -> None:
        """Pass an error to the detector; restart if it fires on a rise."""
        self.detector.update(error)
        if not self._one_sided:
            self._errors += 1
            self._error_sum += error
            self._recent_error += max(RECENT_RATE, 1.0 / self._errors) * (error - self._recent_error)
        if not self.detector.drift_detected:
            return
        rose = self._one_sided or self._recent_error > self._error_sum / self._errors
        self._errors, self._error_sum, self._recent_error = 0, 0.0, 0.0
        if rose:
            self.model = self.model.clone()
            self.detector = self.detector.clone()
            self._cache.clear()  # predictions of the old model must not count as errors of the new one
            self.changes += 1


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

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[base.typing.ClfTarget, float]:
        """The model's probabilities; 1 for its label if it predicts only labels.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        proba = probabilities(self.model, x, **kwargs)
        self._cache.put(x, most_probable(proba))
        return proba

    def learn_one(self, x: Any, y: base.typing.ClfTarget, **kwargs: Any) -> None:
        """Score the prediction made for `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        y_pred = self._cache.take(x)
        if y_pred is None:
            y_pred = most_probable(probabilities(self.model, x))
        if y_pred is not None:
            self._score(float(y_pred != y))
        self.model.learn_one(x, y, **kwargs)

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
        `ADWIN(delta=0.05, clock=8)`.

    References
    ----------
    [^1]: Gama, J., Medas, P., Castillo, G. and Rodrigues, P., 2004. Learning with drift detection. SBIA 2004, 286-295.

    """

    def __init__(self, model: Any, detector: Any = None) -> None:
        super().__init__(model, detector)
        if isinstance(self.detector, base.BinaryDriftDetector) and not isinstance(self.detector, FastHDDMA):
            raise ValueError(f"{type(self.detector).__name__} takes 0 and 1 only; use FastHDDMA or a detector of numbers")
        self._targets = Targets()

    @staticmethod
    def _default_detector() -> Any:
        return drift.ADWIN(delta=0.05, clock=8)

    def predict_one(self, x: Any, **kwargs: Any) -> float:
        """The model's prediction, clipped; 0 before any target.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        y_pred = self._targets.clip(self.model.predict_one(x, **kwargs))
        self._cache.put(x, y_pred)
        return y_pred

    def learn_one(self, x: Any, y: float, **kwargs: Any) -> None:
        """Score the prediction made for `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        x = checked(x)
        targets = self._targets
        targets.check(y)
        y_pred = self._cache.take(x)
        if y_pred is None:
            y_pred = targets.clip(self.model.predict_one(x))
        if targets.variance:
            self._score(min(1.0, abs(y - y_pred) / targets.deviation))
        usual = targets.usual(y)
        targets.update(y)
        self.model.learn_one(x, usual, **kwargs)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": tree.HoeffdingTreeRegressor()}
        yield {"model": preprocessing.StandardScaler() | linear_model.LinearRegression(), "detector": drift.ADWIN()}
