"""The way of copies to the object store: a thread does it, so that nothing of it is waited for.

1. A copy is in the store of the shards already (`pending`), under the epoch of the shard's owner. What stands in the queue is its name.
2. The thread brings it to the object store, and says how that ended (`came`). Where it failed, nothing more is taken until a back-off is
   over: the copy goes on waiting where it is.
3. The owner writes down that it is kept, and deletes it where it waited.

The queue is bounded. What does not fit is offered again: whoever owns the shard knows what waits.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable
from typing import Final

from stream_retrain.engines.backoff import Backoff
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.version_ports import ModelStore

__all__ = ["Upload", "Uploads"]

QUEUE_MAX: Final = 8
WAIT_MAX_S: Final = 300.0
IDLE_S: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Upload:
    """A copy that is brought, or deleted; and how that ended."""

    shard: ShardId
    version: str
    name: str
    delete: bool = False
    error: str = ""
    lost: bool = False
    """It is not where it waited."""


class Uploads:
    """The copies of one worker's shards on their way."""

    def __init__(self, waiting: ModelStore, objects: ModelStore, clock_s: Callable[[], float]) -> None:
        self._waiting = waiting
        self._objects = objects
        self._clock_s = clock_s
        self._backoff = Backoff(max_s=WAIT_MAX_S)
        self._asked: queue.Queue[Upload] = queue.Queue(QUEUE_MAX)
        self._came: queue.SimpleQueue[Upload] = queue.SimpleQueue()
        self._under_way: set[tuple[ShardId, str]] = set()
        self._thread: threading.Thread | None = None

    def offer(self, upload: Upload) -> bool:
        """Have it done, if there is place and no back-off; whether it is under way, as it is where it was offered before."""
        key = upload.shard, upload.name
        if key in self._under_way:
            return True
        if not self._backoff.may_try(self._clock_s()):
            return False
        try:
            self._asked.put_nowait(upload)
        except queue.Full:
            return False
        self._under_way.add(key)
        self._keep_running()
        return True

    def came(self) -> list[Upload]:
        """What has ended since the last call."""
        ended: list[Upload] = []
        self._keep_running()
        while True:
            try:
                upload = self._came.get_nowait()
            except queue.Empty:
                return ended
            self._under_way.discard((upload.shard, upload.name))
            if upload.error and not upload.lost:
                self._backoff.failed(self._clock_s())
            elif not upload.error:
                self._backoff.reset()
            ended.append(upload)

    def _keep_running(self) -> None:
        """A thread that has had nothing to do for a while ends: another takes up what came in between."""
        if not self._asked.empty() and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name="copies of models", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                upload = self._asked.get(timeout=IDLE_S)
            except queue.Empty:
                return
            try:
                self._came.put(self._done(upload))
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to
                self._came.put(dataclasses.replace(upload, error=str(error) or type(error).__name__))

    def _done(self, upload: Upload) -> Upload:
        if upload.delete:
            self._objects.drop(upload.shard, 0, [upload.name])
            return upload
        sealed = self._waiting.load(upload.shard, upload.name)
        if sealed is None:
            return dataclasses.replace(upload, error="it was lost while it waited in the store of the shards", lost=True)
        self._objects.keep(upload.shard, 0, upload.name, sealed)
        return upload
