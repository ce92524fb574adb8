"""Files that hold a secret: they must be closed to everybody else on the host."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from stream_retrain.errors import SettingsError

__all__ = ["is_open_to_others", "private_text", "read_token"]

_OTHERS: Final = stat.S_IRWXO
_GROUP: Final = stat.S_IRWXG
_GROUP_BEYOND_READING: Final = stat.S_IWGRP | stat.S_IXGRP
_TOKEN: Final = re.compile(r"[!-~]{16,1000}")


def private_text(path: Path, what: str) -> str:
    """The text of a file; `what` it is begins the message. Raises SettingsError where it cannot be read, or others can read or write it."""
    try:
        with path.open(encoding="utf-8-sig") as file:  # opened once, so that what is looked at is what is read
            found = os.fstat(file.fileno())
            mode = stat.S_IMODE(found.st_mode)
            if is_open_to_others(mode, owner=found.st_uid, reader=os.geteuid()):
                raise SettingsError(f"The {what} file {path} is open to others (its mode is {mode:04o}): chmod 600 {path}")
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"The {what} file {path} cannot be read: {reason}") from error


def is_open_to_others(mode: int, *, owner: int, reader: int) -> bool:
    """Whether a file of that mode may be known to more users of this host than it is for.

    Its group may read a file that belongs to another user (root) than the one who reads it: only so can root give a secret to a user. A
    Kubernetes secret under `fsGroup`, and a credential of systemd, whose access list shows as the group's rights, are such files.
    """
    return bool(mode & _OTHERS or mode & (_GROUP if owner == reader else _GROUP_BEYOND_READING))


def read_token(path: Path) -> str:
    """The token that a file holds. Raises SettingsError, which never shows it."""
    token = private_text(path, "token").strip()
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"The token file {path}: a token is one line of 16 to 1,000 letters, digits and signs; openssl rand -hex 32 makes one"
        )
    return token
