"""The app that `run --engine faust` makes: the worker's settings in Faust's words, and what Faust's client is not given."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import InconsistentGroupProtocolError
from faust.types.auth import AuthProtocol
from river import linear_model

from stream_retrain import Pipeline, Schema
from stream_retrain.engines.faust.app import CHATTY, data_folder, pipeline_app, run_app
from stream_retrain.engines.faust.attachment import Attachment, BothTurn, GroupErrors, Work
from stream_retrain.engines.kafka.clients import Clients
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError, SettingsError, StateError
from stream_retrain.settings import Settings

SCHEMA = Schema(id="id", label="y", features={"a": float})
PIPELINE = Pipeline(name="shop", task="binary", source="shop.events", schema=SCHEMA, model=linear_model.Perceptron())


@pytest.fixture(autouse=True)
def _levels() -> Iterator[None]:
    """Making an app makes Faust's loggers quiet, for the process of a worker."""
    before = {name: logging.getLogger(name).level for name in CHATTY}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def made(folder: Path, **settings: Any) -> Any:
    return pipeline_app(PIPELINE, Settings(**settings), "host-0", folder)


def test_the_group_sessions_and_brokers_are_the_worker_s(tmp_path: Path) -> None:
    conf = made(tmp_path, kafka_bootstrap_servers="one:9093, two:9094", session_timeout_ms=6_000, start="latest").conf
    assert conf.id == "stream_retrain.shop"
    assert [(url.host, url.port) for url in conf.broker] == [("one", 9093), ("two", 9094)]
    assert (conf.broker_session_timeout, conf.broker_heartbeat_interval, conf.consumer_auto_offset_reset) == (6.0, 0.5, "latest")
    assert conf.consumer_group_instance_id == "host-0"
    assert made(tmp_path, static_membership=False).conf.consumer_group_instance_id is None


def test_faust_s_web_server_is_off_unless_a_port_is_asked_for(tmp_path: Path) -> None:
    assert not made(tmp_path).conf.web_enabled
    asked_for = made(tmp_path, faust_web_port=6067).conf
    assert (asked_for.web_enabled, asked_for.web_port, asked_for.web_host) == (True, 6067, "127.0.0.1")


def test_faust_s_own_words_are_left_to_debug(tmp_path: Path) -> None:
    made(tmp_path)
    assert logging.getLogger("faust").getEffectiveLevel() == logging.WARNING
    made(tmp_path, log_level="debug")
    assert logging.getLogger("faust").level == logging.NOTSET


@pytest.mark.parametrize(
    ("kafka", "protocol", "mechanism"),
    [
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"}, AuthProtocol.SASL_PLAINTEXT, "SCRAM-SHA-512"),
        ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "PLAIN"}, AuthProtocol.SASL_SSL, "PLAIN"),
    ],
)
def test_a_name_and_a_password_are_handed_on(tmp_path: Path, kafka: dict[str, str], protocol: AuthProtocol, mechanism: str) -> None:
    credentials = made(tmp_path, kafka=kafka | {"sasl.username": "me", "sasl.password": "secret"}).conf.broker_credentials
    assert (credentials.protocol, credentials.username, credentials.password) == (protocol, "me", "secret")
    assert credentials.mechanism.value == mechanism


def test_tls_is_handed_on(tmp_path: Path) -> None:
    credentials = made(tmp_path, kafka={"security.protocol": "ssl"}).conf.broker_credentials
    assert isinstance(credentials.context, ssl.SSLContext)


@pytest.mark.parametrize(
    ("kafka", "why"),
    [
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism = OAUTHBEARER"),
        ({"security.protocol": "SSL", "ssl.keystore.location": "/k"}, "ssl.keystore.location"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}, "cannot be used"),
    ],
)
def test_a_way_to_log_in_that_is_not_handed_on_is_refused(tmp_path: Path, kafka: dict[str, str], why: str) -> None:
    """Else one client would get in, and the other fail again and again."""
    with pytest.raises(SettingsError, match=why):
        made(tmp_path, kafka=kafka)


class App:
    """As much of Faust as a run touches: it starts, and crashes if it is told to."""

    def __init__(self, real: Any, fails: str = "") -> None:
        self._real, self._fails = real, fails
        self.conf = real.conf
        self.calls: list[str] = []
        self.crashed = False
        self.crash_reason: BaseException | None = None
        self._consumer: Any = None
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        self.calls.append("start")
        if self._fails == "refused":
            coordinator = SimpleNamespace(_pending_exception=InconsistentGroupProtocolError(), _group_instance_id="host-0")
            self._consumer = SimpleNamespace(_thread=SimpleNamespace(_consumer=SimpleNamespace(_coordinator=coordinator)))
        if self._fails in ("refused", "no assignment"):
            await self._stopped.wait()
        if self._fails == "start":
            raise OSError("no broker")
        self.crashed, self.crash_reason = self._fails == "crash", RuntimeError("it was the agent")

    async def stop(self) -> None:
        self.calls.append("stop")
        self._stopped.set()


