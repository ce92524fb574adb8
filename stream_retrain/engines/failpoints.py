"""Fail points: named places where a test can end a worker, one at every step of the protocol whose order matters.

    STREAM_RETRAIN_FAILPOINT=commit.produced       the process ends there, as by SIGKILL, the first time it reaches it
    STREAM_RETRAIN_FAILPOINT=commit.produced:7     the seventh time

A test in the same process arms a callable instead, which may raise. Where nothing is armed, `reach` costs a call and one
comparison, once a step and never once an event.

The steps are described where they are carried out: start, poll, assign, commit, revoke, lost and shutdown in `engines.kafka.worker` and
`engines.kafka.sink`, the inner steps of assign in `engines.driver.restore`, replay, checkpoint and input in `engines.driver.driver`.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Mapping
from typing import Final, Literal, NoReturn, TypeAlias

from stream_retrain.errors import SettingsError

__all__ = ["FAIL_POINTS", "VARIABLE", "FailPoint", "arm", "arm_from", "disarm", "reach"]

VARIABLE: Final = "STREAM_RETRAIN_FAILPOINT"
KILLED: Final = 137
"""The exit code of a process that was ended by SIGKILL, as a shell reports it."""

FailPoint: TypeAlias = Literal[
    "start.fenced",
    "assign.fenced",
    "assign.committed_read",
    "assign.claimed",
    "assign.checkpoint_read",
    "assign.restored",
    "assign.assigned",
    "poll.received",
    "poll.learned",
    "replay.learned",
    "replay.window_appended",
    "replay.live",
    "commit.due",
    "commit.begun",
    "commit.produced",
    "commit.offsets_sent",
    "commit.committed",
    "commit.noted",
    "commit.window_appended",
    "commit.aborted",
    "checkpoint.due",
    "checkpoint.window_appended",
    "checkpoint.parts_kept",
    "checkpoint.sealed",
    "checkpoint.saved",
    "version.kept",
    "version.written",
    "input.come",
    "input.kept",
    "input.received",
    "input.saved",
    "revoke.begun",
    "revoke.committed",
    "revoke.checkpointed",
    "revoke.released",
    "lost.begun",
    "lost.released",
    "shutdown.begun",
    "shutdown.committed",
    "shutdown.checkpointed",
    "shutdown.left",
]
FAIL_POINTS: Final[tuple[FailPoint, ...]] = typing.get_args(FailPoint)

_armed: Callable[[FailPoint], None] | None = None


def reach(point: FailPoint) -> None:
    """The worker has reached this step: it continues, unless something is armed."""
    if _armed is not None:
        _armed(point)


def arm(action: Callable[[FailPoint], None]) -> None:
    """Call `action` with every point that is reached, until `disarm`."""
    global _armed
    _armed = action


def disarm() -> None:
    """Do nothing at fail points from now on."""
    global _armed
    _armed = None


def arm_from(environ: Mapping[str, str]) -> None:
    """Arm the point that the variable names, if it is set. Raises SettingsError for an unknown name or a count that is no number."""
    if not (wanted := environ.get(VARIABLE)):
        return
    name, _, number = wanted.partition(":")
    if name not in FAIL_POINTS or not (number or "1").isdecimal():
        raise SettingsError(f"{VARIABLE}: {wanted!r} is not name or name:number with a name of {', '.join(FAIL_POINTS)}")
    left = int(number or 1)

    def end_at(point: FailPoint) -> None:
        nonlocal left
        if point == name:
            left -= 1
            if left <= 0:
                _end_process()

    arm(end_at)


def _end_process() -> NoReturn:
    os._exit(KILLED)
