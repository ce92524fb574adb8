"""The cores of models that restart, in Python: the readable reference, which serves models that are not compiled."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import checked
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.probabilities import most_probable, probabilities
from stream_retrain.models.targets import Targets, learnable

__all__ = ["PlainRestartingClassifier", "PlainRestartingRegressor"]

RECENT_RATE: Final = 1 / 30
"""Rate of the running mean that is the recent error."""

RestartingState: TypeAlias = "tuple[int, dict[Any, Any], Block]"
"""Restarts, the predictions that are kept, and the numbers."""


class _PlainRestarting:
    """The model, its detector, and the errors since the last alarm."""

    __slots__ = ("_cache", "_error_sum", "_errors", "_one_sided", "_recent_error", "_targets", "changes", "detector", "model")

    def __init__(self, model: Any, detector: Any, one_sided: bool) -> None:
        self.model = model
        self.detector = detector
        self.changes = 0
        self._one_sided = one_sided
        self._cache: PredictionCache[Any] = PredictionCache()
        self._errors = self._error_sum = self._recent_error = 0.0
        self._targets = Targets()
        """Of a regressor."""

    def waiting(self) -> int:
        """How many predictions are kept."""
        return len(self._cache)

    def state(self) -> RestartingState:
        """All that is not in the model and the detector."""
        to = Writer()
        to.number(self._errors, self._error_sum, self._recent_error)
        self._targets.write(to)
        return self.changes, self._cache.kept(), to.block()

    def restore(self, state: RestartingState) -> None:
        """Go on from a state, with the model and the detector of then.

        Raises:
            ValueError: it is damaged.
        """
        self.changes, kept, block = state
        reader = Reader(block)
        self._errors, self._error_sum, self._recent_error = reader.row(3)
        self._targets.read(reader)
        reader.end()
        self._cache = PredictionCache(kept)

    def _watch(self, error: float) -> None:
        """Pass an error to the detector; restart if it fires on a rise."""
        self.detector.update(error)
        if not self._one_sided:
            self._errors += 1.0
            self._error_sum += error
            self._recent_error += max(RECENT_RATE, 1.0 / self._errors) * (error - self._recent_error)
        if not self.detector.drift_detected:
            return
        rose = self._one_sided or self._recent_error > self._error_sum / self._errors
        self._errors = self._error_sum = self._recent_error = 0.0
        if rose:
            self.model = self.model.clone()
            self.detector = self.detector.clone()
            self._cache.clear()  # predictions of the old model must not count as errors of the new one
            self.changes += 1


class PlainRestartingClassifier(_PlainRestarting):
    """Restarts a classifier."""

    def predict(self, x: Any) -> dict[Any, float]:
        """The model's probabilities."""
        x = checked(x)
        proba = probabilities(self.model, x)
        self._cache.put(x, most_probable(proba))
        return proba

    def keep(self, x: Any, label: Any) -> None:
        """Keep a prediction that was made with the model itself."""
        self._cache.put(checked(x), label)

    def score(self, x: Any, y: Any) -> Any:
        """Score an event that the model itself is going to learn; what it learns as the label."""
        x = checked(x)
        y_pred = self._cache.take(x)
        if y_pred is None:
            y_pred = most_probable(probabilities(self.model, x))
        if y_pred is not None:
            self._watch(float(y_pred != y))
        return y

    def learn(self, x: Any, y: Any) -> None:
        """Score an event, restart if the error rose, then learn."""
        x = checked(x)
        y = self.score(x, y)  # it may replace the model
        self.model.learn_one(x, y)


class PlainRestartingRegressor(_PlainRestarting):
    """Restarts a regressor, and clips its predictions."""

    def predict(self, x: Any) -> float:
        """The model's prediction, clipped."""
        x = checked(x)
        return self.keep(x, self.model.predict_one(x))

    def keep(self, x: Any, prediction: float) -> float:
        """Keep a prediction that was made with the model itself; it is clipped."""
        y_pred = self._targets.clip(prediction)
        self._cache.put(checked(x), y_pred)
        return y_pred

    def score(self, x: Any, y: float) -> float:
        """Score an event that the model itself is going to learn; what it learns as the label."""
        x, targets = checked(x), self._targets
        y = learnable(y)
        y_pred = self._cache.take(x)
        if y_pred is None:
            y_pred = targets.clip(self.model.predict_one(x))
        if targets.variance:
            self._watch(min(1.0, abs(y - y_pred) / targets.deviation))
        usual = targets.usual(y)
        targets.update(y)
        return usual

    def learn(self, x: Any, y: float) -> None:
        """Score an event, restart if the error rose, then learn."""
        x = checked(x)
        y = self.score(x, y)  # it may replace the model
        self.model.learn_one(x, y)
