"""ADWIN with the models' arithmetic: the same alarms on every machine, and fast enough to run at every event.

River's ADWIN takes its logarithms from the C library of the machine. An alarm that hangs on their last digit comes at another event
elsewhere. Here they are those of `arithmetic`, and all else is computed in the order in which River does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from river import base

from stream_retrain.models.implementation import Cored, models

__all__ = ["FastADWIN"]

PARAMETER_MAX: Final = 1_000_000_000


class FastADWIN(Cored, base.DriftDetector):  # type: ignore[misc]
    """Detects a change of the mean, in either direction, by a window that is cut where it has changed.

    Parameters and attributes are those of River's `drift.ADWIN`. Its input is any finite number. After an alarm it starts again with the
    next value, as River's does.

    Parameters
    ----------
    delta
        Allowed probability of a false alarm, between 0 and 1.
    clock
        Cuts are tried every so many values.
    max_buckets
        Buckets of one size, before two become one of twice the size; more of them mean more places to cut at.
    min_window_length
        Values that there must be on both sides of a cut.
    grace_period
        Cuts are tried once the window has more values than this.

    References
    ----------
    [^1]: Bifet, A. and Gavalda, R., 2007. Learning from time-changing data with adaptive windowing. Proceedings of the 2007 SIAM
    International Conference on Data Mining, 443-448. The bound on the difference of two means is the one that River and MOA use: it has
    the variance of the window, the logarithm of twice the logarithm of its width over delta, and counts without `min_window_length` - 1.
    [^2]: Babcock, B., Datar, M., Motwani, R. and O'Callaghan, L., 2003. Maintaining variance and k-medians over data stream windows.
    PODS 2003, 234-243. How the variance of the window follows its buckets.

    """

    def __init__(
        self, delta: float = 0.002, clock: int = 32, max_buckets: int = 5, min_window_length: int = 5, grace_period: int = 10
    ) -> None:
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta is {delta!r}; use a probability between 0 and 1")
        whole = {"clock": clock, "max_buckets": max_buckets, "min_window_length": min_window_length, "grace_period": grace_period}
        for name, value in whole.items():
            least = 0 if name == "grace_period" else 1
            if not isinstance(value, int) or not least <= value <= PARAMETER_MAX:
                raise ValueError(f"{name} is {value!r}; use a whole number from {least} to {PARAMETER_MAX:,}")
        self.delta = delta
        self.clock = clock
        self.max_buckets = max_buckets
        self.min_window_length = min_window_length
        self.grace_period = grace_period
        self._core = self._new_core()

    def _new_core(self) -> Any:
        return models().Adwin(self.delta, self.clock, self.max_buckets, self.min_window_length, self.grace_period)

    def _reset(self) -> None:
        self._core.reset()

    @property
    def drift_detected(self) -> bool:
        """Whether the last value was an alarm."""
        return bool(self._core.drift)

    @property
    def width(self) -> int:
        """How many values are in the window."""
        width: int = self._core.width
        return width

    @property
    def total(self) -> float:
        """Their sum."""
        total: float = self._core.total
        return total

    @property
    def variance(self) -> float:
        """The sum of their squared deviations from the mean, which River calls so."""
        variance: float = self._core.variance
        return variance

    @property
    def estimation(self) -> float:
        """Their mean; 0 of an empty window."""
        return self.total / self.width if self.width else 0.0

    @property
    def n_detections(self) -> int:
        """Alarms since it last began afresh."""
        detections: int = self._core.detections
        return detections

    def update(self, x: float) -> None:
        """Add a value.

        Raises:
            ValueError: it is not a finite number below 1e140; nothing has changed.
        """
        self._core.update(x)

    def update_many(self, values: Iterable[float]) -> int | None:
        """Add values one after the other, up to and with the first that is an alarm; its place among them, or None.

        Raises:
            ValueError: as `update`; those before are in the window.
        """
        place: int | None = self._core.update_many(values)
        return place

    @property
    def add(self) -> Callable[[float], bool]:
        """What adds a value as `update` does, but goes on after an alarm with what it has left of the window, which is what ADWIN's authors
        do; it returns whether the value is an alarm. It is a method of the core, so that a call costs no other; it stays the same until
        this detector is restored from a state."""
        add: Callable[[float], bool] = self._core.add
        return add
