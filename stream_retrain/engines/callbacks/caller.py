"""One handler's child process, and the code that watches it. Nothing here waits for the child.

Protocol of use: `submit` a call, then `poll` until it returns what became of it; then the next `submit`. The child is started with the
first call, and again after it has ended: forked where it calls a function of the user's, else a process of its own. A call that takes too
long is ended by killing the child and what it started (its process group).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final, Literal, assert_never

from stream_retrain.engines.callbacks.child import Broken, Call, Done, Failed, Hello, InModule, Message, Ready, Up
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import how_it_ended, start_child
from stream_retrain.errors import CallbackError

__all__ = ["Caller", "Ended"]

START_TIMEOUT_S: Final = 120.0
_CHILD: Final = "stream_retrain.engines.callbacks.child"


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """A call is over."""

    result: Done | Failed
    seconds: float


@dataclasses.dataclass(slots=True)
class _Child:
    channel: Channel
    since_s: float
    """When it was started, or got its call."""
    process: subprocess.Popen[bytes] | None = None
    """None: it is the forker's child."""
    pid: int | None = None
    """Of one that was forked, once it is ready."""
    state: Literal["starting", "loading", "idle", "busy"] = "starting"

    unsent: bool = False
    """It did not take the last message."""

    def end(self) -> int | None:
        """Kill it and what it started; its exit code, where that is known."""
        pid = self.pid if self.process is None else self.process.pid
        self.channel.close()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        return None if self.process is None else self.process.wait()


class Caller:
    """Makes the calls of one handler, one at a time."""

    def __init__(self, hello: Hello, timeout_s: float, forker: Forker, clock_s: Callable[[], float] = time.monotonic) -> None:
        """`forker` makes the child of a function."""
        self._hello = hello
        self._forker = forker
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._child: _Child | None = None
        self._call: Call | None = None

    @property
    def busy(self) -> bool:
        """Whether a call is being made, or waits for the child to be ready."""
        return self._call is not None

    @property
    def child_pid(self) -> int | None:
        """The child's process id, while there is a child."""
        return self._child.pid if self._child else None

    def submit(self, call: Call) -> None:
        """Make a call; there must be none under way."""
        assert self._call is None, "one call at a time"
        self._call = call
        if self._child is None:
            forked = isinstance(self._hello.handler, InModule)
            self._child = _Child(self._forker.fork(), self._clock_s()) if forked else _started(self._clock_s())
        elif self._child.state == "idle":
            self._begin(self._child, call)

    def poll(self) -> Ended | None:
        """What became of the call; None while it is under way. Raises `CallbackError` where no call can be made."""
        child = self._child
        if child is None:
            return None
        if child.unsent:
            return self._gone(child)
        try:
            for message in child.channel.arrived():
                if (ended := self._take(message, child)) is not None:
                    return ended
        except EOFError:
            return self._gone(child)
        took_s = self._clock_s() - child.since_s
        if child.state == "busy" and took_s > self._timeout_s:
            return self._over(Failed(f"it took longer than timeout_s={self._timeout_s:g}, and was ended", worn=True), took_s)
        if child.state in ("starting", "loading") and took_s > START_TIMEOUT_S:
            return self._over(Failed(f"its process was not ready within {START_TIMEOUT_S:g} s", worn=True), took_s)
        return None

    def close(self) -> None:
        """End the child, whatever it does."""
        self._call = None
        self._end_child()

    def _take(self, message: Message, child: _Child) -> Ended | None:
        match message:
            case Up():
                child.state = "loading"
                self._send(child, self._hello)
            case Ready(pid):
                child.state, child.pid = "idle", pid
                if self._call is not None:
                    self._begin(child, self._call)
            case Broken(error):
                self.close()
                raise CallbackError(error)
            case Done() | Failed():
                return self._over(message, self._clock_s() - child.since_s)
            case _:
                assert_never(message)
        return None

    def _begin(self, child: _Child, call: Call) -> None:
        child.state, child.since_s = "busy", self._clock_s()
        self._send(child, call)

    def _send(self, child: _Child, message: Hello | Call) -> None:
        """One that does not take it has ended, or is stuck: it is killed, and found ended at the next look."""
        try:
            child.channel.send(message)
        except OSError:
            child.unsent = True

    def _over(self, result: Done | Failed, seconds: float) -> Ended | None:
        if isinstance(result, Failed) and result.worn:
            self._end_child()
        elif self._child is not None:
            self._child.state = "idle"
        if self._call is None:
            return None
        self._call = None
        return Ended(result, seconds)

    def _gone(self, child: _Child) -> Ended | None:
        """The child has ended by itself: with a call, or idle, which is no fault."""
        code, took_s = child.end(), self._clock_s() - child.since_s
        self._child = None
        if self._call is None:
            return None
        if child.unsent:  # it had ended before it got the call
            call, self._call = self._call, None
            self.submit(call)
            return None
        return self._over(Failed(f"its process {'ended during the call' if code is None else how_it_ended(code)}"), took_s)

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _started(now_s: float) -> _Child:
    ours, theirs = Channel.pair()
    process = start_child(_CHILD, theirs.fileno())
    theirs.close()
    return _Child(ours, now_s, process)
