"""Limits on a child process that runs foreign code: a low priority, a maximum of memory, and an end no later than that of its parent."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Final

from stream_retrain.engines import parent as parents

__all__ = ["end_with_parent", "ignore_interrupts", "limit_memory", "lower_priority"]

_NICE: Final = 10


def lower_priority() -> None:
    """Let the poll loops on this machine run first, and leave Ctrl-C in the terminal to the parent."""
    os.nice(_NICE)
    ignore_interrupts()


def ignore_interrupts() -> None:
    """Leave Ctrl-C in the terminal to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_with_parent(parent: int) -> None:
    """End this process when its parent ends, for whatever reason (on Linux; elsewhere it ends at its next message to the parent)."""
    parents.end_with_parent(parent, signal.SIGKILL)


def limit_memory(bytes_max: int) -> None:
    """Allow `bytes_max` of address space beyond what this process has now; an allocation beyond that raises MemoryError."""
    limit = _address_space_bytes() + bytes_max
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