@pytest.mark.parametrize(("fails", "why"), [("start", "Faust could not start.*no broker"), ("crash", "Faust ended.*it was the agent")])
def test_a_faust_that_fails_ends_the_run_after_the_worker_has(tmp_path: Path, fails: str, why: str) -> None:
    told, ended = threading.Event(), threading.Event()
    app, attachment = attached(tmp_path, told, fails)

    def work(_: Clients) -> None:
        attachment.wanted = True
        assert told.wait(10)
        ended.set()

    with pytest.raises(BrokerError, match=why):
        run_app(app, attachment, work, watchdog())
    assert ended.is_set()
    assert app.calls == ["start", "stop"]


def test_a_group_that_takes_no_faust_in_ends_the_run_and_says_why(tmp_path: Path) -> None:
    """Faust would wait without end for its first partitions, and say nothing: nobody asks its client for the error."""
    told = threading.Event()
    app, attachment = attached(tmp_path, told, "refused")
    with pytest.raises(BrokerError, match=r"'stream_retrain.shop' does not take Faust's client in.*engine kafka: stop all of those first"):
        run_app(app, attachment, waiting(attachment, told), watchdog())
    assert app.calls == ["start", "stop"]


def test_an_error_of_the_group_that_passes_ends_nothing() -> None:
    coordinator, clock = SimpleNamespace(_pending_exception=None), SimpleNamespace(now_s=0.0)
    app = SimpleNamespace(_consumer=SimpleNamespace(_thread=SimpleNamespace(_consumer=SimpleNamespace(_coordinator=coordinator))))
    errors, lasts = GroupErrors(app, lambda: clock.now_s), OSError("it lasts")
    for clock.now_s, error, refused in (
        (0.0, None, False),
        (1.0, OSError("it passes"), False),
        (1.9, None, False),
        (2.5, lasts, False),
        (3.5, lasts, True),
    ):
        coordinator._pending_exception = error
        assert errors.refused() is refused
    assert errors.why == "OSError('it lasts')"
    assert not GroupErrors(SimpleNamespace(_consumer=None)).refused()


def test_a_worker_that_is_told_to_stop_before_it_has_partitions_stops(tmp_path: Path) -> None:
    """Faust's start returns with the first assignment: it was waited for, until the watchdog ended the process."""
    told = threading.Event()
    app, attachment = attached(tmp_path, told, "no assignment")
    threading.Timer(0.3, told.set).start()
    run_app(app, attachment, waiting(attachment, told), watchdog())
    assert app.calls == ["start", "stop"]


def waiting(attachment: Attachment, told: threading.Event) -> Work:
    """A worker that waits for partitions until it is told to stop."""

    def work(_: Clients) -> None:
        attachment.wanted = True
        assert told.wait(10)

    return work


def test_what_ends_the_worker_ends_the_run(tmp_path: Path) -> None:
    """Before it wanted partitions, and so before Faust was started."""
    app, attachment = attached(tmp_path, threading.Event())

    def work(_: Clients) -> None:
        raise StateError("no checkpoint fits")

    with pytest.raises(StateError, match="no checkpoint fits"):
        run_app(app, attachment, work, watchdog())
    assert app.calls == ["stop"]


def test_a_loop_that_does_not_turn_is_no_turn_of_the_worker(tmp_path: Path) -> None:
    """Else a hanging agent would starve the pipeline, and /healthz would say that all is well."""
    _, attachment = attached(tmp_path, threading.Event())
    dog = watchdog()
    both = BothTurn(dog, attachment)
    assert not both()
    dog.look(0.1)
    attachment._turned_s -= 60
    for _ in range(7):
        assert not both()
        dog.look(1.0)
    assert not dog.turning()
    asyncio.run(attachment.watch(until=lambda: True))
    assert both.deadline_s() == float("inf")
    assert both.remaining_s() == float("inf")


def attached(folder: Path, told: threading.Event, fails: str = "") -> tuple[Any, Attachment]:
    real = made(folder)
    return App(real, fails), Attachment(real, PIPELINE, Settings(), told)


def watchdog() -> Watchdog:
    return Watchdog(lambda: False, loop_timeout_s=5, shutdown_timeout_s=5)


def test_faust_s_folder_of_tables_is_gone_afterwards() -> None:
    with data_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()
