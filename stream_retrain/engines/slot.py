"""A name for this worker process that is the same after a restart, and no other process's meanwhile.

Kafka's transactional.id is made of it, which asks for both:

- stable, because a worker that is killed leaves its transaction open, and readers of committed records wait at it until
  `transaction.timeout.ms` has passed. When a producer with the same id calls `init_transactions`, Kafka aborts that
  transaction at once. A random name would make every crash such a wait;
- unique, because to Kafka a second producer with the id is the first one's successor: it fences the first, that one starts
  again and fences the second, and neither gets anything done.

So a slot is a file under lock: the worker takes the lowest number whose lock is free and is called `<host>-<number>`. The
kernel frees the lock when the process ends, however it ends, so a restarted worker finds its own number free, and workers
side by side have different ones. Nothing is to be cleaned up, and no process id is compared that another may have by now.

The locks are seen by processes of one user on one host. Workers that share a host's name but not its temporary folder
(other users, containers on the host's network) must be given an `instance` each.
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

__all__ = ["Slot", "claim_slot"]

SLOTS_MAX: Final = 1_024
"""Workers of one group on one host."""


def claim_slot(group: str, instance: str | None) -> Slot:
    """Take a name in `group` for the life of this process: `instance` if it is given, else `<host>-<lowest free number>`.

    Raises SettingsError: a living process on this host has the instance already, there is no number left, or the folder of
    the locks cannot be had. An instance is then used without a lock: that it is unique was its giver's promise.
    """
    try:
        return _lowest(group) if instance is None else _given(group, instance)
    except OSError as error:
        if instance is not None:
            return Slot(instance, None)
        raise SettingsError(
            f"no place for the locks that tell workers apart: {error}; set TMPDIR to a folder this user can write to, or give the"
            " worker an instance of its own"
        ) from error


class Slot:
    """A name that is held until `release` or the end of the process, also when nothing refers to this object any more."""

    def __init__(self, name: str, locked: int | None) -> None:
        self.name = name
        self._locked = locked
        # A forked child shares the lock, and would keep it for as long as it outlives this process.
        os.register_at_fork(after_in_child=self.release)

    def release(self) -> None:
        """Let the name go; releasing again does nothing."""
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _lowest(group: str) -> Slot:
    for number in range(SLOTS_MAX):
        name = f"{socket.gethostname()}-{number}"
        locked = _lock(_lock_file(group, name))
        if locked is not None:
            return Slot(name, locked)
    raise SettingsError(f"{SLOTS_MAX:,} workers of group {group!r} run on this host already; give this one an instance of its own")


def _given(group: str, instance: str) -> Slot:
    file = _lock_file(group, instance)
    locked = _lock(file)
    if locked is None:
        raise SettingsError(
            f"instance: {instance!r} of group {group!r} is in use on this host, by process {file.read_text() or 'unknown'}; give each"
            " worker an instance of its own, or none"
        )
    return Slot(instance, locked)


def _lock_file(group: str, name: str) -> Path:
    """Hashed, because a group's name may be anything; a slot and an instance of one name are the same file."""
    return _folder() / f"{hashlib.sha256(group.encode()).hexdigest()[:16]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def _folder() -> Path:
    """This user's own folder: in one that others can write to, they could take the locks, or put links in their place."""
    folder = Path(tempfile.gettempdir(), f"stream_retrain-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{folder} is not this user's alone")
    return folder


def _lock(file: Path) -> int | None:
    """The open file, locked and with our process id in it; None if another has the lock."""
    while True:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(opened)
            return None
        # Whoever tidies temporary folders may have removed it in between: a lock on a file without a name excludes nobody.
        if os.fstat(opened).st_nlink:
            os.ftruncate(opened, 0)
            os.pwrite(opened, str(os.getpid()).encode(), 0)
            return opened
        os.close(opened)
