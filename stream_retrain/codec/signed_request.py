"""Requests as signed records of a topic.

The header `request-signature` is `v1,KEY ID,HEX`: the HMAC-SHA256 of the record's value, byte for byte, under a key of a keyring of its own
(the setting `requests_key_file`). Each program that asks may have a key: the key's id says who asked.

A signed request names its pipeline, so that it is one for no other, and the time at which it was made (`at`), so that a copy of it is too
old one day. Until then a copy is the same request: its token is its own, or is made of its signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.errors import EventError

__all__ = ["SIGNATURE", "sign", "signed_by"]

SIGNATURE: Final = "request-signature"
_FORMAT: Final = re.compile(r"(?P<version>v\d{1,3}),(?P<key>[A-Za-z0-9._-]{1,64}),(?P<hex>[0-9A-Fa-f]{64})")
VERSION: Final = "v1"


def sign(value: bytes, key: Key) -> str:
    """The header's value."""
    return f"{VERSION},{key.id},{_hmac(value, key)}"


def signed_by(value: bytes, headers: Sequence[tuple[str, bytes | None]], keyring: Keyring) -> tuple[Key, str]:
    """The key that a record was signed with, and its HMAC in hexadecimal.

    Raises `EventError` where it was not, or something else is wrong with its signature.
    """
    given = [(text or b"").decode("utf-8", "replace") for name, text in headers if name == SIGNATURE]
    if len(given) != 1:
        found = "there is none" if not given else f"there are {len(given)}"
        raise _refused(f"a request is signed by one header {SIGNATURE}, and {found}")
    found_in = _FORMAT.fullmatch(given[0])
    if found_in is None:
        raise _refused(f"the header {SIGNATURE} is {VERSION},KEY ID,HEX with the 64 digits of an HMAC-SHA256, and not {given[0][:60]!r}")
    if found_in["version"] != VERSION:
        raise _refused(f"its signature is of format {found_in['version']}, and this release reads {VERSION}")
    key = keyring.get(found_in["key"])
    # It is compared also where the key is not known, so that the time says nothing.
    matches = hmac.compare_digest(_hmac(value, key or keyring.keys[0]), found_in["hex"].lower())
    if key is None:
        raise _refused(f"it is signed with the key {found_in['key']!r}, which is not in the file of requests_key_file")
    if not matches:
        raise _refused(f"the signature is none of the key {key.id!r} over this value: it was changed, or signed with another secret")
    return key, found_in["hex"].lower()


def _refused(detail: str) -> EventError:
    return EventError("signature", detail, SIGNATURE)


def _hmac(value: bytes, key: Key) -> str:
    return hmac.new(key.secret, value, hashlib.sha256).hexdigest()
