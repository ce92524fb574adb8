"""`FastHDDMA`'s core in Python: the readable reference, which serves where the compiled one is not installed."""

from __future__ import annotations

import math

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Block, Reader, Writer

__all__ = ["PlainHDDMA"]


class PlainHDDMA:
    """HDDM-A for a rising error."""

    __slots__ = ("_bound_log", "_cut_line", "_cut_mean", "_cut_n", "_drift_log", "_mean", "_n", "_warning_log", "drift", "warning")

    def __init__(self, drift_confidence: float, warning_confidence: float) -> None:
        self._drift_log = arithmetic.log(2.0 / drift_confidence)
        self._warning_log = arithmetic.log(2.0 / warning_confidence)
        self._bound_log = arithmetic.log(1.0 / drift_confidence)
        self.reset()

    def reset(self) -> None:
        """Begin afresh."""
        self._n = 0.0
        self._mean = 0.0
        self._cut_n = 0.0
        self._cut_mean = 0.0
        self._cut_line = math.inf  # mean plus bound at the cut: the lowest seen since the start
        self.drift = False
        self.warning = False

    def update(self, x: float) -> None:
        """Add an error."""
        if self.drift:
            self.reset()
        self._n = n = self._n + 1.0
        self._mean = mean = self._mean + (1.0 / n) * (x - self._mean)
        line = mean + math.sqrt(1.0 / (2 * n) * self._bound_log)
        if self._cut_line >= line:
            self._cut_n, self._cut_mean, self._cut_line = n, mean, line
            self.warning = False
            return
        rise = mean - self._cut_mean
        if rise <= 0.0:
            self.warning = False
            return
        spread = (n - self._cut_n) / self._cut_n * (1.0 / n) / 2
        self.drift = rise >= math.sqrt(spread * self._drift_log)
        self.warning = not self.drift and rise >= math.sqrt(spread * self._warning_log)

    def state(self) -> Block:
        """All but the parameters."""
        to = Writer()
        self.write(to)
        return to.block()

    def restore(self, state: Block) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        reader = Reader(state)
        self.read(reader)
        reader.end()

    def write(self, to: Writer) -> None:
        """Alarm and warning, means and counts."""
        to.count(self.drift, self.warning)
        to.number(self._n, self._mean, self._cut_n, self._cut_mean, self._cut_line)

    def read(self, reader: Reader) -> None:
        """What `write` wrote."""
        self.drift, self.warning = reader.count(2) == 1, reader.count(2) == 1
        self._n, self._mean, self._cut_n, self._cut_mean, self._cut_line = reader.row(5)
