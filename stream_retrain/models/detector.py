"""HDDM-A on a falling performance, quick enough to run at every event.

River's HDDMA keeps its means as objects and clones them; the dozen float operations it stands for are written out here. Alarms
and warnings are the same to the event (River's one-sided test, its default).
"""

from __future__ import annotations

import math

from river import base

__all__ = ["FastHDDMA"]


class FastHDDMA(base.BinaryDriftAndWarningDetector):  # type: ignore[misc]
    """Drift detection by Hoeffding's bound on the average, when it rises.

    Feed it errors: 0 and 1, or any number between them. After an alarm the next value starts it afresh.

    Parameters
    ----------
    drift_confidence
        Probability of a false alarm the bound allows.
    warning_confidence
        The same for a warning.

    References
    ----------
    [^1]: Frias-Blanco I, del Campo-Avila J, Ramos-Jimenez G, et al. Online and non-parametric drift detection methods based on
    Hoeffding's bounds. IEEE Transactions on Knowledge and Data Engineering, 2014, 27(3): 810-823.

    """

    def __init__(self, drift_confidence: float = 0.001, warning_confidence: float = 0.005) -> None:
        super().__init__()
        self._drift_detected: bool = False
        self.drift_confidence = drift_confidence
        self.warning_confidence = warning_confidence
        self._drift_log = math.log(2.0 / drift_confidence)
        self._warning_log = math.log(2.0 / warning_confidence)
        self._bound_log = math.log(1.0 / drift_confidence)
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self._n = 0.0
        self._mean = 0.0
        self._cut_n = 0.0
        self._cut_mean = 0.0
        self._cut_line = math.inf  # the cut's mean plus its bound: the lowest seen since the start

    def update(self, x: float) -> None:
        """Take the next error."""
        if self._drift_detected:
            self._reset()
        self._n = n = self._n + 1.0
        self._mean = mean = self._mean + (1.0 / n) * (x - self._mean)
        line = mean + math.sqrt(1.0 / (2 * n) * self._bound_log)
        if self._cut_line >= line:
            self._cut_n, self._cut_mean, self._cut_line = n, mean, line
            self._warning_detected = False
            return
        rise = mean - self._cut_mean
        if rise <= 0.0:
            self._warning_detected = False
            return
        spread = (n - self._cut_n) / self._cut_n * (1.0 / n) / 2
        self._drift_detected = rise >= math.sqrt(spread * self._drift_log)
        self._warning_detected = not self._drift_detected and rise >= math.sqrt(spread * self._warning_log)
