"""A Faust app of our own, with nothing in it but a pipeline: what `stream-retrain run PIPELINE --engine faust` runs.

The order, and why:

1. The worker's thread begins first. It waits for Kafka, Redis and the source topic, and says so, as under the other engine: Faust itself
   only warns where a topic is missing, and lets the broker make it with as many partitions as the broker likes.
2. Once the worker waits for partitions, the app starts and joins the group.
3. When the process is told to stop, the worker commits and checkpoints; then the app leaves the group.

An app that has crashed is not started again: the process ends with what Faust said, and whoever looks after it starts another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import faust

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.faust.attachment import Attachment, GroupErrors, Work, leaves_when_stopped
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError, SettingsError
from stream_retrain.settings import Settings

__all__ = ["data_folder", "pipeline_app", "run_app"]

METADATA_MAX_AGE_MS: Final = 60_000
"""As under the other engine: a new partition is found within a minute, not five."""
LEAVE_TIMEOUT_S: Final = 3.0
CHATTY: Final = ("faust", "mode", "aiokafka", "stream_retrain.engines.faust.attachment")
"""Loggers that tell each step of the client; what the worker says of it is told once."""
_TRANSLATED: Final = frozenset(
    {
        "security.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.username",
        "sasl.password",
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.key.password",
    }
)
"""Of librdkafka's keys about security, those that Faust's client is given in its own words."""


def pipeline_app(pipeline: Pipeline, settings: Settings, instance: str, folder: Path) -> Any:
    """The app, and nothing in it yet. Raises `SettingsError` for a way to log in that Faust's client is not given."""
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.NOTSET if settings.log_level == "debug" else logging.WARNING)
    session_s = settings.session_timeout_ms / 1000
    servers = ";".join(f"kafka://{each.strip().rpartition('://')[2]}" for each in settings.kafka_bootstrap_servers.split(","))
    port = settings.faust_web_port
    return faust.App(
        settings.group_of(pipeline.name),
        broker=servers,
        broker_credentials=_credentials(settings.kafka),
        broker_client_id="stream_retrain",
        broker_session_timeout=session_s,
        broker_heartbeat_interval=max(
            0.3, min(0.5, session_s / 4)
        ),  # a rebalance is learned of with a heartbeat, and all stand still in it
        broker_request_timeout=max(40.0, session_s * 2),
        broker_max_poll_records=settings.poll_records_max,
        consumer_auto_offset_reset=settings.start,
        # Faust gives up every partition in each rebalance, so none stands still longer than it must only where there are few: a static
        # member that comes back causes none. It does so only beside an assignor that has nothing new to say when it joins: not Faust's.
        consumer_group_instance_id=instance if settings.static_membership else None,
        table_standby_replicas=0,
        consumer_metadata_max_age_ms=int(settings.kafka.get("topic.metadata.refresh.interval.ms", METADATA_MAX_AGE_MS)),
        stream_buffer_maxsize=settings.poll_records_max,
        stream_wait_empty=False,
        topic_disable_leader=True,
        store="memory://",
        datadir=str(folder),
        web_enabled=port is not None,
        web_host=settings.http_host,
        web_port=port or 6066,
    )


def run_app(app: Any, attachment: Attachment, work: Work, stop: Stop) -> None:
    """Learn until told to stop. Raises what ended the worker's thread, and `BrokerError` where Faust's app crashed."""
    asyncio.run(_run(app, attachment, work, stop))
    if attachment.error is not None:
        raise attachment.error


async def _run(app: Any, attachment: Attachment, work: Work, stop: Stop) -> None:
    attachment.start(work)
    await attachment.watch(until=lambda: attachment.wanted)
    membership, of_faust = GroupErrors(app), []
    try:
        if not attachment.ended:
            of_faust.append(starting := asyncio.ensure_future(app.start()))  # it returns with the first assignment, which may never come
            await attachment.watch(until=lambda: app.crashed or membership.refused() or _failed(starting) is not None)
    finally:
        attachment.stop()
        await attachment.watch(until=lambda: False)
        leaves_when_stopped(app)
        of_faust.append(asyncio.ensure_future(app.stop()))
        # Not `wait_for`: it waits for what it has cancelled, and Faust's services pass over a cancellation.
        await asyncio.wait(of_faust, timeout=max(0.1, min(LEAVE_TIMEOUT_S, stop.remaining_s())))
    if (error := _failed(of_faust[0])) is not None:
        raise BrokerError(f"Faust could not start: {error!r}") from error
    if attachment.error is None and membership.why:
        raise BrokerError(f"group {app.conf.id!r} does not take Faust's client in: {membership.why}")
    if app.crashed and attachment.error is None:
        raise BrokerError(f"Faust ended: {app.crash_reason!r}; what was not committed is learned again at the next start")


def _failed(task: asyncio.Future[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _credentials(kafka: dict[str, str]) -> Any:
    """Faust's words for librdkafka's keys."""
    protocol = kafka.get("security.protocol", "plaintext").upper()
    others = sorted(key for key in kafka if key.startswith(("sasl.", "ssl.", "security.", "enable.ssl")) and key not in _TRANSLATED)
    mechanism = kafka.get("sasl.mechanism", kafka.get("sasl.mechanisms", "GSSAPI")).upper()
    if protocol.startswith("SASL") and not mechanism.startswith(("PLAIN", "SCRAM")):
        others.append(f"sasl.mechanism = {mechanism}")
    if others:
        raise SettingsError(
            f"kafka: Faust's client is not given {', '.join(others)}: run with --engine kafka, or attach the pipeline to a Faust app whose"
            " broker_credentials you make yourself"
        )
    context = _context(kafka) if protocol.endswith("SSL") else None
    if protocol.startswith("SASL"):
        name, password = kafka.get("sasl.username"), kafka.get("sasl.password")
        return faust.SASLCredentials(username=name, password=password, ssl_context=context, mechanism=mechanism)
    return context


def _context(kafka: dict[str, str]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
        if (certificate := kafka.get("ssl.certificate.location")) is not None:
            context.load_cert_chain(certificate, kafka.get("ssl.key.location"), kafka.get("ssl.key.password"))
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"kafka: the files of ssl.ca.location and the like cannot be used: {error}") from None
    return context


@contextlib.contextmanager
def data_folder() -> Iterator[Path]:
    """Where Faust keeps the data of tables: there are none, and it makes the folder all the same."""
    with tempfile.TemporaryDirectory(prefix="stream_retrain-faust-") as folder:
        yield Path(folder)
