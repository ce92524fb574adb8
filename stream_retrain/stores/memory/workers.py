"""How workers stand, in memory."""

from __future__ import annotations

import threading
import time

from stream_retrain.stores.ports import STATUS_EXPIRE_S, WORKERS_MAX, WorkerTold
from stream_retrain.stores.worker_status import WorkerStatus

__all__ = ["MemoryWorkerStore"]


class MemoryWorkerStore:
    """A `WorkerStore` of a dict a group."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[str, dict[str, tuple[float, WorkerStatus]]] = {}

    def tell(self, group: str, status: WorkerStatus) -> None:
        with self._lock:
            told = self._told.setdefault(group, {})
            told.pop(status.instance, None)
            told[status.instance] = time.monotonic(), status
            for instance in list(told)[:-WORKERS_MAX]:
                del told[instance]

    def all(self, group: str) -> list[WorkerTold]:
        now_s = time.monotonic()
        with self._lock:
            told = list(self._told.get(group, {}).values())
        found = [WorkerTold(status, now_s - at_s) for at_s, status in told if now_s - at_s < STATUS_EXPIRE_S]
        return sorted(found, key=lambda each: each.status.instance)

    def drop(self, group: str, instance: str) -> None:
        with self._lock:
            self._told.get(group, {}).pop(instance, None)
