"""The memory of the whole process against the limit the operator sets, about once a second: before the kernel ends it, it ends itself.

Rules of memory (`On.memory`) bound the models of a shard by a measure that is the same in every process. What this guard sees depends on
the machine, so nothing follows from it but a warning, and the end of the process: 1 from 80 % of the limit on, a fact every minute; 2 above
the limit, everything is committed and saved, and the process ends with an error that says so.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stream_retrain.errors import LimitError
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.worker import Tell

__all__ = ["MemoryGuard", "resident_bytes"]

LOOK_EVERY_S: Final = 1.0
HIGH: Final = 0.8
TOLD_EVERY_S: Final = 60.0


class MemoryGuard:
    """Looks at the process's resident memory."""

    def __init__(self, bytes_max: int | None, tell: Tell, save: Callable[[], None], read: Callable[[], int] | None = None) -> None:
        """`bytes_max`: None or 0, no limit. `save`: commits and saves. `read`: what is resident now; by default of this process."""
        self._bytes_max = bytes_max or 0
        self._tell = tell
        self._save = save
        self._read = read or resident_bytes
        self._looked_at_s = self._told_at_s = float("-inf")

    def look(self, now_s: float) -> None:
        """Look, if it is time. Raises `LimitError` above the limit, when everything is saved."""
        if not self._bytes_max or now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        found = self._read()
        if found >= HIGH * self._bytes_max and now_s - self._told_at_s >= TOLD_EVERY_S:
            self._told_at_s = now_s
            self._tell(MemoryHigh(resident_bytes=found, bytes_max=self._bytes_max))
        if found <= self._bytes_max:
            return
        self._save()
        raise LimitError(
            f"the process has {found:,} bytes of memory, and memory_bytes_max = {self._bytes_max:,}; what was committed is saved. Raise the"
            " limit if the machine has more, give the pipeline a smaller model or a rule of memory (On.memory), lower its limits"
            " (window_rows_max, pending_bytes_max), or run more workers for its partitions"
        )


def resident_bytes() -> int:
    """The resident memory of this process; where the system does not tell, the most it had."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
