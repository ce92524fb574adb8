"""Additive models: a free function of each feature, learned and unlearned while the stream goes on.

Theory of operation. The features are written in soft bins (`bins`) and a logistic, softmax or least-squares regression runs on
the slots, each weight with its own step (`weights`). A slot's step depends on the gradients it met lately, so the model follows
a drift without being told, needs no reset, and cannot explode: scores are sums of bounded steps, and a regressor's answer is
clipped to the targets seen.

The question's code and answer are used again by the lesson of the same event, if nothing was learned in between and the event
still reads the same; this saves time and changes nothing, so it is no part of the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from river import base

from stream_retrain.models.bins import Bins
from stream_retrain.models.dense import DenseAdditive
from stream_retrain.models.targets import Targets
from stream_retrain.models.values import Features
from stream_retrain.models.weights import PlainAdditive

__all__ = ["AdditiveClassifier", "AdditiveRegressor"]

DENSE_FROM: Final = 125.0
"""Features times (outputs + 1.5) from which arrays are quicker than lists: 50 features and two classes, 15 and seven."""
ERROR_MAX: Final = 3.0
"""A regression error counts for at most this many standard deviations of the target."""


class _Additive:
    """What both tasks share: parameters, the working model, and the code kept from question to lesson."""

    def __init__(self, bins: int, rate: float, categories_max: int, outputs: int) -> None:
        if bins < 2 or categories_max < 1 or not 0.0 < rate < math.inf:
            raise ValueError(
                f"bins is {bins}, rate {rate}, categories_max {categories_max}; use 2 bins, 1 category and a positive rate, or more"
            )
        self.bins = bins
        self.rate = rate
        self.categories_max = categories_max
        self._work: Any = PlainAdditive(Bins(bins, categories_max), outputs, rate)
        self._asked: tuple[list[Any], list[Any], list[type], Any, list[float]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_asked": None}

    def _question(self, x: Features) -> tuple[Any, list[float]]:
        """The event's code and scores: those of the last question if this is the same one."""
        held = list(x.values())
        names, kinds = list(x), list(map(type, held))
        asked = self._asked
        if asked is not None and asked[1] == held and asked[0] == names and asked[2] == kinds:
            return asked[3], asked[4]
        code = self._work.encode(x)
        scores = self._work.scores(code)
        self._asked = (names, held, kinds, code, scores)
        return code, scores

    def _lesson(self, x: Features, code: Any, errors: list[float]) -> None:
        self._asked = None
        work = self._work
        if not code.complete or code.categories:
            code = work.admit(x, code)
            self._choose()
            code = code if work is self._work else self._work.encode(x)
        self._work.learn(code, errors)

    def _choose(self) -> None:
        """Go over to arrays, for good, where they are quicker."""
        work = self._work
        if isinstance(work, PlainAdditive):
            features = len(work.bins.numbers) + len(work.bins.categories)
            if features * (len(work.intercepts) + 1.5) >= DENSE_FROM:
                self._work = DenseAdditive(work)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"bins": 4, "categories_max": 3}


