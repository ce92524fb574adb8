"""Several worker processes side by side, each with its own slot, one consumer and one core: what `run --workers N` does.

A process that ends before it was told to is started again, after a pause that doubles from half a second to thirty while it does
not run for a minute. It finds the slot it had, so it is the same static member of the group: nobody else's shards move. One that
ends with exit code 2 will not do better next time (arguments, settings, pipeline): then all are stopped.
"""

from __future__ import annotations

import dataclasses
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

__all__ = ["WorkerCommand", "run_workers"]

LOG: Final = logging.getLogger("stream_retrain.workers")
WAIT_MIN_S: Final = 0.5
WAIT_MAX_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
LOOK_EVERY_S: Final = 0.1
USAGE: Final = 2


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerCommand:
    """What one worker process is started with."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


@dataclasses.dataclass(slots=True)
class _Running:
    command: WorkerCommand
    process: subprocess.Popen[bytes]
    started_s: float
    wait_s: float = WAIT_MIN_S
    again_at_s: float | None = None


def run_workers(commands: Sequence[WorkerCommand], stop: Callable[[], bool], timeout_s: float) -> int:
    """Keep one process for each command until `stop()`; then SIGTERM, `timeout_s` to end, SIGKILL. The exit code for the parent."""
    workers = [_Running(command, _start(command), time.monotonic()) for command in commands]
    code = 0
    try:
        while not stop() and code != USAGE:
            for number, worker in enumerate(workers):
                code = max(code, _look_after(number, worker))
            time.sleep(LOOK_EVERY_S)
    finally:
        _stop(workers, timeout_s)
    return code


def _start(command: WorkerCommand) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C comes to this process alone, which asks the others once.
    return subprocess.Popen(list(command.arguments), env=dict(command.environment), start_new_session=True)


def _look_after(number: int, worker: _Running) -> int:
    """Start a process again that has ended, in its time; 2 where that would be of no use."""
    now_s = time.monotonic()
    if worker.again_at_s is not None:
        if now_s >= worker.again_at_s:
            worker.process, worker.started_s, worker.again_at_s = _start(worker.command), now_s, None
        return 0
    code = worker.process.poll()
    if code is None:
        return 0
    if code == USAGE:
        return USAGE
    if now_s - worker.started_s > STEADY_AFTER_S:
        worker.wait_s = WAIT_MIN_S
    LOG.warning("worker process %d ended with exit code %d; starting it again in %.1f s", number, code, worker.wait_s)
    worker.again_at_s = now_s + worker.wait_s
    worker.wait_s = min(WAIT_MAX_S, worker.wait_s * 2)
    return 0


def _stop(workers: Sequence[_Running], timeout_s: float) -> None:
    until_s = time.monotonic() + timeout_s
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGTERM)
    for worker in workers:
        try:
            worker.process.wait(max(0.1, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
