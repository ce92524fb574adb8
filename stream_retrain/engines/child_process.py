"""A child process that runs this program's own code: how it is started, and how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

__all__ = ["how_it_ended", "serve_parent", "start_child"]


def start_child(module: str, descriptor: int, **environment: str) -> subprocess.Popen[bytes]:
    """Call `run` of a module in a process of its own, with the number of a file descriptor that it inherits, and this process's id.

    It finds what this process finds, whatever folder it runs in, has a process group of its own, and writes to standard error only.
    """
    program = f"import sys; from {module} import run; run(sys.argv[1:])"
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - what an empty entry means
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(descriptor), str(os.getpid())],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=2,  # standard output is for results
        process_group=0,
    )


def serve_parent(main: Callable[[int, int], None], arguments: Sequence[str]) -> None:
    """In the child: call `main` with what `start_child` gave, and end where the parent has ended, because there is no one to report to."""
    try:
        main(int(arguments[0]), int(arguments[1]))
    except (EOFError, OSError):
        os._exit(0)


def how_it_ended(code: int) -> str:
    """The exit code of a process in words, such as "ended with exit code 1" or "was ended by SIGKILL"."""
    return f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
