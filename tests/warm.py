"""`stream-retrain` in processes of its own that have imported River before they start: most of the time a worker starts goes into that.

A process of this file, the *parent*, imports what workers import and waits. Asked for a program, it forks; the child takes over the
arguments, the environment, the folder and the files that it was given, and runs `stream_retrain` as `python -m` does. All else is as with
any other process: its number, signals, memory, exit code. Tests of how a program starts run one by `subprocess` (`test_cli`,
`test_readme`, `tests/deploy`, `make chaos`).

The parent has no thread and no client of Kafka or Redis, so what it forks is sound. It ends with the process of the tests.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self, TextIO

__all__ = ["Process", "parent", "run", "start"]

IMPORTED: Final = (
    "stream_retrain.cli.run",
    "stream_retrain.compose",
    "stream_retrain.engines.kafka.tickets",
    "stream_retrain.engines.kafka.topic_range",
    "stream_retrain.engines.trainer.pool",
    "stream_retrain.engines.trainer.serve",
    "stream_retrain.models",
    "river.compose",
    "river.drift",
    "river.dummy",
    "river.linear_model",
    "river.metrics",
    "river.preprocessing",
    "river.tree",
)
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""For the parent: what libraries would begin threads by."""
ENDED: Final = struct.Struct("!i")
POLL_S: Final = 0.01
REQUEST_BYTES_MAX: Final = 1_000_000


class Process:
    """A program that was started, with those parts of `subprocess.Popen` that tests use. The other end of `status` tells how it ended."""

    def __init__(self, pid: int, stdout: TextIO, stderr: TextIO, status: int) -> None:
        self.pid, self.stdout, self.stderr = pid, stdout, stderr
        self.returncode: int | None = None
        self._status = status

    def poll(self) -> int | None:
        """The exit code; a negative one is a signal's number. None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            told = os.read(self._status, ENDED.size)
            os.close(self._status)
            assert told, "the parent of the program has ended before it"
            self.returncode = os.waitstatus_to_exitcode(*ENDED.unpack(told))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one. Raises `subprocess.TimeoutExpired`."""
        until_s = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if until_s is not None and time.monotonic() > until_s:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            time.sleep(POLL_S)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it writes until it ends. Raises `subprocess.TimeoutExpired`."""
        texts = ["", ""]

        def read(place: int, file: TextIO) -> None:
            with file:
                texts[place] = file.read()

        readers = [threading.Thread(target=read, args=each, daemon=True) for each in enumerate((self.stdout, self.stderr))]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return texts[0], texts[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it, if it runs, and close its files."""
        self.kill()
        self.wait(30)
        self.stdout.close()
        self.stderr.close()


class Parent:
    """The process that forks, and the connection to it."""

    def __init__(self) -> None:
        self._here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, **ONE_THREAD, "PYTHONHASHSEED": "0"}
        with there:
            command = [sys.executable, "-m", "tests.warm", str(there.fileno())]
            self._process = subprocess.Popen(
                command, env=environment, cwd=Path(__file__).parent.parent, stdin=subprocess.DEVNULL, pass_fds=[there.fileno()]
            )
        self.pid = self._process.pid
        atexit.register(self._end)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> Process:
        asked = json.dumps([list(arguments), dict(environment), str(folder)]).encode()
        (out, out_end), (err, err_end), (status, status_end) = os.pipe(), os.pipe(), os.pipe()
        ends = [out_end, err_end, status_end]
        socket.send_fds(self._here, [asked], ends)
        for end in ends:
            os.close(end)
        told = self._here.recv(ENDED.size)
        assert told, f"the parent of the programs has ended with {self._process.poll()}"
        return Process(*ENDED.unpack(told), os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"), status)

    def _end(self) -> None:
        self._here.close()
        self._process.wait(10)


@functools.cache
def parent() -> Parent:
    """The one of this process."""
    return Parent()


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> Process:
    """Run `stream-retrain` with these arguments and this environment, in the folder of this process. Read what it writes, or it waits."""
    return parent().start(arguments, {**environment, "PYTHONHASHSEED": "0"}, Path.cwd())  # the seed that what is forked has


def run(arguments: Sequence[str], environment: Mapping[str, str], timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Start it, wait until it has ended, and what came of it."""
    with start(arguments, environment) as process:
        out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(list(arguments), process.wait(), out, err)


def _serve(connection: socket.socket) -> tuple[list[str], dict[str, str], str] | None:
    """Fork for each request. Returns what was asked for in the child that is to do it, and None when the tests have ended."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell(running)
        if connection not in ready:
            continue
        asked, files, _, _ = socket.recv_fds(connection, REQUEST_BYTES_MAX, 3)
        if not asked:
            return None
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)  # heard also where the tests run in the background of a shell
            for number, file in enumerate(files[:2], 1):
                os.dup2(file, number)
            for file in (*files, *running.values(), woken, wake, connection.detach()):
                os.close(file)
            return tuple(json.loads(asked))
        running[pid] = files[2]
        for file in files[:2]:
            os.close(file)
        connection.send(ENDED.pack(pid))


def _tell(running: dict[int, int]) -> None:
    """Say of each child that has ended how it did."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            file = running.pop(ended[0])
            with contextlib.suppress(BrokenPipeError):
                os.write(file, ENDED.pack(ended[1]))
            os.close(file)


def _main() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is None:
        return
    arguments, environment, folder = asked
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[0] = folder
    sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.argv[1:] = arguments
    sys.stdout, sys.stderr = _stream(1, "strict"), _stream(2, "backslashreplace")
    runpy.run_module("stream_retrain", run_name="__main__", alter_sys=True)


def _stream(file: int, errors: str) -> TextIO:
    """As Python makes it of the file at its start."""
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(file, "w", closefd=False)), "utf-8", errors, line_buffering=file == 2)


if __name__ == "__main__":
    _main()
