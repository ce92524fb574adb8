"""What a worker serves: its pages, with TLS and a token where the settings name files of them."""

from __future__ import annotations

import logging
from typing import Final

from stream_retrain.codec.private_file import private_text, read_token
from stream_retrain.compose.doors import ask_over_http
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings
from stream_retrain.views.access import WriteAccess
from stream_retrain.views.door import Door
from stream_retrain.views.history import History
from stream_retrain.views.http import Health, HttpServer, Pages, serve
from stream_retrain.views.metrics import Metrics
from stream_retrain.views.models import Models
from stream_retrain.views.status import Status
from stream_retrain.views.tls import server_context

__all__ = ["pages_of", "served_by"]

LOG: Final = logging.getLogger("stream_retrain.worker")


def served_by(settings: Settings, pages: Pages, pipeline: Pipeline) -> HttpServer:
    """Serve on the port, with TLS and tokens where the settings name files of them; who has the write token may ask the pipeline's shards.

    Raises `SettingsError`.
    """
    certificate, key, tls = settings.http_tls_cert_file, settings.http_tls_key_file, None
    if key is not None and certificate is None:
        raise SettingsError("http_tls_key_file is given, and http_tls_cert_file is not: name the certificate's file too")
    if certificate is not None:
        private_text(key or certificate, "TLS key" if key else "certificate and TLS key")
        tls = server_context(certificate, key)
    token = read_token(settings.http_token_file) if settings.http_token_file is not None else None
    write = read_token(settings.http_write_token_file) if settings.http_write_token_file is not None else None
    if write is not None and write == token:
        raise SettingsError("http_write_token_file and http_token_file hold the same token: who may read could ask for anything")
    door = Door(pipeline.name, ask_over_http(pipeline, settings), WriteAccess(write, token))
    server = serve(settings.http_host, settings.http_port, pages, settings.http_hosts, token=token, tls=tls, door=door)
    LOG.info("serving %s: a page, and /metrics /healthz /readyz /status", server.url)
    if not settings.http_is_loopback and token is None:
        LOG.warning("http_host is %s, and there is no http_token_file: whoever reaches it reads status and metrics", settings.http_host)
    elif not settings.http_is_loopback and tls is None:
        LOG.warning("http_host is %s, and there is no http_tls_cert_file: the token can be read on its way", settings.http_host)
    if not settings.http_is_loopback and write is not None and tls is None:
        LOG.warning("http_host is %s, without TLS: who reads the write token on its way may ask for anything", settings.http_host)
    return server


def pages_of(settings: Settings, status: Status, history: History, metrics: Metrics, models: Models, watchdog: Watchdog) -> Pages:
    """What is shown of a worker."""

    def healthy() -> Health:
        turning = watchdog.turning()
        detail = (
            status.detail if turning else f"the loop has not turned for {settings.loop_timeout_s:g} s: the process is about to end itself"
        )
        return Health(ok=turning and status.healthy(), detail={"state": status.state, "detail": detail})

    def ready() -> Health:
        found = status.readiness()
        detail = {"state": status.state, "detail": status.detail, **found.detail()}
        return Health(ok=watchdog.turning() and found.ok, detail=detail)

    shown = {"status": status.snapshot, "history": history.snapshot, "models": models.snapshot}
    return Pages(metrics=metrics.render, healthy=healthy, ready=ready, **shown)
