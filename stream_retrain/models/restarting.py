"""A model that starts afresh when its own error rises.

The detector sees the error of every answer as it was given at the question (`kept`). Only a rise counts: a fresh model's error
falls for a while, and a detector that fires on that would restart it again and again. One-sided detectors (the default, and
River's DDM, EDDM, HDDMA and HDDMW) are taken at their word; an alarm of any other counts if the error lately is above the
error since the last alarm.

Alone, a restart forgets everything at once; in a mixture with members that do not, its mistakes are cheap.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, Final

from river import base, drift, linear_model, preprocessing, tree
from river.drift import binary

from stream_retrain.models.adaptive import Standing
from stream_retrain.models.answers import most_probable, probabilities
from stream_retrain.models.detector import FastHDDMA
from stream_retrain.models.kept import Kept
from stream_retrain.models.targets import Targets
from stream_retrain.models.values import checked

__all__ = ["Restarting", "RestartingClassifier", "RestartingRegressor"]

ONE_SIDED: Final = (FastHDDMA, binary.DDM, binary.EDDM, binary.HDDMA, binary.HDDMW)
LATELY: Final = 1 / 30
"""Rate of the mean that stands for the error lately."""


class Restarting(base.Wrapper, base.Estimator, abc.ABC):  # type: ignore[misc]
    """Any classifier or regressor, started afresh when a detector says its error rose.

    `Restarting(model)` is a `RestartingClassifier` or a `RestartingRegressor`, as the model is.

    Parameters
    ----------
    model
        The model; a restart takes a clone of it.
    detector
        A River drift detector, fed the error of each answer: 0 or 1 for a classifier, for a regressor the absolute error in
        standard deviations of the target, at most 1. None: `FastHDDMA(drift_confidence=0.005)` for a classifier,
        `ADWIN(delta=0.05, clock=8)` for a regressor.

    """

    def __new__(cls, model: Any = None, *_: Any, **__: Any) -> Restarting:
        """The form that suits the model; none is given when a pickle is loaded, and the class then is the form."""
        if cls is Restarting:
            cls = RestartingRegressor if isinstance(model, base.Regressor) else RestartingClassifier
        form: Restarting = super().__new__(cls)
        return form

    def __init__(self, model: Any, detector: Any = None) -> None:
        if detector is not None and not isinstance(detector, base.DriftDetector | base.BinaryDriftDetector):
            raise ValueError(f"{detector!r} is not a River drift detector")
        self.model = model
        self.detector = self._usual_detector() if detector is None else detector
        self.changes = 0
        self._kept: Kept[Any] = Kept()
        self._one_sided = isinstance(self.detector, ONE_SIDED) and not getattr(self.detector, "two_sided_test", False)
        self._errors = 0
        self._error_sum = 0.0
        self._lately = 0.0

    @staticmethod
    def _usual_detector() -> Any:
        return FastHDDMA(drift_confidence=0.005, warning_confidence=0.01)

    @property
    def _wrapped_model(self) -> Any:
        return self.model

    @property
    def restarts(self) -> int:
        """How often the model has started afresh."""
        return self.changes

    def standing(self) -> Standing:
        """One member, and its restarts."""
        name = str(self.model)
        return Standing((name,), (1.0,), (self.changes,), (0,), name, self.changes)

    def _score(self, error: float) -> None:
        """Show the detector an error; start afresh if it says that errors rose."""
        self.detector.update(error)
        if not self._one_sided:
            self._errors += 1
            self._error_sum += error
            self._lately += max(LATELY, 1.0 / self._errors) * (error - self._lately)
        if not self.detector.drift_detected:
            return
        rose = self._one_sided or self._lately > self._error_sum / self._errors
        self._errors, self._error_sum, self._lately = 0, 0.0, 0.0
        if rose:
            self.model = self.model.clone()
            self.detector = self.detector.clone()
            self._kept.clear()  # the new model is not to be judged by answers of the old one
            self.changes += 1


class RestartingClassifier(Restarting, base.Classifier):  # type: ignore[misc]
    """A classifier that starts afresh when a one-sided detector on its own error fires.

    Parameters
    ----------
    model
        The classifier; a restart takes a clone of it.
    detector
        A River drift detector, fed 1 for each missed label and 0 for each found. None: `FastHDDMA(drift_confidence=0.005)`.

    References
    ----------
    [^1]: Gama, J., Medas, P., Castillo, G. and Rodrigues, P., 2004. Learning with drift detection. SBIA 2004, 286-295.

    """

    def predict_proba_one(self, x: Any, **kwargs: Any) -> dict[base.typing.ClfTarget, float]:
        """The model's probabilities; for a model that has none, 1 for its label.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        proba = probabilities(self.model, x, **kwargs)
        self._kept.put(x, most_probable(proba))
        return proba

    def learn_one(self, x: Any, y: base.typing.ClfTarget, **kwargs: Any) -> None:
        """Score the answer given to `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        y_pred = self._kept.take(x)
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
    """A regressor that starts afresh when a one-sided detector on its own error fires.

    Its answers are clipped to the range of the targets seen and a tenth of it beyond: a young tree can answer anything.

    Parameters
    ----------
    model
        The regressor; a restart takes a clone of it.
    detector
        A River drift detector, fed the absolute error in standard deviations of the target, at most 1. None:
        `ADWIN(delta=0.05, clock=8)`, whose alarms count when the error rose.

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
    def _usual_detector() -> Any:
        return drift.ADWIN(delta=0.05, clock=8)

    def predict_one(self, x: Any, **kwargs: Any) -> float:
        """The model's answer, within the range of the targets seen; 0 before any.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        answer = self._targets.clip(self.model.predict_one(x, **kwargs))
        self._kept.put(x, answer)
        return answer

    def learn_one(self, x: Any, y: float, **kwargs: Any) -> None:
        """Score the answer given to `x`, restart if the error rose, then learn.

        Raises:
            ValueError: a value is infinite, or the target is no finite number.
        """
        x = checked(x)
        targets = self._targets
        targets.check(y)
        y_pred = self._kept.take(x)
        if y_pred is None:
            y_pred = targets.clip(self.model.predict_one(x))
        if targets.variance:
            self._score(min(1.0, abs(y - y_pred) / targets.deviation))
        targets.update(y)
        self.model.learn_one(x, y, **kwargs)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"model": tree.HoeffdingTreeRegressor()}
        yield {"model": preprocessing.StandardScaler() | linear_model.LinearRegression(), "detector": drift.ADWIN()}
