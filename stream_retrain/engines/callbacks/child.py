"""The child process that makes the calls of one handler: a webhook (`run`), or a function of the user's module (forked by `forker`).

1. It receives a `Hello`, once `Up` was sent. What it must not be told on a command line comes this way.
2. It makes the handler ready, reads secrets, and sends `Ready` with its process id; if that fails, it sends `Broken` and ends.
3. For each `Call` it calls the handler, and sends `Done` or `Failed`.
4. It ends when its parent has ended, or when there was nothing to do for `IDLE_S_MAX`.

A call is given up by killing this process with all it has started, so nothing here handles a request to stop.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias

from stream_retrain.core.callbacks import Callback, Callbacks, NamedHandler, Webhook, handlers_of
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import serve_parent
from stream_retrain.engines.confine import end_with_parent, ignore_interrupts, limit_memory
from stream_retrain.errors import StreamRetrainError
from stream_retrain.facts.decision import Decision
from stream_retrain.facts.telling import raised
from stream_retrain.logs import LogSetup, set_up_logging
from stream_retrain.stores.versions_told import RegistryAccess

__all__ = [
    "Broken",
    "Call",
    "Done",
    "Failed",
    "Hello",
    "InModule",
    "Message",
    "OfModule",
    "Ready",
    "Up",
    "failure",
    "module_handlers",
    "run",
    "serve_function",
]

IDLE_S_MAX: Final = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class InModule:
    """A handler that is looked up in the user's module, by its name there."""

    target: str
    """The PIPELINE of the command line."""
    name: str


class OfModule(NamedTuple):
    """What was found in the user's module."""

    pipeline: Pipeline
    handlers: Mapping[str, NamedHandler]
    """By name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the child calls, and within which limits."""

    handler: InModule | Webhook
    memory_bytes_max: int | None = None
    log: LogSetup | None = None
    registry: RegistryAccess | None = None
    """Of an integration, where it finds the versions; None: it is only tried, and its `trial` is called."""


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """One decision, and the record's value as it stands in the topic."""

    decision: Decision
    value: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Up:
    """The process runs and reads messages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The process takes calls."""

    pid: int


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """The process cannot take calls, and another one could not either."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Done:
    """The call returned."""


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """The call failed. `again`: another attempt may succeed, but not before `after_s`. `worn`: another process is to make it."""

    error: str
    again: bool = True
    after_s: float = 0.0
    worn: bool = False


Message: TypeAlias = Up | Ready | Broken | Done | Failed
_Handle: TypeAlias = Callable[[Call], Done | Failed]


def main(descriptor: int, parent: int) -> None:
    """Send a webhook's requests for the parent at the other end of `descriptor`, until it has ended."""
    from stream_retrain.engines.callbacks.deliver import Delivery

    end_with_parent(parent)
    ignore_interrupts()
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(Up())
    hello: Hello | None = channel.receive(IDLE_S_MAX)
    if hello is None:
        return
    assert isinstance(hello.handler, Webhook), "functions are called by forked children"
    if hello.log is not None:
        set_up_logging(hello.log)
    try:
        handle = Delivery(hello.handler)
    except StreamRetrainError as error:
        channel.send(Broken(failure(error)))
        return
    _serve(channel, handle)


def serve_function(channel: Channel, hello: Hello, module: OfModule) -> None:
    """Call a function of the user's, or an integration, for the parent at the other end, until it has ended. Raises EOFError, OSError."""
    assert isinstance(hello.handler, InModule), "webhooks need no module"
    with contextlib.redirect_stdout(sys.stderr):
        try:
            function = _function_of(module.handlers[hello.handler.name], module.pipeline, hello.registry)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - what an integration builds is foreign code
            channel.send(Broken(failure(error)))
            return
        if hello.memory_bytes_max is not None:
            limit_memory(hello.memory_bytes_max)
        _serve(channel, lambda call: _called(function, call))


def module_handlers(target: str) -> OfModule:
    """A pipeline and its handlers. Raises what loading the user's module raises."""
    from stream_retrain.loading import load_pipeline

    with contextlib.redirect_stdout(sys.stderr):
        pipeline = load_pipeline(target)
        return OfModule(pipeline, {each.name: each for each in handlers_of(pipeline)})


def failure(error: BaseException) -> str:
    """Why a handler could not be made ready, in words."""
    return str(error) if isinstance(error, StreamRetrainError) else raised(error)


def _serve(channel: Channel, handle: _Handle) -> None:
    channel.send(Ready(os.getpid()))
    while (call := channel.receive(IDLE_S_MAX)) is not None:
        channel.send(handle(call))


def _function_of(handler: NamedHandler, pipeline: Pipeline, registry: RegistryAccess | None) -> Callback:
    declared = handler.declared
    if isinstance(declared, Callbacks):
        assert handler.occasion is not None, "a function is one of the callbacks"
        return declared.functions()[handler.occasion]
    assert not isinstance(declared, Webhook), "webhooks are sent by a process of their own"
    return declared.trial() if registry is None else declared.build(registry.open(pipeline))


def _called(function: Callback, call: Call) -> Done | Failed:
    try:
        function(call.decision)
    except MemoryError:
        return Failed("MemoryError: it took more than memory_bytes_max", worn=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code
        return Failed(raised(error))
    return Done()


def run(arguments: list[str]) -> None:
    """The process: its end of the channel, as a file descriptor, and its parent's id."""
    serve_parent(main, arguments)
