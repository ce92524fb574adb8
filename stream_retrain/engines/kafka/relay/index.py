"""In which partition each question was asked, as the predictions say: bounded by rows, bytes and age, the newest questions known."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["QuestionIndex"]

BYTES_A_QUESTION = 300
PARTITION_BITS = 20


class QuestionIndex:
    """Partitions by id. Age is counted by the timestamps of predictions, so that it stands still where no question is asked."""

    def __init__(self, rows_max: int, bytes_max: int, age_max_s: float | None) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._age_max_ms = None if age_max_s is None else int(age_max_s * 1000)
        self._known: OrderedDict[str, int] = OrderedDict()
        """Time and partition of each as one number, which takes half the memory of a pair."""
        self._bytes = 0
        self._newest_ms = 0

    def __len__(self) -> int:
        return len(self._known)

    def add(self, id_: str, partition: int, timestamp_ms: int) -> None:
        """A question was asked; of two with one id the later counts."""
        known = self._known
        if known.pop(id_, None) is None:
            self._bytes += BYTES_A_QUESTION + len(id_)
        known[id_] = max(0, timestamp_ms) << PARTITION_BITS | partition
        self._newest_ms = max(self._newest_ms, timestamp_ms)
        while len(known) > self._rows_max or self._bytes > self._bytes_max or self._is_too_old(next(iter(known.values()), 0)):
            oldest, _ = known.popitem(last=False)
            self._bytes -= BYTES_A_QUESTION + len(oldest)
            if not known:
                return

    def partition_of(self, id_: str) -> int | None:
        """The partition of a question; None where it is not known."""
        found = self._known.get(id_)
        return None if found is None else found & (1 << PARTITION_BITS) - 1

    def _is_too_old(self, stamped: int) -> bool:
        return self._age_max_ms is not None and stamped >> PARTITION_BITS < self._newest_ms - self._age_max_ms
