"""Ctrl-C while a backtest runs: it ends early, with what it has come to."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

__all__ = ["interruptions"]

SIGNALS: Final = (signal.SIGINT,)


@contextlib.contextmanager
def interruptions(signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[Callable[[], bool]]:
    """A function that says whether one of the signals came meanwhile; at the second one KeyboardInterrupt is raised.

    Python lets the main thread alone handle signals: elsewhere nothing is changed, and the function says no. Signals that are ignored
    stay so, and those that somebody else than Python handles.
    """
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    former: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        former = {each: signal.getsignal(each) for each in signals}
        former = {each: handler for each, handler in former.items() if handler not in (signal.SIG_IGN, None)}
    for each in former:
        signal.signal(each, note)
    try:
        yield lambda: bool(came)
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
