"""Pickling a large state beside the loop: a forked child pickles what was there at the moment of the fork, while the loop goes on.

The child has a copy of the process's memory that nothing changes any more. It pickles, writes the bytes to a file in memory, and ends.
It reads and writes nothing else: sealing and saving are the parent's, so a child that is too late cannot overwrite anything. The other
threads of the process do not exist in it, and a lock that one of them held at the fork stays locked. So it does not log, ask a client
library or leave by anything but `os._exit`.

Protocol of use, for a `Saver`:

1. `Pickling.begin` forks; None where that is not possible (not Linux, or no process may be started): then pickle here.
2. `ended` at every turn, which never waits: None, or the bytes. Raises `PicklingError` where the child ended without all of them, or took
   longer than `LIMIT_S`: then it is killed.
3. `drop` kills the child where its bytes are not wanted any more.

Memory: parent and child share it until one of them writes. A page that the parent learns in meanwhile is copied.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import struct
import sys
import time
import warnings
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn, Self

from stream_retrain.engines.child_process import how_it_ended
from stream_retrain.engines.parent import end_with_parent

__all__ = ["LIMIT_S", "Pickled", "Pickling", "PicklingError"]

LIMIT_S: Final = 60.0
_FRAME: Final = struct.Struct(">8sQd")
_MAGIC: Final = b"pickled1"
_ERRORS: Final = (pickle.PicklingError, AttributeError, TypeError, ValueError, RecursionError, MemoryError, OSError)


class PicklingError(Exception):
    """A child did not bring what it was to pickle."""


class Pickled(NamedTuple):
    """What a child brought."""

    payload: bytes
    seconds: float
    """What pickling took: so long would the loop have waited."""


class Pickling:
    """A child that pickles."""

    def __init__(self, child: int, file: int, clock_s: Callable[[], float]) -> None:
        self._child = child
        self._file = file
        self._clock_s = clock_s
        self._began_s = clock_s()
        self._over = False

    @classmethod
    def begin(cls, dump: Callable[[], bytes], clock_s: Callable[[], float] = time.monotonic) -> Self | None:
        """Have a child call `dump`."""
        if sys.platform != "linux":
            return None
        try:
            file = os.memfd_create("checkpoint", os.MFD_CLOEXEC)
        except OSError:
            return None
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of threads that the child does not have: see above
                child = os.fork()
        except OSError:  # no memory, or no process, is left for it
            os.close(file)
            return None
        if child == 0:
            _pickle(dump, file, parent)
        return cls(child, file, clock_s)

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child

    def ended(self) -> Pickled | None:
        """The bytes, once they are there. Raises `PicklingError`; after either, everything of the child is gone."""
        found, status = os.waitpid(self._child, os.WNOHANG)
        if found == 0:
            if self._clock_s() - self._began_s < LIMIT_S:
                return None
            self.drop()
            raise PicklingError(f"the process that pickles was killed after {LIMIT_S:.0f} s")
        self._over = True
        try:
            if (code := os.waitstatus_to_exitcode(status)) != 0:
                raise PicklingError(f"the process that pickles {how_it_ended(code)}")
            return self._read()
        finally:
            os.close(self._file)

    def drop(self) -> None:
        """Kill the child, if it is still there."""
        if self._over:
            return
        self._over = True
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        os.close(self._file)

    def _read(self) -> Pickled:
        size = os.fstat(self._file).st_size
        head = os.pread(self._file, _FRAME.size, 0)
        if len(head) < _FRAME.size:
            raise PicklingError(f"the process that pickles left {size} bytes")
        magic, length, seconds = _FRAME.unpack(head)
        if magic != _MAGIC or _FRAME.size + length != size:
            raise PicklingError(f"the process that pickles left {size} bytes where it says {length}")
        with open(self._file, "rb", buffering=0, closefd=False) as file:
            file.seek(_FRAME.size)
            return Pickled(file.read(length), seconds)


def _pickle(dump: Callable[[], bytes], file: int, parent: int) -> NoReturn:
    """The child."""
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_parent(parent, signal.SIGKILL)
        gc.disable()  # it would write to every object, and so copy it
        began_s = time.perf_counter()
        payload = dump()
        seconds = time.perf_counter() - began_s
        left = memoryview(payload)
        os.lseek(file, _FRAME.size, os.SEEK_SET)
        while left:
            left = left[os.write(file, left) :]
        os.pwrite(file, _FRAME.pack(_MAGIC, len(payload), seconds), 0)
        code = 0
    except _ERRORS:
        code = 2
    finally:
        os._exit(code)
