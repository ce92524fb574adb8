"""The nearest events of a window: a model that forgets as its window moves on, and so follows drift without a detector.

Theory of operation. A prediction looks for the nearest of the last events (`nearest_window`) and weights each of them by
1 / (distance / that of the farthest of them + 0.1), so the nearest counts at most eleven times as much as the farthest.

There are two of each model: compiled (`native/src/nearest`) and in Python (`plain_nearest`). They predict the same to the last bit, and a
state of one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.implementation import Cored, models
from stream_retrain.models.nearest_window import FEATURES_MAX, NEIGHBORS_MAX

__all__ = ["WINDOW_MAX", "NearestClassifier", "NearestRegressor"]

WINDOW_MAX: Final = 10_000


class _Nearest(Cored):
    """What both tasks share: the parameters."""

    def __init__(self, neighbors: int, window: int, features_max: int) -> None:
        if not (1 <= neighbors <= NEIGHBORS_MAX and 1 <= window <= WINDOW_MAX and 1 <= features_max <= FEATURES_MAX):
            raise ValueError(
                f"neighbors is {neighbors}, window is {window}, features_max is {features_max}; use 1 to {NEIGHBORS_MAX} neighbors, "
                f"a window of 1 to {WINDOW_MAX} events, and 1 to {FEATURES_MAX} features"
            )
        self.neighbors = neighbors
        self.window = window
        self.features_max = features_max
        self._core = self._new_core()

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"neighbors": 3, "window": 50, "features_max": 2}


class NearestClassifier(_Nearest, base.Classifier):  # type: ignore[misc]
    """The classes of the nearest of the last events, by their distance.

    Takes numbers, and strings and booleans as categories; a feature is what its first value was, and a value of the other kind is missing.
    A missing value (None, NaN, or absent) is far from every other one. Features, categories and classes may appear at any time. It needs
    no scaler.

    Parameters
    ----------
    neighbors
        Events that a prediction is made of, at most 32.
    window
        Events that are kept, at most 10,000. Cost and state grow with them.
    features_max
        Features that distances are made of. Where there are more, those that tell most of the label are kept; features after the first
        256 are left out.

    References
    ----------
    [^1]: Dudani, S.A., 1976. The distance-weighted k-nearest-neighbor rule. IEEE Transactions on Systems, Man, and Cybernetics, 6(4),
    325-327. (Here the weights are reciprocal.)

    """

    def __init__(self, neighbors: int = 10, window: int = 500, features_max: int = 16) -> None:
        super().__init__(neighbors, window, features_max)

    def _new_core(self) -> Any:
        return models().NearestClassifier(self.neighbors, self.window, self.features_max)

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Features) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far, in the order in which they were first seen; none before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        proba: dict[base.typing.ClfTarget, float] = self._core.predict(x)
        return proba

    def learn_one(self, x: Features, y: base.typing.ClfTarget) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite.
        """
        self._core.learn(x, y)


class NearestRegressor(_Nearest, base.Regressor):  # type: ignore[misc]
    """The mean target of the nearest of the last events, by their distance.

    It takes the same features as `NearestClassifier`, and has its parameters and its reference. A target far outside what is usual counts
    as the nearest usual one.
    """

    def __init__(self, neighbors: int = 10, window: int = 1_000, features_max: int = 16) -> None:
        super().__init__(neighbors, window, features_max)

    def _new_core(self) -> Any:
        return models().NearestRegressor(self.neighbors, self.window, self.features_max)

    def predict_one(self, x: Features) -> float:
        """The prediction; 0 before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        prediction: float = self._core.predict(x)
        return prediction

    def learn_one(self, x: Features, y: float) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        self._core.learn(x, y)
