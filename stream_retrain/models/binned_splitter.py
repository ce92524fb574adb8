"""What a leaf of a `QuickTreeRegressor` keeps of one numeric feature: target statistics in bins of equal width.

River's splitter (`TEBSTSplitter`) keeps an object for every value it has seen, rounded to one decimal place, in a search tree. With
features of a wide range a tree then took 11 MB while it grew, its pickle a second, and an event three times the time. Here a bin is three
numbers, and there are at most `BINS_MAX`: where values need more, bins become twice as wide, and neighbours are merged.

A bin holds the values above its lower edge, up to its upper edge, and a split at the upper edge sends exactly these to the left.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, Final, TypeAlias

from river import stats
from river.tree.splitter.base import Splitter
from river.tree.utils import BranchFactory

from stream_retrain.models.feature_values import HUGE

__all__ = ["BINS_MAX", "BinnedSplitter"]

BINS_MAX: Final = 64
WIDTH: Final = 0.01
"""Of a bin, as long as there are few."""
Moments: TypeAlias = "tuple[float, float, float]"
"""Of targets: their number, mean, and sum of squares about the mean (Welford)."""

NOTHING: Final = (0.0, 0.0, 0.0)


class BinnedSplitter(Splitter):  # type: ignore[misc]
    """Finds the split of one numeric feature that lowers the variance of the target most."""

    def __init__(self) -> None:
        self._width = WIDTH
        self._bins: dict[int, Moments] = {}
        """By upper edge, in widths."""

    @property
    def is_target_class(self) -> bool:
        """It is for regression."""
        return False

    def clone(self, new_params: dict[str, Any] | None = None, include_attributes: bool = False) -> Any:
        """An empty splitter; every leaf makes one for each feature."""
        if include_attributes:
            return super().clone(new_params, include_attributes)
        return BinnedSplitter()

    def update(self, att_val: Any, target_val: float, w: float) -> None:
        """Add a target under its feature's value."""
        if att_val is None or att_val != att_val:
            return
        if not -HUGE < att_val < HUGE:
            att_val = math.copysign(HUGE, att_val)
        bins, edge = self._bins, math.ceil(att_val / self._width)
        found = bins.get(edge)
        if found is None:
            bins[edge] = (w, target_val, 0.0)
            while len(self._bins) > BINS_MAX:
                self._widen()
            return
        count, mean, squares = found
        count += w
        off = target_val - mean
        mean += w * off / count
        bins[edge] = (count, mean, squares + w * off * (target_val - mean))

    def _widen(self) -> None:
        """Make bins twice as wide, or as often as it takes until two of them may meet."""
        edges = sorted(self._bins)
        nearest = min(map(operator.sub, edges[1:], edges))
        doublings = max(1, nearest.bit_length() - 1)
        merged: dict[int, Moments] = {}
        for edge, moments in self._bins.items():
            edge = -(-edge >> doublings)
            merged[edge] = _together(merged.get(edge, NOTHING), moments)
        self._bins, self._width = merged, 2.0**doublings * self._width

    def cond_proba(self, att_val: Any, target_val: Any) -> float:
        """There is none in regression."""
        raise NotImplementedError

    def best_evaluated_split_suggestion(self, criterion: Any, pre_split_dist: Any, att_idx: Any, binary_only: bool = True) -> Any:  # noqa: ARG002
        """The best split between two bins, by River's variance reduction; without merit where no split has enough on both sides."""
        edges = sorted(self._bins)
        moments = [self._bins[edge] for edge in edges]
        below = list(itertools.accumulate(moments, _together))
        above = list(itertools.accumulate(reversed(moments), _together))[::-1]
        total, spread, least = pre_split_dist.mean.n, pre_split_dist.get(), criterion.min_samples_split
        best, at = -math.inf, 0
        for place in range(len(edges) - 1):
            left, right = below[place], above[place + 1]
            merit = 0.0
            if left[0] >= least and right[0] >= least:
                merit = spread - left[0] / total * _variance(left) - right[0] / total * _variance(right)
            if merit > best:
                best, at = merit, place
        if best == -math.inf:
            return BranchFactory()
        return BranchFactory(best, att_idx, edges[at] * self._width, [_var(below[at]), _var(above[at + 1])])


def _together(one: Moments, other: Moments) -> Moments:
    """The moments of two sets of targets."""
    count = one[0] + other[0]
    off = other[1] - one[1]
    part = other[0] / count
    return count, one[1] + off * part, one[2] + other[2] + off * off * one[0] * part


def _variance(moments: Moments) -> float:
    return moments[2] / (moments[0] - 1.0) if moments[0] > 1.0 else 0.0


def _var(moments: Moments) -> Any:
    """The same as River's statistic, from which a leaf goes on."""
    return stats.Var._from_state(moments[0], moments[1], _variance(moments))
