"""Secrets taken out of names, addresses and text, before anybody can read them: in a log line, a message, a `repr` or on a screen.

Three rules, each of which is enough by itself:

1. The value of a name that sounds like a secret (`sasl.password`, `ssl.key.pem`, `http_token`) is masked.
2. The password of an address (`redis://user:password@host`) is masked wherever the address stands in a text.
3. A value that is known to be a secret is masked wherever it stands, as it is, percent-encoded, or as a Python or JSON literal.

A known secret of fewer than four characters is left to the first two rules: to mask every `a` would leave no text.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["MASK", "Redactor", "is_secret_name", "url_redacted"]

MASK: Final = "***"
KNOWN_CHARS_MIN: Final = 4
_WORDS: Final = r"password|passwd|secret|token|pem|jaas|oauth|credential|api.?key|signing.?key|private.?key"
_NAME: Final = re.compile(_WORDS, re.IGNORECASE)
_ADDRESS: Final = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s\"'<>`]+")
# A name and its value in running text: `sasl.password=x`, `"token": "x"`, `'ssl.key.pem': 'x'`, `--token x` in a command. A path that
# ends in `.pem` is a place and no value.
_QUOTED: Final = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_BARE: Final = r"[^\s,;&)}\]\"']+"
_IN_TEXT: Final = re.compile(
    rf"((?<![\w./-])[\w.-]{{0,60}}?(?:{_WORDS})[\w-]{{0,60}})([\"']?\s?=\s?|[\"']\s?:\s?|:\s(?=[\"'])|:(?=\S))({_QUOTED}|{_BARE})",
    re.IGNORECASE,
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{4,}")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL)


def is_secret_name(name: str) -> bool:
    """Whether what has this name is to be masked."""
    return bool(_NAME.search(name))


def url_redacted(url: str) -> str:
    """Without the password, wherever it stands: after a name (which stays), alone before the `@`, or in the query."""
    url = re.sub(r"//(?:([^:@/]*:).*|[^:@/]+)@", rf"//\1{MASK}@", url)
    return re.sub(rf"([?&][^=&]*(?:{_WORDS})[^=&]*=)[^&]*", rf"\1{MASK}", url, flags=re.IGNORECASE)


class Redactor:
    """Masks the secrets it was given, and what looks like one."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        written = {form for secret in known if len(secret) >= KNOWN_CHARS_MIN for form in _forms(secret)}
        longest_first = sorted(written, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if written else None

    def text(self, text: str) -> str:
        """The text with every secret masked."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if "://" in text:
            text = _ADDRESS.sub(lambda found: url_redacted(found[0]), text)
        if "PRIVATE KEY" in text:
            text = _PEM.sub(MASK, text)
        text = _BEARER.sub(rf"\1 {MASK}", text)
        return _IN_TEXT.sub(lambda found: f"{found[1]}{found[2]}{MASK}", text)

    def value(self, name: str, value: Any) -> Any:
        """A value of any kind, by its name: text within lists and tables is masked too."""
        if value is not None and not isinstance(value, bool) and is_secret_name(name):
            return MASK
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {key: self.value(str(key), each) for key, each in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self.value(name, each) for each in value]
            case bool() | int() | float() | None:
                return value
        return self.text(str(value))


def _forms(secret: str) -> set[str]:
    """How a secret may be written."""
    escaped = repr(secret)[1:-1]
    return {secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret), escaped, json.dumps(secret)[1:-1]}
