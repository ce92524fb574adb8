"""How the worker gets on with Kafka: whether it is degraded, and since how many aborts.

A transaction that was aborted is sent again. Where one after another is aborted, its cause does not pass by itself: then the attempt
ends, and the next one prepares the topics and opens the shards again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_retrain.errors import BrokerError
from stream_retrain.facts.worker import Tell, WorkerStateChanged

__all__ = ["ABORTS_MAX", "Condition"]

ABORTS_MAX: Final = 5
"""In a row."""
ABORTED_MAX_S: Final = 8.0
"""How long they may have taken together, from the second on: where an output topic is gone, each takes a transaction's whole time."""
PROBE_EVERY_S: Final = 1.0


class Condition:
    """Running or degraded, as its worker tells it. `answers` says whether Kafka answers now."""

    def __init__(self, tell: Tell, answers: Callable[[], bool]) -> None:
        self._tell = tell
        self._answers = answers
        self._aborts, self._aborted_s = 0, 0.0
        self._probe_at_s = 0.0
        self.is_degraded = False

    def aborted(self, why: str, took_s: float, *, ends: bool) -> None:
        """A transaction was aborted, `took_s` after it began; `ends`: its cause was removed. Raises `BrokerError` for one too many."""
        self._aborts, self._aborted_s = (0, 0.0) if ends else (self._aborts + 1, self._aborted_s + took_s)
        if self._aborts >= ABORTS_MAX or (self._aborts > 1 and self._aborted_s >= ABORTED_MAX_S):
            raise BrokerError(f"{self._aborts} transactions in a row were aborted, so the shards are opened again: {why}")
        if self._aborts > 1:
            self.degraded(why)

    def committed(self) -> None:
        """A transaction was committed."""
        self._aborts, self._aborted_s = 0, 0.0
        self._recovered()

    def degraded(self, why: str) -> None:
        """Kafka does not answer, or refuses."""
        if not self.is_degraded:
            self.is_degraded = True
            self._tell(WorkerStateChanged(state="degraded", detail=why))

    def look(self, now_s: float) -> None:
        """Ask now and then whether Kafka is back: while nothing is to be committed, nothing else would say so."""
        if self.is_degraded and not self._aborts and now_s >= self._probe_at_s:
            self._probe_at_s = now_s + PROBE_EVERY_S
            if self._answers():
                self._recovered()

    def _recovered(self) -> None:
        if self.is_degraded:
            self.is_degraded = False
            self._tell(WorkerStateChanged(state="running", detail="Kafka answers again"))
