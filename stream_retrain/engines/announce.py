"""A worker tells the store how it stands, so that `stream-retrain status` finds every worker of a group without knowing where they run.

It is done in a thread of its own, every few seconds: a store that is away delays nothing but this. What was told expires in the store,
so a worker that was killed is missing soon; one that stops takes it back.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

from stream_retrain.stores.ports import WorkerStore
from stream_retrain.stores.worker_status import status_of

__all__ = ["Announcer", "without_shards"]

EVERY_S: Final = 2.0
LEAVE_TIMEOUT_S: Final = 0.5
"""How long the end of a worker waits for the store to forget it."""
LOG: Final = logging.getLogger("stream_retrain.worker")


def without_shards(instance: str, pipeline: str, detail: str, began_s: float, state: str = "running") -> dict[str, Any]:
    """How a process that has no shards stands, such as a trainer; `began_s` is of the monotonic clock."""
    own = {"instance": instance, "pipeline": pipeline, "version": version("stream_retrain"), "pid": os.getpid(), "state": state}
    unknown = dict.fromkeys(("partitions", "commit_age_s", "checkpoint_age_s"))
    well: dict[str, Any] = {"ready": True, "missing": [], "store": "up", "shards": {}}
    return {**well, **unknown, **own, "detail": detail, "uptime_s": time.monotonic() - began_s}


class Announcer:
    """A context manager: while it is open, what `shown` returns (what `/status` shows) is told every few seconds."""

    def __init__(
        self, store: WorkerStore, group: str, instance: str, shown: Callable[[], Mapping[str, Any]], url: str = "", every_s: float = EVERY_S
    ) -> None:
        self._store, self._group, self._instance, self._shown, self._url = store, group, instance, shown, url
        self._every_s = every_s
        self._closed = threading.Event()
        self._fails = False
        self._thread = threading.Thread(target=self._run, name="announce", daemon=True)

    def tell(self) -> None:
        """Tell it once. Raises `StoreError`."""
        self._store.tell(self._group, status_of(self._shown(), self._url))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        self._thread.join(LEAVE_TIMEOUT_S)

    def _run(self) -> None:
        while True:
            self._try(self.tell)
            if self._closed.wait(self._every_s):
                self._try(lambda: self._store.drop(self._group, self._instance))
                return

    def _try(self, do: Callable[[], None]) -> None:
        """Nothing that goes wrong here may end the thread. It is told once, until it works again."""
        try:
            do()
            self._fails = False
        except Exception as error:  # noqa: BLE001 - it only tells; the worker goes on without
            level = logging.DEBUG if self._fails else logging.WARNING
            LOG.log(level, "how this worker stands could not be told, so stream-retrain status does not show it: %s", error)
            self._fails = True
