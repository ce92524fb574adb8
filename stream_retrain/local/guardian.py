"""Sees to it that nothing is left of a local stack, however the process that started it ends.

A guardian is a small process beside the stack's own. It holds the read end of a pipe, and the servers of the stack and their
directory are known to it; when the pipe closes (the stack was stopped, or its process was killed), it ends what is left.

    from the stack to the guardian       +PID  a server has started        -PID  it has been reaped        .  the stack has ended
    from the guardian to the stack       ready DIRECTORY                   any other line is why it could not begin

A server writes its own +PID, before it becomes the server: there is no moment in which it runs and is not known. The guardian makes
a temporary directory itself, for the same reason. It lives in a session of its own, so that Ctrl-C in a terminal reaches neither it nor
the servers before the stack has finished its own work. This file is run by its path, by the standard library alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

__all__ = ["Guardian"]

POLL_S = 0.5  # how often the guardian looks whether its parent lives: a forked relative of the parent may keep the pipe open
TERM_S = 5.0  # for servers on a directory that is kept
KILL_S = 5.0  # until the system has taken a killed process away
LOCK_S = 12.0  # for the guardian of an earlier stack on the same directory: longer than TERM_S and KILL_S
END_S = 60.0

# The stack hands the pipe to a server as its standard input; the shell registers itself, gives the pipe up and becomes the server.
REGISTERED = ("/bin/sh", "-c", 'echo "+$$" >&0 && exec "$@" </dev/null', "sh")


class Guardian:
    """The stack's end of the pipe: made first, ended last.

    Without `kept` there is a temporary `directory`, removed at the end; `kept` is left as it is. Raises LocalStackError.
    """

    def __init__(self, kept: Path | None = None) -> None:
        arguments = [str(os.getpid())] if kept is None else [str(os.getpid()), str(kept)]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._pipe = self._process.stdin
        self.directory = Path(self._answer())

    @property
    def pipe(self) -> int:
        """What a server is given as its standard input (see REGISTERED)."""
        if self._pipe.closed:
            raise _local_stack_error("it has been stopped")
        return self._pipe.fileno()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        with self._process.stdout as answers:
            word, _, directory = os.fsdecode(answers.readline()).rstrip("\n").partition(" ")
            if word == "ready":
                return directory
            reason = f"{word} {directory}\n{os.fsdecode(answers.read())}".strip()
        self.end()
        raise _local_stack_error(reason)

    def release(self, pid: int) -> None:
        """Forget a server: it has been reaped, and its number may soon be another's."""
        self._say(f"-{pid}\n")

    def end(self) -> None:
        """Have everything that is left ended and a temporary directory removed; returns when that is done."""
        if self._pipe.closed:
            return
        self._say(".\n")
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)

    def _say(self, line: str) -> None:
        if not self._pipe.closed:
            with contextlib.suppress(OSError):
                self._pipe.write(line.encode())


def _local_stack_error(reason: str) -> Exception:
    from stream_retrain.errors import LocalStackError

    return LocalStackError(f"the local stack cannot run: {reason}")


def main(parent: int, kept: Path | None = None) -> None:
    """Guard until the parent ends.

    1. Deaf to the signals that end a session: only the parent's end counts.
    2. Make the directory; or lock the one that is kept, so that no two stacks run on it. An earlier stack's guardian may still be at work.
    3. Keep the list of servers until the pipe says that this is the end.
    4. End them: on a directory that is kept, asked first; on one that goes, at once.
    5. Remove the temporary directory.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if kept is None:
        directory = Path(tempfile.mkdtemp(prefix="stream-retrain-"))
        say_ready(directory)
        kill(servers_at_the_end(parent))
        remove(directory)
        return
    with (kept / "lock").open("w") as lock:
        if not locked(lock.fileno()):
            sys.exit(f"another local stack runs on {kept}: stop it, or give another directory")
        say_ready(kept)
        servers = servers_at_the_end(parent)
        ask(servers)
        kill(servers)


def say_ready(directory: Path) -> None:
    with contextlib.suppress(OSError):  # a parent that is gone already is no reason to leave the directory behind
        os.write(1, os.fsencode(f"ready {directory}\n"))


def locked(file: int) -> bool:
    deadline = time.monotonic() + LOCK_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def servers_at_the_end(parent: int) -> set[int]:
    """The servers that are registered when the stack says that it has ended, or when its process has."""
    servers: set[int] = set()
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], POLL_S)
        if not readable:
            if os.getppid() != parent:
                return servers
            continue
        data = os.read(0, 65536)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"+"):
                servers.add(int(line[1:]))
            elif line.startswith(b"-"):
                servers.discard(int(line[1:]))
            else:
                return servers
        if not data:
            return servers


def ask(servers: Iterable[int]) -> None:
    for server in servers:
        send(server, signal.SIGTERM)
        send(server, signal.SIGCONT)
    wait(servers, TERM_S)


def kill(servers: Iterable[int]) -> None:
    for server in servers:
        send(server, signal.SIGKILL)
    wait(servers, KILL_S)


def wait(servers: Iterable[int], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while any(send(server, 0) for server in servers) and time.monotonic() < deadline:
        time.sleep(0.02)


def send(server: int, number: int) -> bool:
    """Send a signal to a server and what it started; false if it is gone.

    Each server leads a process group of its own, and no group can have the number of a process that is a stranger's.
    """
    try:
        os.killpg(server, number)
    except OSError:
        return False
    return True


def remove(directory: Path) -> None:
    for _ in range(5):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
