"""The program's three streams: `main` owns them.

Standard output is for results alone: what the user's own code prints goes to standard error (`own_output`). A letter that a stream
cannot hold is written as an escape. A stream that cannot be written (a full disk, a closed pipe) is exit code 1 and one line,
never a traceback, not even Python's own at its end.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO

__all__ = ["BROKEN", "flushed", "own_output", "prepared", "say"]

BROKEN: Final = (OSError, ValueError)
"""What a stream raises that cannot be written: by the system, or because it is closed."""


def prepared() -> None:
    """Make both streams able to hold every letter."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def own_output() -> Iterator[None]:
    """Within it runs the user's code: what it prints goes to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def say(text: str) -> None:
    """One message to standard error; where that cannot be written, there is nobody to tell."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - not rich's: its wrapping and colours may fail on a broken stream
    except BROKEN:
        _let_go(sys.stderr)


def flushed() -> str | None:
    """Write out what both streams hold; why standard output could not be written, if it could not."""
    try:
        sys.stderr.flush()
    except BROKEN:
        _let_go(sys.stderr)
    try:
        sys.stdout.flush()
    except BROKEN as error:
        _let_go(sys.stdout)
        return getattr(error, "strerror", None) or str(error)
    return None


def _let_go(stream: TextIO) -> None:
    """Point a broken stream at nothing, so that Python does not fail on it once more at the end."""
    with contextlib.suppress(*BROKEN):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
