"""The keys that sign checkpoints and models.

The first key of a keyring signs, all of them verify. To rotate: put the new key first and keep the old one below it until
every checkpoint and model signed with it has been replaced; give the new file to every worker before any of them signs with it
by adding the key below the old one first.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from stream_retrain.codec.private_file import private_text
from stream_retrain.errors import SettingsError

__all__ = ["Key", "Keyring"]

_SECRET_BYTES_MIN: Final = 16
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A signing key; its id is public, its secret is at least 16 bytes and is in no `repr`."""

    id: str
    secret: bytes = dataclasses.field(repr=False)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise SettingsError("the id of a signing key is 1 to 64 letters, digits, dots, dashes and underscores")
        if len(self.secret) < _SECRET_BYTES_MIN:
            raise SettingsError(f"the secret of a signing key has {_SECRET_BYTES_MIN} bytes or more, not {len(self.secret)}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keyring:
    """Keys in order: the first signs, all verify. `signs=False` is unsigned mode, in which keys can still verify."""

    keys: tuple[Key, ...]
    signs: bool = True

    def __post_init__(self) -> None:
        if self.signs and not self.keys:
            raise SettingsError("there is no signing key in it; give one, or ask for unsigned mode")
        ids = [key.id for key in self.keys]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise SettingsError(f"several signing keys have the id {', '.join(map(repr, twice))}; give each its own")

    @classmethod
    def from_file(cls, path: Path) -> Keyring:
        """The keys of a file: lines `id:secret`, the secret in hexadecimal or base64; empty lines and `# comments` are skipped.

        A secret of hexadecimal digits only is read as hexadecimal. `openssl rand -hex 32` makes a good one. A file that others on this
        host can read or write is refused.
        Raises SettingsError, which names the file and the line but never shows a secret.
        """
        lines = private_text(path, "signing key").splitlines()
        keys = []
        for at, line in enumerate(lines, 1):
            if text := line.partition("#")[0].strip():
                with _named(f"{path}, line {at}"):
                    keys.append(_key(text))
        with _named(str(path)):
            return cls(keys=tuple(keys))

    @classmethod
    def unsigned(cls) -> Keyring:
        """Unsigned mode: nothing is signed, and whatever is unsigned and undamaged is believed."""
        return cls(keys=(), signs=False)

    @property
    def signing_key(self) -> Key | None:
        return self.keys[0] if self.signs else None

    def get(self, key_id: str) -> Key | None:
        """The key of that id, to verify with."""
        return next((key for key in self.keys if key.id == key_id), None)


@contextlib.contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise SettingsError(f"The signing key file {place}: {error}") from None


def _key(text: str) -> Key:
    """The key of a line. No part of the line is in a message: the halves may have been written the wrong way round."""
    key_id, colon, secret = (part.strip() for part in text.partition(":"))
    if not colon:
        raise SettingsError("it is not `id:secret`")
    try:
        decoded = bytes.fromhex(secret) if _HEX.fullmatch(secret) else base64.b64decode(secret, validate=True)
    except ValueError:
        raise SettingsError("what follows the colon is neither hexadecimal nor base64") from None
    return Key(id=key_id, secret=decoded)
