"""Signatures of requests: what a key has signed passes, and nothing else."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.signed_request import SIGNATURE, sign, signed_by
from stream_retrain.errors import EventError

OURS, FLOWS = Key(id="k1", secret=b"0123456789abcdef"), Key(id="airflow", secret=b"fedcba9876543210")
KEYS = Keyring(keys=(OURS, FLOWS))
VALUE = b'{"do": "retrain"}'
HEX = hmac.new(OURS.secret, VALUE, hashlib.sha256).hexdigest()


def test_what_a_key_has_signed_passes_and_names_it() -> None:
    assert sign(VALUE, OURS) == f"v1,k1,{HEX}"
    assert signed_by(VALUE, [(SIGNATURE, sign(VALUE, OURS).encode())], KEYS) == (OURS, HEX)
    assert signed_by(VALUE, [("other", None), (SIGNATURE, f"v1,k1,{HEX.upper()}".encode())], KEYS) == (OURS, HEX)
    assert signed_by(VALUE, [(SIGNATURE, sign(VALUE, FLOWS).encode())], KEYS)[0] is FLOWS


@pytest.mark.parametrize(
    ("value", "headers", "words"),
    [
        (VALUE, [], "and there is none"),
        (VALUE, [("Request-Signature", f"v1,k1,{HEX}".encode())], "and there is none"),
        (VALUE, [(SIGNATURE, f"v1,k1,{HEX}".encode())] * 2, "and there are 2"),
        (VALUE, [(SIGNATURE, None)], "and not ''"),
        (VALUE, [(SIGNATURE, b"\xff")], "is v1,KEY ID,HEX"),
        (VALUE, [(SIGNATURE, HEX.encode())], "is v1,KEY ID,HEX"),
        (VALUE, [(SIGNATURE, f"v1,k1,{HEX[:-1]}".encode())], "with the 64 digits"),
        (VALUE, [(SIGNATURE, f"v2,k1,{HEX}".encode())], "of format v2, and this release reads v1"),
        (VALUE, [(SIGNATURE, f"v1,k9,{HEX}".encode())], "signed with the key 'k9', which is not in the file"),
        (VALUE, [(SIGNATURE, f"v1,airflow,{HEX}".encode())], "none of the key 'airflow' over this value"),
        (VALUE + b" ", [(SIGNATURE, f"v1,k1,{HEX}".encode())], "none of the key 'k1' over this value"),
    ],
)
def test_anything_else_is_refused(value: bytes, headers: list[tuple[str, bytes | None]], words: str) -> None:
    with pytest.raises(EventError) as raised:
        signed_by(value, headers, KEYS)
    assert (raised.value.reason, raised.value.field) == ("signature", SIGNATURE)
    assert words in str(raised.value)
    assert HEX not in str(raised.value), "what is right is not said"
