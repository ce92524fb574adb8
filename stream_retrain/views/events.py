"""Server-sent events: the status of now, once a second, to every page that is open.

A frame is made when somebody waits for it, at most one a period, and all who wait get the same one: so ten open pages cost the worker as
much as one. It is made in the thread of a request and never in the loop's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["FRAME_EVERY_S", "RETRY_MS", "Frames"]

FRAME_EVERY_S: Final = 1.0
RETRY_MS: Final = 2_000
"""How long a browser waits before it connects again."""


class Frames:
    """The frames of one event stream."""

    def __init__(self, status: Callable[[], object], every_s: float = FRAME_EVERY_S) -> None:
        self._status = status
        self._every_s = every_s
        self._lock = threading.Lock()
        self._number = 0
        self._made_s = float("-inf")
        self._frame = b""

    def __call__(self) -> bytes:
        """The frame of now."""
        with self._lock:
            if time.monotonic() - self._made_s >= self._every_s * 0.9:
                self._number += 1
                self._frame = b"id: %d\nevent: status\ndata: %b\n\n" % (self._number, msgspec.json.encode(self._status()))
                self._made_s = time.monotonic()
            return self._frame
