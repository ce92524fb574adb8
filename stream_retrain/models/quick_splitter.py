"""River's Gaussian splitter with less memory: what a leaf keeps of one numeric feature.

River's splitter keeps three objects for each class of each feature of each leaf, and a random generator of 2.5 kB that serves only
sampling. They make up most of a tree's memory and of its pickle. Here three numbers are kept instead, and every result equals River's
to the last digit.
"""

from __future__ import annotations

import math
from typing import Any, Final

from river.tree.splitter import GaussianSplitter

__all__ = ["QuickSplitter"]

HALF_LOG_TAU: Final = 0.5 * math.log(math.tau)
SQRT_TWO: Final = math.sqrt(2.0)


class Normal:
    """A normal distribution by running mean and sum of squares (Welford)."""

    __slots__ = ("mean", "n_samples", "squares")

    def __init__(self) -> None:
        self.n_samples = 0.0
        self.mean = 0.0
        self.squares = 0.0

    def cdf(self, x: float) -> float:
        """Probability of a value of at most `x`; 0 while all values were equal."""
        deviation = (self.squares / (self.n_samples - 1)) ** 0.5 if self.n_samples > 1 else 0.0
        return 0.5 * (1.0 + math.erf((x - self.mean) / deviation / SQRT_TWO)) if deviation else 0.0


class QuickSplitter(GaussianSplitter):  # type: ignore[misc]
    """`river.tree.splitter.GaussianSplitter`, equal to the last digit."""

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Any:
        """An empty splitter with the same parameters; every leaf makes one for each feature."""
        if new_params or include_attributes:
            return super().clone(new_params, include_attributes)
        return QuickSplitter(self.n_splits)

    def update(self, att_val: float | None, target_val: Any, w: float) -> None:
        """Add a value of a class."""
        if att_val is None:
            return
        normal = self._att_dist_per_class.get(target_val)
        if normal is None:
            normal = self._att_dist_per_class[target_val] = Normal()
            self._min_per_class[target_val] = self._max_per_class[target_val] = att_val
        elif att_val < self._min_per_class[target_val]:
            self._min_per_class[target_val] = att_val
        elif att_val > self._max_per_class[target_val]:
            self._max_per_class[target_val] = att_val
        normal.n_samples = count = normal.n_samples + w
        before = normal.mean
        normal.mean = after = before + (w / count) * (att_val - before)
        normal.squares += w * (att_val - before) * (att_val - after)

    def cond_proba(self, att_val: float, target_val: Any) -> float:
        """Density of a value in a class."""
        density = self.cond_log_proba(att_val, target_val)
        return math.exp(density) if density > -math.inf else 0.0

    def cond_log_proba(self, att_val: float, target_val: Any) -> float:
        """Log of the density of a value in a class; -inf where there is no variance yet."""
        normal = self._att_dist_per_class.get(target_val)
        if normal is None or normal.n_samples <= 1:
            return -math.inf
        variance = normal.squares / (normal.n_samples - 1)
        if variance <= 0.0:
            return -math.inf
        try:
            density: float = (att_val - normal.mean) ** 2 / (-2.0 * variance) - HALF_LOG_TAU - 0.5 * math.log(variance)
        except OverflowError:  # of a value far outside, before the usual range is known
            return -math.inf
        return density
