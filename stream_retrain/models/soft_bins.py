"""The soft bins of the additive models as a transformer, for any model."""

from __future__ import annotations

from typing import Any

from river import base

from stream_retrain.models.bins import Bins
from stream_retrain.models.feature_values import Features

__all__ = ["SoftBins"]


class SoftBins(base.Transformer):  # type: ignore[misc]
    """Linear B-spline basis of each feature, which is standardised by its running mean and variance.

    A number becomes two neighbouring bins, `name[i]` and `name[i+1]`, whose weights add up to 1. A string or a boolean becomes
    `name=value` with weight 1. A linear model on the result is additive: it learns a function of each feature. Missing values (None,
    NaN, or absent) give nothing. Features and categories may appear at any time.

    Parameters
    ----------
    bins
        Bins of a numeric feature, at least 2.
    categories_max
        Categories kept of one feature; when it is full, the least recently learned one is removed, and is then unknown.

    References
    ----------
    [^1]: Eilers, P. H. C. and Marx, B. D., 1996. Flexible smoothing with B-splines and penalties. Statistical Science, 11(2),
    89-121.

    """

    def __init__(self, bins: int = 16, categories_max: int = 256) -> None:
        if bins < 2 or categories_max < 1:
            raise ValueError(f"bins is {bins}, categories_max is {categories_max}; use at least 2 bins and 1 category")
        self.bins = bins
        self.categories_max = categories_max
        self._bins = Bins(bins, categories_max)

    def learn_one(self, x: Features) -> None:
        """Update the running means and variances, and add the categories.

        Raises:
            ValueError: a value is infinite.
        """
        self._bins.admit(x)
        self._bins.observe(self._bins.encode(x))

    def transform_one(self, x: Features) -> dict[Any, float]:
        """The weights of the bins and categories of `x`; numbers of an unknown feature and unknown categories give nothing.

        Raises:
            ValueError: a value is infinite.
        """
        weights: dict[Any, float] = {}
        for name, value in x.items():
            encoding = self._bins.encode({name: value})
            for moments, _, slot, upper, _ in encoding.numbers:
                lower = slot - moments.base
                weights[f"{name}[{lower}]"] = 1.0 - upper
                weights[f"{name}[{lower + 1}]"] = upper
            if encoding.categories:
                weights[f"{name}={value}"] = 1.0
        return weights
