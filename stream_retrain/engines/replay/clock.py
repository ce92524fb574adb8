"""The clock of a replay: it moves only when it is told to."""

from __future__ import annotations

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """A clock in seconds, from 0."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds
