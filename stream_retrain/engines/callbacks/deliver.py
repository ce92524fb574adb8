"""A webhook's request, made and judged: one POST, no redirects, TLS verified; the answer's body is not kept.

The address and the headers are those that the pipeline declares. Proxies are those of the environment (`https_proxy`), as for any program.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import re
import ssl
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from typing import Any, Final

from stream_retrain.codec.webhook import read_secret, signing_keys, webhook_headers, webhook_id
from stream_retrain.core.callbacks import PAUSE_S_MAX, Secret, Webhook
from stream_retrain.engines.callbacks.child import Call, Done, Failed
from stream_retrain.errors import SettingsError
from stream_retrain.facts.telling import cut

__all__ = ["CONTENT_TYPE", "Delivery"]

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
AGAIN: Final = frozenset({408, 425, 429})
ANSWER_BYTES_MAX: Final = 65_536
SHOWN_CHARS: Final = 200


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A signed body goes to the address that is declared and to no other."""


class Delivery:
    """Sends calls to a webhook. Raises `SettingsError` where a secret or a certificate cannot be read."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook
        self._keys = [] if webhook.secret is None else signing_keys(read_secret(webhook.secret))
        given = {name: read_secret(value) if isinstance(value, Secret) else value for name, value in webhook.headers.items()}
        self._headers = {"User-Agent": f"stream_retrain/{version('stream_retrain')}", **given, "Content-Type": CONTENT_TYPE}
        try:
            context = ssl.create_default_context(cafile=webhook.ca_file)
        except OSError as error:
            raise SettingsError(f"ca_file {webhook.ca_file}: {error.strerror or error}") from None
        self._opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect)

    def __call__(self, call: Call) -> Done | Failed:
        """Make one attempt."""
        decision, body = call.decision, call.value
        signed = webhook_headers(webhook_id(decision.pipeline, decision.id), body, self._keys, time.time())
        request = urllib.request.Request(self._webhook.url, data=body, headers={**self._headers, **signed}, method="POST")  # noqa: S310 - http or https
        try:
            with self._opener.open(request, timeout=self._webhook.timeout_s) as answer:
                answer.read(ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            with error:
                return _refused(error)
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, ssl.SSLCertVerificationError):
                return Failed(f"its certificate is not trusted: {reason.verify_message}; ca_file names others")
            return Failed(cut(f"it was not reached, or broke off: {str(reason) or type(reason).__name__}"))
        return Done()


def _refused(error: urllib.error.HTTPError) -> Failed:
    """What an answer that is no 2xx means. What stands in it is foreign text."""
    words = ""
    with contextlib.suppress(OSError, http.client.HTTPException):
        words = error.read(ANSWER_BYTES_MAX).decode("utf-8", "replace")
    shown = re.sub(r"[^\x20-\x7e]+", " ", words).strip()[:SHOWN_CHARS]
    said = f"it answered {error.code}{f': {shown}' if shown else ''}"
    if 300 <= error.code < 400:
        place = re.sub(r"[^!-~]+", "", error.headers.get("Location") or "")[:SHOWN_CHARS]
        return Failed(f"it answered {error.code}, and redirects are not followed: declare {place or 'the address meant'}", again=False)
    again = error.code in AGAIN or error.code >= 500
    return Failed(said, again=again, after_s=_retry_after_s(error.headers.get("Retry-After"), time.time()) if again else 0.0)


def _retry_after_s(text: str | None, now_s: float) -> float:
    """How long `Retry-After` asks to wait, seconds or a date; at most `PAUSE_S_MAX`."""
    text = (text or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(PAUSE_S_MAX, float(text))
    try:
        return min(PAUSE_S_MAX, max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now_s))
    except (ValueError, TypeError, OverflowError):
        return 0.0
