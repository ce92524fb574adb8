"""A process that has loaded the user's module once, and forks the children that call its functions.

Loading a module with River takes seconds, and a fork milliseconds: so a child that was ended is back at once, and the children share the
memory of what is loaded. A module that is edited meanwhile is loaded again only by a new process.

The parent passes one end of a connection for each child. The forker sends `Up` there and receives the `Hello`; with the first it loads the
module. Then it forks, and the child goes on with the connection. Where the module cannot be loaded, each connection gets a `Broken`.
The forker has no threads of its own. It ends with its parent, and its children end with it.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
from typing import Final

from stream_retrain.engines.callbacks.child import Broken, Hello, InModule, OfModule, Up, failure, module_handlers, serve_function
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import serve_parent, start_child
from stream_retrain.engines.confine import end_with_parent, ignore_interrupts
from stream_retrain.logs import set_up_logging

__all__ = ["Forker", "run"]

HELLO_TIMEOUT_S: Final = 30.0


class Forker:
    """The parent's side: `fork` gives the connection to a new child. It is started with the first, and again after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def fork(self) -> Channel:
        """A connection at whose other end there will be a child, once it was told what to call."""
        ours, theirs = Channel.pair()
        try:
            self._pass(theirs.fileno())
        except OSError:  # it has ended
            self.close()
            self._pass(theirs.fileno())
        finally:
            theirs.close()
        return ours

    def close(self) -> None:
        """End the process, and so its children."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._control is not None:
            self._control.close()
            self._control = None

    def _pass(self, descriptor: int) -> None:
        if self._control is None:
            self._start()
        assert self._control is not None
        socket.send_fds(self._control, [b"1"], [descriptor])

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._process = start_child(__name__, theirs.fileno())
        theirs.close()
        self._control = ours


def main(descriptor: int, parent: int) -> None:
    """Fork a child for each connection that comes through `descriptor`, until the parent has ended."""
    end_with_parent(parent)
    ignore_interrupts()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets children that have ended
    control = socket.socket(fileno=descriptor)
    loaded: OfModule | Broken | None = None
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        channel = Channel(socket.socket(fileno=descriptors[0]))
        channel.send(Up())
        hello: Hello | None = channel.receive(HELLO_TIMEOUT_S)
        if hello is not None:
            assert isinstance(hello.handler, InModule), "others need no module"
            loaded = _loaded(hello, hello.handler.target) if loaded is None else loaded
            if isinstance(loaded, Broken):
                channel.send(loaded)
            elif os.fork() == 0:
                control.close()
                _as_child(channel, hello, loaded)
        channel.close()


def _loaded(hello: Hello, target: str) -> OfModule | Broken:
    if hello.log is not None:
        set_up_logging(hello.log)
    try:
        found = module_handlers(target)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is foreign code, and the parent must report what it raised
        return Broken(failure(error))
    gc.collect()
    gc.freeze()  # the memory that is shared stays shared
    return found


def _as_child(channel: Channel, hello: Hello, module: OfModule) -> None:
    """What a forked child does; it never returns."""
    forker = os.getppid()
    try:
        os.setpgid(0, 0)
        end_with_parent(forker)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        serve_function(channel, hello, module)
    except (EOFError, OSError):
        pass  # the parent has ended, so there is no one to report to
    finally:
        os._exit(0)  # whatever threads the user's code has left


def run(arguments: list[str]) -> None:
    """The process: its end of the connection, as a file descriptor, and its parent's id."""
    serve_parent(main, arguments)
