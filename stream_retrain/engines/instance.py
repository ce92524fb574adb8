"""The instance name of a worker process: the same after a restart, and held by no other process meanwhile.

Kafka's `transactional.id` contains it, and needs both properties:

- Stable: a worker that is killed leaves its transaction open. Readers of committed records then wait at it until
  `transaction.timeout.ms` has passed, unless a producer with the same id calls `init_transactions`: Kafka then aborts the transaction
  at once. With a random name every crash would cause this wait.
- Unique: Kafka takes a second producer with the same id for the successor of the first, and fences the first. That one starts again
  and fences the second, and neither makes progress.

So a name is a locked file: a worker takes the lowest number whose lock is free, and is called `<host>-<number>`. The kernel frees the
lock when the process ends, however it ends. A restarted worker therefore finds its own number free, and workers side by side have
different numbers. There is nothing to clean up, and no process id is compared, which another process could have by now.

The locks are seen by the processes of one user on one host. Workers that share a host name but not its temporary folder (other
users, containers on the host's network) must each be given an `instance`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from stream_retrain.errors import SettingsError

__all__ = ["Instance", "claim_instance"]

INSTANCES_MAX: Final = 1_024
"""Workers of one group on one host."""


def claim_instance(group: str, instance: str | None) -> Instance:
    """Take a name in `group` for as long as this process runs: `instance` if it is given, else `<host>-<lowest free number>`.

    A given instance is used without a lock where the folder of the locks cannot be used: whoever gave it made sure that it is unique.
    Raises SettingsError where a running process on this host has the instance already, where no number is free, or where a number
    is needed and the folder of the locks cannot be used.
    """
    try:
        return _lowest(group) if instance is None else _given(group, instance)
    except OSError as error:
        if instance is not None:
            return Instance(instance, None)
        raise SettingsError(
            f"the folder of the locks that tell workers apart cannot be used: {error}; set TMPDIR to a folder this user can write to,"
            " or give the worker an instance of its own"
        ) from error


class Instance:
    """A name that is held until `release` or the end of the process, even when nothing refers to this object any more."""

    def __init__(self, name: str, locked: int | None) -> None:
        self.name = name
        self._locked = locked
        # A forked child shares the lock, and would hold it after this process has ended.
        os.register_at_fork(after_in_child=self.release)

    def release(self) -> None:
        """Free the name; calling it again does nothing."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _lowest(group: str) -> Instance:
    for number in range(INSTANCES_MAX):
        name = f"{socket.gethostname()}-{number}"
        locked = _lock(_lock_file(group, name))
        if locked is not None:
            return Instance(name, locked)
    raise SettingsError(f"{INSTANCES_MAX:,} workers of group {group!r} already run on this host; give this one an instance of its own")


def _given(group: str, instance: str) -> Instance:
    file = _lock_file(group, instance)
    locked = _lock(file)
    if locked is None:
        raise SettingsError(
            f"instance: {instance!r} of group {group!r} is in use on this host, by process {file.read_text() or 'unknown'}; give each"
            " worker an instance of its own, or none"
        )
    return Instance(instance, locked)


def _lock_file(group: str, name: str) -> Path:
    """Hashed, because a group's name may be any text; a given name and a numbered one that are equal have the same file."""
    return _folder() / f"{hashlib.sha256(group.encode()).hexdigest()[:16]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def _folder() -> Path:
    """This user's own folder: where others can write, they could take the locks or replace them by links."""
    folder = Path(tempfile.gettempdir(), f"stream_retrain-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def _lock(file: Path) -> int | None:
    """The open file, locked, with our process id in it; None if another process has the lock."""
    while True:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(opened)
            return None
        # A program that cleans temporary folders may have removed the file in between: a lock on a removed file excludes nobody.
        if os.fstat(opened).st_nlink:
            os.ftruncate(opened, 0)
            os.pwrite(opened, str(os.getpid()).encode(), 0)
            return opened
        os.close(opened)
