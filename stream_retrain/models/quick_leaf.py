"""The leaf of a `QuickTree`, and the linear model in the leaves of a `QuickTreeRegressor`.

River's leaf with adaptive naive Bayes computes the same naive Bayes votes in `predict_one` and again in `learn_one`, and makes a deep
copy of its class counts each time. `QuickLeaf` reuses the votes and copies nothing. Its numbers equal River's to the last digit.
"""

from __future__ import annotations

from typing import Any

from river import linear_model
from river.tree.nodes.htc_nodes import LeafMajorityClass, LeafNaiveBayesAdaptive
from river.tree.utils import do_naive_bayes_prediction

from stream_retrain.models.feature_values import Features
from stream_retrain.models.probabilities import most_probable

__all__ = ["NumericLinearRegression", "QuickLeaf"]


class QuickLeaf(LeafNaiveBayesAdaptive):  # type: ignore[misc]
    """A leaf that keeps the naive Bayes votes of its last prediction; they are not part of its state."""

    _last: tuple[Any, dict[Any, float]] | None = None
    """The features of the last prediction and its votes."""

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.pop("_last", None)
        return state

    def prediction(self, x: Features, *, tree: Any = None) -> dict[Any, float]:  # noqa: ARG002  River's signature
        """The votes of naive Bayes or of the class counts, whichever was right more often here."""
        if self.is_active() and self._nb_correct_weight >= self._mc_correct_weight:
            votes: dict[Any, float] = do_naive_bayes_prediction(x, self.stats, self.splitters)
            self._last = (tuple(x.items()), votes)
            return votes
        return self._majority()

    def learn_one(self, x: Features, y: Any, *, w: float = 1.0, tree: Any = None) -> None:
        """Count which of the two predictors is right, then learn one event."""
        if self.is_active():
            majority = self._majority()
            if not majority or most_probable(majority) == y:
                self._mc_correct_weight += w
            last, self._last = self._last, None
            if last is not None and last[0] == tuple(x.items()):
                votes = last[1]
            else:
                votes = do_naive_bayes_prediction(x, self.stats, self.splitters)
            if votes and most_probable(votes) == y:
                self._nb_correct_weight += w
        LeafMajorityClass.learn_one(self, x, y, w=w, tree=tree)

    def _majority(self) -> dict[Any, float]:
        stats: dict[Any, float] = self.stats
        total = sum(stats.values())
        if total == 0:
            return dict(stats)
        scale = 1 / total
        return {label: weight * scale for label, weight in stats.items()}


class NumericLinearRegression(linear_model.LinearRegression):  # type: ignore[misc]
    """River's linear regression without the strings of an event, on which River's raises."""

    def predict_one(self, x: Features) -> float:
        """The prediction from the features that are not strings."""
        prediction: float = super().predict_one(_without_strings(x))
        return prediction

    def learn_one(self, x: Features, y: float, w: float = 1.0) -> None:
        """Learn one event from the features that are not strings."""
        super().learn_one(_without_strings(x), y, w)


def _without_strings(x: Features) -> Features:
    for value in x.values():
        if value.__class__ is str:
            return {name: value for name, value in x.items() if value.__class__ is not str}
    return x
