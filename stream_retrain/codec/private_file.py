"""Files that hold a secret: they must be closed to everybody else on the host."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Final

from stream_retrain.errors import SettingsError

__all__ = ["private_text", "read_token"]

_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_TOKEN: Final = re.compile(r"[!-~]{16,1000}")


def private_text(path: Path, what: str) -> str:
    """The text of a file; `what` it is begins the message. Raises SettingsError where it cannot be read, or others can read or write it."""
    try:
        with path.open(encoding="utf-8-sig") as file:  # opened once, so that what is looked at is what is read
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OPEN_TO_OTHERS:
                raise SettingsError(f"The {what} file {path} is open to others (its mode is {mode:04o}): chmod 600 {path}")
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise SettingsError(f"The {what} file {path} cannot be read: {reason}") from error


def read_token(path: Path) -> str:
    """The token that a file holds. Raises SettingsError, which never shows it."""
    token = private_text(path, "token").strip()
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"The token file {path}: a token is one line of 16 to 1,000 letters, digits and signs; openssl rand -hex 32 makes one"
        )
    return token