class AdditiveClassifier(_Additive, base.Classifier):  # type: ignore[misc]
    """Logistic or softmax regression on the soft bins of each feature.

    Takes numbers, strings and booleans (as categories); a missing value (None, NaN, or not there) counts nothing. Features,
    categories and classes may appear while running. No scaler is needed before it.

    Parameters
    ----------
    bins
        Bins of a numeric feature, at least 2.
    rate
        Step of a weight, in log odds, at its first lesson; later steps are divided by the root of its summed squared gradients.
    categories_max
        Categories remembered of one feature; the least recently learned one leaves.

    References
    ----------
    [^1]: Hastie, T. and Tibshirani, R., 1986. Generalized additive models. Statistical Science, 1(3), 297-310.
    [^2]: Duchi, J., Hazan, E. and Singer, Y., 2011. Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research, 12, 2121-2159. (Here the sum of squares fades.)

    """

    def __init__(self, bins: int = 16, rate: float = 0.3, categories_max: int = 256) -> None:
        super().__init__(bins, rate, categories_max, outputs=1)
        self._classes: dict[base.typing.ClfTarget, int] = {}

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Features) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far, in the order they were first seen.

        Raises:
            ValueError: a value is infinite.
        """
        if len(self._classes) < 2:
            return dict.fromkeys(self._classes, 1.0)
        return dict(zip(self._classes, _probabilities(self._question(x)[1]), strict=True))

    def learn_one(self, x: Features, y: base.typing.ClfTarget) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite.
        """
        code, scores = self._question(x)
        answer = self._classes.get(y)
        if answer is None:
            self._add_class(y)
            code, scores = self._question(x)
            answer = self._classes[y]
        if len(self._classes) < 2:
            self._lesson(x, code, [0.0])
            return
        probabilities = _probabilities(scores)
        if len(probabilities) == 2:
            self._lesson(x, code, [probabilities[1] - answer])
            return
        probabilities[answer] -= 1.0
        self._lesson(x, code, probabilities)

    def _add_class(self, y: base.typing.ClfTarget) -> None:
        """One class more: two share one score, from the third on each has its own."""
        self._classes[y] = len(self._classes)
        self._asked = None
        work = self._work
        if len(self._classes) < 3:
            return
        if len(self._classes) == 3:
            self._split()
        work.add_output()
        self._choose()

    def _split(self) -> None:
        """From one score s to two, -s/2 and s/2: the same probabilities."""
        work = self._work
        work.add_output()
        if isinstance(work, DenseAdditive):
            work.weights[:, 1] = 0.5 * work.weights[:, 0]
            work.weights[:, 0] *= -0.5
            work.squares[:, 1] = work.squares[:, 0]
            work.intercepts[:] = (-0.5 * work.intercepts[0], 0.5 * work.intercepts[0])
            work.intercept_squares[1] = work.intercept_squares[0]
        else:
            work.weights = [[-0.5 * weight for weight in work.weights[0]], [0.5 * weight for weight in work.weights[0]]]
            work.squares[1] = list(work.squares[0])
            work.intercepts = [-0.5 * work.intercepts[0], 0.5 * work.intercepts[0]]
            work.intercept_squares[1] = work.intercept_squares[0]


class AdditiveRegressor(_Additive, base.Regressor):  # type: ignore[misc]
    """Least-squares regression on the soft bins of each feature, on a target standardised while running.

    Features are taken as by `AdditiveClassifier`. An error counts for at most 3 standard deviations, and answers are clipped to
    the range of the targets seen and a tenth of it beyond.

    Parameters
    ----------
    bins
        Bins of a numeric feature, at least 2.
    rate
        Step of a weight, in standard deviations of the target, at its first lesson.
    categories_max
        Categories remembered of one feature; the least recently learned one leaves.

    References
    ----------
    [^1]: Hastie, T. and Tibshirani, R., 1986. Generalized additive models. Statistical Science, 1(3), 297-310.

    """

    def __init__(self, bins: int = 16, rate: float = 0.1, categories_max: int = 256) -> None:
        super().__init__(bins, rate, categories_max, outputs=1)
        self._targets = Targets()

    def predict_one(self, x: Features) -> float:
        """The answer; 0 before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        targets = self._targets
        return targets.clip(targets.mean + targets.deviation * self._question(x)[1][0])

    def learn_one(self, x: Features, y: float) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite, or the target is no finite number.
        """
        targets = self._targets
        targets.check(y)
        code, scores = self._question(x)
        targets.update(y)
        error = scores[0] - (y - targets.mean) / targets.deviation
        self._lesson(x, code, [max(-ERROR_MAX, min(ERROR_MAX, error))])


def _probabilities(scores: list[float]) -> list[float]:
    """One score: of the second of two classes; else one for each class."""
    if len(scores) == 1:
        second = 0.5 + 0.5 * math.tanh(0.5 * scores[0])
        return [1.0 - second, second]
    highest = max(scores)
    raised = [math.exp(score - highest) for score in scores]
    total = sum(raised)
    return [value / total for value in raised]
