"""How a command is told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["stop_on_signals"]

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def stop_on_signals() -> Callable[[], bool]:
    """A function that says whether SIGTERM, SIGINT or SIGHUP came; a second one ends the process at once.

    It says so in every thread, and even while the main thread is in a call that does not return: Python runs a handler in the main
    thread only, so the signal's number is also written to a pipe, at once, which a thread reads.
    """
    came: list[int] = []
    noted = threading.Event()

    def note(number: int, _: Any) -> None:
        if came:
            raise SystemExit(128 + number)
        came.append(number)

    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)

    def read() -> None:
        while numbers := os.read(readable, 64):
            if any(number in SIGNALS for number in numbers):
                noted.set()

    threading.Thread(target=read, name="signals", daemon=True).start()
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup has a process ignore SIGHUP
            signal.signal(number, note)
    return lambda: bool(came) or noted.is_set()
