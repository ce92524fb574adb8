"""Signatures of webhooks by the Standard Webhooks specification (1.0, symmetric): made by the sender, verified by a receiver.

What is signed is `webhook-id`, `webhook-timestamp` and the body, with full stops between, by HMAC-SHA256. `webhook-signature` holds one
`v1,` and base64 for each secret, with spaces between: so a secret can be changed without a gap.

A secret is `whsec_` and the base64 of 24 to 64 bytes. This makes one:

    echo "whsec_$(head -c 32 /dev/urandom | base64 -w0)" > webhook.secret && chmod 600 webhook.secret
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from stream_retrain.codec.private_file import private_text
from stream_retrain.core.callbacks import Secret
from stream_retrain.errors import SettingsError, WebhookError

__all__ = ["read_secret", "signing_keys", "verify_webhook", "webhook_headers", "webhook_id"]

PREFIX: Final = "whsec_"
VERSION: Final = "v1"
KEY_BYTES: Final = (24, 64)
TOLERANCE_S: Final = 300.0
SECRETS_MAX: Final = 10
_SPACES: Final = re.compile(r"[\s,]+")


def verify_webhook(
    body: bytes, headers: Mapping[str, str], secret: str | Sequence[str], *, tolerance_s: float = TOLERANCE_S, now_s: float | None = None
) -> dict[str, Any]:
    """Verify that a request was sent by who has the secret, a short while ago, and return the CloudEvent that it holds.

    `body` must be the bytes as they came. `headers` are those of the request, by names in any case. `secret`: one, or several of which any
    may have signed. The same event may come more than once, under the same `webhook-id`.

    Raises `WebhookError`; answer such a request with 400 and do nothing. Raises `SettingsError` where the secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        id_, timestamp, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise WebhookError(f"the request has no header {missing.args[0]}: it is no signed webhook") from None
    if not re.fullmatch(r"[0-9]{1,12}", timestamp):
        raise WebhookError("webhook-timestamp is no whole number of seconds")
    away_s = (time.time() if now_s is None else now_s) - int(timestamp)
    if abs(away_s) > tolerance_s:
        raise WebhookError(f"it was sent {away_s:.0f} s ago, and {tolerance_s:g} s are allowed: see that both clocks are right")
    keys = signing_keys(secret if isinstance(secret, str) else " ".join(secret))
    wanted = [_signature(key, id_, timestamp, body).encode() for key in keys]
    came = [each.encode("utf-8", "replace") for each in signatures.split(" ")[: SECRETS_MAX * 2]]
    # Every pair is compared, each in constant time.
    if not any([hmac.compare_digest(each, other) for each in came for other in wanted]):  # noqa: C419 - no early end
        raise WebhookError("the signature is not one of this secret over this body")
    try:
        event = json.loads(body)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        raise WebhookError("the body is no JSON object")
    return event


def webhook_headers(id_: str, body: bytes, keys: Sequence[bytes], now_s: float) -> dict[str, str]:
    """The headers of a request; without keys it is not signed."""
    timestamp = str(int(now_s))
    signed = {"webhook-signature": " ".join(_signature(key, id_, timestamp, body) for key in keys)} if keys else {}
    return {"webhook-id": id_, "webhook-timestamp": timestamp, **signed}


def webhook_id(pipeline: str, decision: str) -> str:
    """The id of a decision's webhook: always the same, different for every pipeline, and without a full stop, as the specification asks."""
    return "msg_" + hashlib.sha256(f"{pipeline}\n{decision}".encode()).hexdigest()[:32]


def signing_keys(text: str) -> list[bytes]:
    """The keys of a text with one secret, or several with spaces or commas between. Raises `SettingsError`, without showing it."""
    secrets = [each for each in _SPACES.split(text) if each]
    if not 1 <= len(secrets) <= SECRETS_MAX:
        raise SettingsError(f"a webhook's secret is one to {SECRETS_MAX} of {PREFIX} and base64; there are {len(secrets)}")
    return [_key(each) for each in secrets]


def read_secret(secret: Secret) -> str:
    """What stands at the place that is named. Raises `SettingsError`, without showing it."""
    if secret.env is not None:
        value = os.environ.get(secret.env, "").strip()
        if not value:
            raise SettingsError(f"the environment variable {secret.env}, which is to hold a secret, is not set")
    else:
        value = private_text(Path(secret.file or ""), "secret").strip()
    if not value or not value.isascii():
        raise SettingsError(f"the secret at {secret} is empty, or not ASCII")
    return value


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SettingsError(f"a webhook's secret is {PREFIX} and base64, and this is something else") from None
    if not KEY_BYTES[0] <= len(key) <= KEY_BYTES[1]:
        raise SettingsError(f"a webhook's secret has {KEY_BYTES[0]} to {KEY_BYTES[1]} bytes, and this one has {len(key)}")
    return key


def _signature(key: bytes, id_: str, timestamp: str, body: bytes) -> str:
    signed = f"{id_}.{timestamp}.".encode("utf-8", "replace") + body
    return f"{VERSION},{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"
