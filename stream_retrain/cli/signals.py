"""How a command is told to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

__all__ = ["stop_on_signals"]


def stop_on_signals() -> Callable[[], bool]:
    """A function that says whether SIGTERM, SIGINT or SIGHUP came; a second one ends the process at once.

    SIGHUP stays ignored where it was (`nohup`).
    """
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        if came:
            raise SystemExit(128 + number)
        came.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, note)
    return lambda: bool(came)
