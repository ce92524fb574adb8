"""Several worker processes side by side, each with its own instance name, one consumer and one core: what `run --workers N` does.

A process that fails is started again, after an exponential back-off from half a second to thirty. One that ran for longer than a minute
begins with the shortest pause again. One that ends without a fault was told to by somebody else, and is started again at once: so a
SIGTERM to one worker process after another is a rolling restart. The new process gets the instance name of the old one, so it is the
same static member of the group, and no shard moves.

A worker process ends with its parent, however that ends (`engines.parent`): otherwise a parent that was killed and started again would
compete with processes nobody looks after, which run the code of before.

Exit code 2 means that the arguments, the settings or the pipeline are wrong. Starting such a process again would not help, so all
processes are stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stream_retrain.engines.backoff import STEADY_AFTER_S, Backoff

__all__ = ["PARENT_VARIABLE", "SOCKET_VARIABLE", "WorkerCommand", "run_fleet"]

LOG: Final = logging.getLogger("stream_retrain.workers")
WAIT_MAX_S: Final = 30.0
LOOK_EVERY_S: Final = 0.1
TOLD_AFTER_S: Final = 1.0
"""One that ends earlier was hardly told to: whatever ends it may do so again at once."""
USAGE: Final = 2
PARENT_VARIABLE: Final = "_STREAM_RETRAIN_PARENT"
"""Tells a worker process the id of its parent; not a setting."""
SOCKET_VARIABLE: Final = "_STREAM_RETRAIN_SOCKET"
"""Tells a worker process where to serve for its parent; not a setting."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerCommand:
    """What one worker process is started with."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclasses.dataclass(slots=True)
class _Worker:
    """A command and its process; `process` is None from its end until it is started again."""

    command: WorkerCommand
    process: subprocess.Popen[bytes] | None
    started_s: float
    backoff: Backoff = dataclasses.field(default_factory=lambda: Backoff(max_s=WAIT_MAX_S))


def run_fleet(
    commands: Sequence[WorkerCommand], stop: Callable[[], bool], timeout_s: float, started: Callable[[int], None] = lambda _: None
) -> int:
    """Keep one process running for each command until `stop()`; the exit code for the parent.

    `started` is told the number of each process that is started, in the order of `commands`. At the end every process gets SIGTERM,
    and SIGKILL if it has not ended within `timeout_s`.
    """
    workers = [_Worker(command, _start(command), time.monotonic()) for command in commands]
    for number in range(len(workers)):
        started(number)
    code = 0
    try:
        while not stop() and code != USAGE:
            for number, worker in enumerate(workers):
                code = max(code, _check(number, worker, started))
            time.sleep(LOOK_EVERY_S)
    finally:
        _stop(workers, timeout_s)
    return code


def _start(command: WorkerCommand) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C reaches this process alone, which then tells each of the others once.
    return subprocess.Popen(list(command.arguments), env={**command.environment, PARENT_VARIABLE: str(os.getpid())}, start_new_session=True)


def _check(number: int, worker: _Worker, started: Callable[[int], None]) -> int:
    """Start a process again that has ended, when its back-off is over. Returns 2 if starting it again would not help, else 0."""
    now_s = time.monotonic()
    if worker.process is None:
        if worker.backoff.may_try(now_s):
            worker.process, worker.started_s = _start(worker.command), now_s
            started(number)
        return 0
    code = worker.process.poll()
    if code is None:
        return 0
    if code == USAGE:
        return USAGE
    if now_s - worker.started_s > STEADY_AFTER_S:
        worker.backoff.reset()
    if code == 0 and now_s - worker.started_s >= TOLD_AFTER_S:
        LOG.info("worker process %d was told to stop; starting it again", number)
        worker.process, worker.started_s = _start(worker.command), now_s
        started(number)
        return 0
    worker.process = None
    pause_s = worker.backoff.failed(now_s)
    LOG.error("worker process %d ended with exit code %d; starting it again in %.1f s", number, code, pause_s)
    return 0


def _stop(workers: Sequence[_Worker], timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    running = [worker.process for worker in workers if worker.process is not None]
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.wait(max(0.1, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
