"""The linear model in the leaves of a `QuickTreeRegressor`."""

from __future__ import annotations

from river import linear_model

from stream_retrain.models.feature_values import Features

__all__ = ["NumericLinearRegression"]


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
