"""HDDM-A for a rising error, fast enough to run at every event.

River's HDDMA keeps its means as objects and clones them. Here the same dozen float operations are written out, with the models'
`arithmetic`. Alarms and warnings come at the same events as those of River's one-sided test, its default.
"""

from __future__ import annotations

from typing import Any

from river import base

from stream_retrain.models.implementation import Cored, models

__all__ = ["FastHDDMA"]


class FastHDDMA(Cored, base.BinaryDriftAndWarningDetector):  # type: ignore[misc]
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
        self.drift_confidence = drift_confidence
        self.warning_confidence = warning_confidence
        self._core = self._new_core()

    def _new_core(self) -> Any:
        return models().Hddma(self.drift_confidence, self.warning_confidence)

    def _reset(self) -> None:
        self._core.reset()

    @property
    def drift_detected(self) -> bool:
        """Whether the last error was an alarm."""
        return bool(self._core.drift)

    @property
    def warning_detected(self) -> bool:
        """Whether the last error was a warning."""
        return bool(self._core.warning)

    def update(self, x: float) -> None:
        """Add an error."""
        self._core.update(x)
