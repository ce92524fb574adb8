"""Who may read, and who may ask for something.

To read needs a token in the Authorization header, as Bearer, or as the password of Basic, so that a browser can ask a person
for it. To ask for something needs another token, as Bearer only, and is closed to everybody where there is none.

The name in Basic is not looked at. Tokens are compared in a time that does not depend on where they differ.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, Literal

__all__ = ["CHALLENGES", "OPEN_PATHS", "Access", "WriteAccess"]

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})
"""What probes ask, which have no token."""
CHALLENGES: Final = ('Basic realm="stream_retrain", charset="UTF-8"', 'Bearer realm="stream_retrain"')


class Access:
    """The token that is asked for; without one everything may be read by whoever can connect."""

    def __init__(self, token: str | None = None) -> None:
        self._digest = None if token is None else _digest(token.encode())

    def allows(self, path: str, authorization: str) -> bool:
        """Whether a request for the path with this header is answered."""
        if self._digest is None or path in OPEN_PATHS:
            return True
        given = _token_in(authorization)
        return given is not None and hmac.compare_digest(_digest(given), self._digest)


class WriteAccess:
    """The token that may ask for something; the one that reads is told apart, so that who has mixed them up is told so."""

    def __init__(self, token: str | None, read_token: str | None = None) -> None:
        self._digest = None if token is None else _digest(token.encode())
        self._of_reading = None if read_token is None else _digest(read_token.encode())

    def judged(self, authorization: str) -> Literal["closed", "write", "read", "none"]:
        """What a request with this header may do here."""
        if self._digest is None:
            return "closed"
        scheme, _, rest = authorization.strip().partition(" ")
        given = _digest(rest.strip().encode("latin-1", "replace")) if scheme.lower() == "bearer" else b""
        if hmac.compare_digest(given, self._digest):
            return "write"
        return "read" if self._of_reading is not None and hmac.compare_digest(given, self._of_reading) else "none"


def _digest(token: bytes) -> bytes:
    # Of equal length, whatever was sent: a comparison would otherwise tell the token's length.
    return hashlib.sha256(token).digest()


def _token_in(authorization: str) -> bytes | None:
    scheme, _, rest = authorization.strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer":
            return rest.encode("latin-1", "replace")
        case "basic":
            try:
                _, colon, password = base64.b64decode(rest, validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return None
            return password if colon else None
    return None
