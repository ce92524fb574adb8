"""Ask the worker of these settings whether it is well: `stream-retrain healthcheck`, and the check of a container, which has no curl.

    python -m stream_retrain.ops.healthcheck

is the same without options, and imports neither River nor the command line: a tenth of a second of CPU, every time it is asked.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
from typing import Any, Final, NamedTuple

from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings, load_settings

__all__ = ["Answer", "ask_health"]

EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound to
ANSWER_BYTES_MAX: Final = 65_536
TIMEOUT_S: Final = 5.0


class Answer(NamedTuple):
    """Whether the worker is well, and one line."""

    well: bool
    text: str


def ask_health(settings: Settings, *, ready: bool = False, timeout_s: float = TIMEOUT_S) -> Answer:
    """What the worker's /healthz says, or its /readyz; that nobody answers is an answer, too."""
    host = EVERY_ADDRESS.get(settings.http_host, settings.http_host)
    try:
        status, body = _asked(_connection(host, settings, timeout_s), "/readyz" if ready else "/healthz")
    except (OSError, http.client.HTTPException) as error:
        return Answer(False, f"no worker answers at {host}:{settings.http_port}: {error or type(error).__name__}")
    return Answer(status == 200, " ".join(_told(body).split()) or f"HTTP {status}")


def _connection(host: str, settings: Settings, timeout_s: float) -> http.client.HTTPConnection:
    """By TLS, where the worker serves it. Its certificate is not verified: it is asked on its own host, and told nothing."""
    if settings.http_tls_cert_file is None:
        return http.client.HTTPConnection(host, settings.http_port, timeout=timeout_s)
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, settings.http_port, timeout=timeout_s, context=unverified)


def _asked(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _told(body: bytes) -> str:
    """State and detail of a worker's answer, or of each worker of `--workers N`; of any other, its text."""
    try:
        found = json.loads(body)["detail"]
        if "state" in found:
            return _standing(found)
        return "; ".join(f"worker {number}: {_standing(each['detail'])}" for number, each in found.items()) or "no worker"
    except (ValueError, TypeError, KeyError, AttributeError):
        return body.decode(errors="replace")


def _standing(found: dict[str, Any] | str) -> str:
    if isinstance(found, str):
        return found
    missing = "; ".join(found.get("missing", ()))
    return f"{found['state']} {found['detail']}" + (f" (not ready: {missing})" if missing else "")


def _main() -> int:
    """The exit code for a container engine: 0 well, 1 not."""
    try:
        answer = ask_health(load_settings())
    except SettingsError as error:
        answer = Answer(False, str(error))
    sys.stdout.write(f"{answer.text}\n")
    return int(not answer.well)


if __name__ == "__main__":
    sys.exit(_main())
