"""What a process that trains may take: less of the processor than the others, so much memory, and no longer life than its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Final

__all__ = ["be_nice", "die_with_parent", "limit_memory"]

_PR_SET_PDEATHSIG: Final = 1
_NICE: Final = 10


def be_nice() -> None:
    """Let the poll loops on this machine go first; and leave Ctrl-C in the terminal to the parent."""
    os.nice(_NICE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def die_with_parent(parent: int) -> None:
    """End this process when its parent does, however that ends (on Linux; elsewhere at the next word to the parent)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was quicker than we were
        os._exit(1)


def limit_memory(bytes_max: int) -> None:
    """Allow `bytes_max` of address space beyond what this process has now; what asks for more gets a MemoryError."""
    limit = _address_space_bytes() + bytes_max
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
