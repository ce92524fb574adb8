"""`stream-retrain healthcheck`: for a container's HEALTHCHECK, where there is no curl."""

from __future__ import annotations

import http.client
import json
from typing import Annotated, Final

import typer

from stream_retrain.cli.output import SettingsFile, configured

__all__ = ["healthcheck"]

EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound to
UNHEALTHY: Final = 1
ANSWER_BYTES_MAX: Final = 65_536


def healthcheck(
    settings: SettingsFile = None,
    ready: Annotated[bool, typer.Option("--ready", help="Ask /readyz: whether it is at work, and not only alive.")] = False,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.1, max=60)] = 5.0,
) -> None:
    """Ask the worker of these settings whether it is well; one line, and exit code 0 or 1."""
    wanted = configured(settings)
    host = EVERY_ADDRESS.get(wanted.http_host, wanted.http_host)
    try:
        well, text = _asked(host, wanted.http_port, "/readyz" if ready else "/healthz", timeout_s)
    except (OSError, http.client.HTTPException) as error:
        well, text = False, f"no worker answers at {host}:{wanted.http_port}: {error or type(error).__name__}"
    typer.echo(" ".join(text.split()))
    raise typer.Exit(0 if well else UNHEALTHY)


def _asked(host: str, port: int, path: str, timeout_s: float) -> tuple[bool, str]:
    """Whether the answer is 200, and what it says."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()
    return response.status == 200, _told(body) or f"HTTP {response.status}"


def _told(body: bytes) -> str:
    """State and detail of a worker's answer; of any other, its text."""
    try:
        found = json.loads(body)["detail"]
        return f"{found['state']} {found['detail']}".strip()
    except (ValueError, TypeError, KeyError):
        return body.decode(errors="replace")
