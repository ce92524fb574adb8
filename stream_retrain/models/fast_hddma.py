"""HDDM-A for a rising error, fast enough to run at every event.

River's HDDMA keeps its means as objects and clones them. Here the same dozen float operations are written out, with the models'
`arithmetic`. Alarms and warnings come at the same events as those of River's one-sided test, its default.
"""

from __future__ import annotations

import math

from river import base

from stream_retrain.models import arithmetic

__all__ = ["FastHDDMA"]


class FastHDDMA(base.BinaryDriftAndWarningDetector):  # type: ignore[misc]
    """Detects a rise of the average error by Hoeffding's bound.

    Its input is errors: 0 and 1, or any number between them. After an alarm it starts again with the next value.

    Parameters
    ----------
    drift_confidence
        Allowed probability of a false alarm.
    warning_confidence
        Allowed probability of a false warning.

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
        self._drift_log = arithmetic.log(2.0 / drift_confidence)
        self._warning_log = arithmetic.log(2.0 / warning_confidence)
        self._bound_log = arithmetic.log(1.0 / drift_confidence)
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self._n = 0.0
        self._mean = 0.0
        self._cut_n = 0.0
        self._cut_mean = 0.0
        self._cut_line = math.inf  # mean plus bound at the cut: the lowest seen since the start

    def update(self, x: float) -> None:
        """Add an error."""
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
