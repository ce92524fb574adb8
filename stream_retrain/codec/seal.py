"""The envelope of checkpoints and models: who made them from what, and proof that nobody changed them since.

A sealed blob is

    magic "SRS1" | header length, 4 bytes | payload length, 8 bytes | digest, 32 bytes | header, JSON | payload

The digest covers everything but itself, lengths included, so that nothing can be shifted between header and payload. With a key
it is HMAC-SHA256 and the header names the key; unsigned it is SHA-256, which finds damage but no forgery.

Rules: the payload is bytes and stays bytes, nothing is unpickled here; `unseal` returns only what it has verified; a caller
then compares the header with the shard it asked for, because a genuine blob of another shard verifies as well. Blobs go to
places that others can write to, keys never do.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final, NamedTuple

import msgspec

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.errors import StateError

__all__ = ["Header", "Versions", "seal", "unseal"]

FAMILY: Final = b"SRS"
_MAGIC: Final = b"SRS1"
_FRAME: Final = struct.Struct(">4sIQ32s")
_DIGESTED: Final = _FRAME.size - 32
_HEADER_BYTES_MAX: Final = 65_536
_REMEDY: Final = "delete it; an older one is used, or the shard learns again from the log"


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What the payload was made with; pickled models may not load under another version."""

    stream_retrain: str
    river: str
    python: str
    numpy: str
    arithmetic: str = ""
    """Of the project's own models (`models.arithmetic`); empty: of a release whose models computed with the C library."""

    def unpickles_under(self, other: Versions) -> bool:
        """Whether what was pickled under these can be unpickled under `other`: the same River, the same minor version of Python."""
        return self.river == other.river and self.python.split(".")[:2] == other.python.split(".")[:2]


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a sealed payload is, and the shard, log position and code it belongs to."""

    kind: str
    """`checkpoint` or `model`."""
    pipeline: str
    pipeline_digest: str
    topic: str
    partition: int
    offset: int
    """The payload holds what was learned below this offset, with which learning goes on."""
    generation: int
    versions: Versions
    schema: int = 0
    """The layout of the payload (`codec.checkpoint.STATE_SCHEMA`); 0: of a release that did not count it."""
    parts: dict[str, str] = {}
    """What it depends on, part by part (`Pipeline.parts`)."""
    waiting: int | None = None
    """Questions in it that wait for their labels; None: its release did not say."""
    topic_id: str = ""
    """Kafka's id of the topic: another one under the same name has another id; empty where it is not known."""
    list_of_parts: str = ""
    """The digest of the list of what the payload names and does not hold, which a store keeps beside it; empty: it holds all."""
    extra: dict[str, str] = {}


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The header as it is written; `key` is the id of the key that signed, None where none did."""

    key: str | None
    header: Header


class _Parts(NamedTuple):
    framed: bytes
    digest: bytes
    head: _Head
    head_bytes: bytes
    payload: memoryview


def seal(header: Header, payload: bytes, keyring: Keyring) -> bytes:
    """`payload` under `header`, signed with the keyring's first key, or unsigned in unsigned mode.

    Raises ValueError if the header is longer than 64 KiB.
    """
    key = keyring.signing_key
    head = msgspec.json.encode(_Head(key=key.id if key else None, header=header))
    if len(head) > _HEADER_BYTES_MAX:
        raise ValueError(f"a header of {len(head)} bytes is longer than {_HEADER_BYTES_MAX}: put less into `extra`")
    framed = _FRAME.pack(_MAGIC, len(head), len(payload), bytes(32))[:_DIGESTED]
    return b"".join((framed, _digest(key, framed, head, payload), head, payload))


def unseal(data: bytes, keyring: Keyring, *, where: str = "The sealed blob") -> tuple[Header, bytes]:
    """The header and payload of `data`, verified; `where` begins the message of an error and should name the key or file.

    With a keyring, an unsigned blob is refused. In unsigned mode, a signed one is refused unless its key is known, because a
    signature that nobody can check is more likely a lost key file than a wish.

    Raises StateError if it is damaged, cut short, changed, of another format, or signed by a key that is not in the keyring.
    """
    parts = _split(data, where)
    key = _verifying_key(parts.head, keyring, where)
    if not hmac.compare_digest(parts.digest, _digest(key, parts.framed, parts.head_bytes, parts.payload)):
        if key is None:
            raise StateError(f"{where} is damaged, its checksum differs: {_REMEDY}")
        raise StateError(
            f"{where} was changed or damaged after it was sealed, or another secret goes by the key id {key.id!r}: "
            f"see that the signing key file is the one it was sealed with; if it is, find out who can write there, then {_REMEDY}"
        )
    return parts.head.header, bytes(parts.payload)


def _split(data: bytes, where: str) -> _Parts:
    if not data.startswith(FAMILY) or len(data) < _FRAME.size:
        raise StateError(f"{where} is not a sealed blob ({len(data)} bytes, no such beginning): {_REMEDY}")
    magic, head_size, payload_size, digest = _FRAME.unpack_from(data)
    if magic != _MAGIC:
        raise StateError(f"{where} has seal format {magic!r}, this release reads {_MAGIC!r}: use the release that wrote it, or {_REMEDY}")
    size = _FRAME.size + head_size + payload_size
    if len(data) != size or head_size > _HEADER_BYTES_MAX:
        raise StateError(f"{where} has {len(data)} bytes where its frame says {size}, so it was cut short or damaged: {_REMEDY}")
    head_bytes = data[_FRAME.size : _FRAME.size + head_size]
    try:
        head = msgspec.json.decode(head_bytes, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"{where} has a header that cannot be read ({error}), so it was damaged: {_REMEDY}") from error
    return _Parts(data[:_DIGESTED], digest, head, head_bytes, memoryview(data)[_FRAME.size + head_size :])


def _verifying_key(head: _Head, keyring: Keyring, where: str) -> Key | None:
    if head.key is None:
        if keyring.signs:
            raise StateError(
                f"{where} is not signed, and this worker takes only signed ones: {_REMEDY}; "
                "or, if none but you can write there, allow unsigned ones until it is replaced"
            )
        return None
    if (key := keyring.get(head.key)) is not None:
        return key
    known = ", ".join(repr(key.id) for key in keyring.keys) or "no keys"
    raise StateError(
        f"{where} is signed with the key {head.key!r}, and this worker has {known}: "
        f"give it a signing key file with that key (it may stand below the first), or {_REMEDY}"
    )


def _digest(key: Key | None, framed: bytes, head: bytes, payload: bytes | memoryview) -> bytes:
    hashed = hmac.new(key.secret, digestmod=hashlib.sha256) if key else hashlib.sha256()
    hashed.update(framed)
    hashed.update(head)
    hashed.update(payload)
    return hashed.digest()
