"""The process of callbacks beside a worker: started with it, started again when it ends, stopped with it.

It tells its facts on its standard output, one JSON line each. A thread reads them; `look`, which the worker's loop calls every turn, passes
them on, so that views are told by one thread alone. Trouble of that process is not the worker's.
"""

from __future__ import annotations

import collections
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import msgspec

from stream_retrain.engines.backoff import STEADY_AFTER_S, Backoff
from stream_retrain.engines.fleet import PARENT_VARIABLE, WorkerCommand
from stream_retrain.facts.callbacks import CallbackFact, CallbacksChanged, CallbacksTold

__all__ = ["CallbacksKept", "fact_line", "read_line"]

LOG: Final = logging.getLogger("stream_retrain.callbacks")
WAIT_MAX_S: Final = 30.0
LINES_MAX: Final = 1_000
JOIN_S: Final = 1.0
_KINDS: Final[dict[str, type[CallbackFact]]] = {kind.__name__: kind for kind in (CallbacksTold, CallbacksChanged)}


def fact_line(fact: CallbackFact) -> bytes:
    """A fact as a line."""
    return msgspec.json.encode({type(fact).__name__: fact}) + b"\n"


def read_line(line: bytes) -> CallbackFact | None:
    """The fact of a line; None where it is none."""
    try:
        [(name, value)] = msgspec.json.decode(line, type=dict[str, msgspec.Raw]).items()
        return msgspec.json.decode(value, type=_KINDS[name])
    except (msgspec.DecodeError, KeyError, ValueError):
        return None


class CallbacksKept:
    """A context manager: the process runs inside of it."""

    def __init__(self, command: WorkerCommand, tell: Callable[[CallbackFact], None], timeout_s: float) -> None:
        """`timeout_s`: how long it may take to end what it does, once it is told to stop."""
        self._command = command
        self._tell = tell
        self._timeout_s = timeout_s
        self._told: collections.deque[CallbackFact] = collections.deque(maxlen=LINES_MAX)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def look(self, _: float) -> None:
        """Pass on what it has told."""
        while self._told:
            self._tell(self._told.popleft())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._lock:
            self._stop.set()
            process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(self._timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        backoff = Backoff(max_s=WAIT_MAX_S)
        while not self._stop.is_set():
            began_s = time.monotonic()
            code = self._once()
            if self._stop.is_set():
                break
            if time.monotonic() - began_s > STEADY_AFTER_S:
                backoff.reset()
            wait_s = backoff.failed(time.monotonic())
            LOG.error("the process of callbacks ended with exit code %d; starting it again in %.1f s", code, wait_s)
            self._told.append(CallbacksChanged(state="degraded", detail=f"its process ended with exit code {code}"))
            self._stop.wait(wait_s)

    def _once(self) -> int:
        """Start it, read what it tells until it ends; its exit code."""
        with self._lock:
            if self._stop.is_set():
                return 0
            environment = {**self._command.environment, PARENT_VARIABLE: str(os.getpid())}
            # In a session of its own: Ctrl-C reaches the worker alone, which then tells it once.
            process = subprocess.Popen(
                list(self._command.arguments), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
            )
            self._process = process
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                if (fact := read_line(line)) is not None:
                    self._told.append(fact)
        return process.wait()
