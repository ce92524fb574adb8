"""Logging of a process, in processes of its own: what stands on standard error, whoever says it."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.kafka.clients import consumer_client
from stream_retrain.engines.trainer import ProcessTrainer, TrainerLimits
from stream_retrain.logs import LogSetup, current_setup, identify, logs_json, redacted, set_up_logging
from stream_retrain.settings import Settings
from tests.core import streams

SECRET = "hunter22-of-the-test"
BEGIN = f"""
import logging, threading, warnings, os, sys
from stream_retrain.logs import LogSetup, fields_with, identify, set_up_logging
secrets = ({SECRET!r},)
"""


def ran(code: str, **environment: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}, timeout=60
    )
    assert SECRET not in done.stderr
    return done.returncode, done.stderr.splitlines()


def objects(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


class Stream(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign]


@pytest.fixture
def as_before() -> Iterator[None]:
    """What a set-up changes is as it was before."""
    root, kafka = logging.getLogger(), logging.getLogger("stream_retrain.kafka")
    kept = (root.handlers[:], root.level, kafka.level, kafka.filters[:], logging.raiseExceptions)
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    yield
    logging.captureWarnings(False)
    for handler in set(root.handlers) - set(kept[0]):
        handler.close()
    root.handlers[:], kafka.filters[:], logging.raiseExceptions = kept[0], kept[3], kept[4]
    root.setLevel(kept[1])
    kafka.setLevel(kept[2])
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def hello(form: Any, *, terminal: bool) -> str:
    stream = Stream(terminal=terminal)
    set_up_logging(LogSetup(format=form, instance="host-0", pipeline="shop"), stream)
    logging.getLogger("any").info("hello")
    return stream.getvalue()


@pytest.mark.usefixtures("as_before")
def test_on_a_terminal_lines_are_to_read_elsewhere_they_are_json_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert json.loads(hello("auto", terminal=False))["event"] == "hello"
    assert json.loads(hello("json", terminal=True))["event"] == "hello"
    assert "INFO     host-0 hello" in hello("text", terminal=False)
    assert "\x1b[32mINFO" in hello("auto", terminal=True)
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as told:
            told.setenv(name, value)
            assert "INFO     host-0 hello" in hello("auto", terminal=True)


@pytest.mark.slow
def test_whatever_ends_a_process_is_a_line() -> None:
    code, lines = ran(
        """
set_up_logging(LogSetup(secrets=secrets))
for _ in range(8):
    logging.getLogger("a").info("same")
if os.fork() == 0:  # its parent's counts are not its own to say
    logging.shutdown()
    os._exit(0)
os.wait()
def fails():
    raise ValueError(f"in a thread, with {secrets[0]}")
thread = threading.Thread(target=fails, name="helper")
thread.start()
thread.join()
class Odd:
    def __del__(self):
        raise KeyError(f"unraisable {secrets[0]}")
odd = Odd()
del odd
warnings.warn(f"deprecated {secrets[0]}")
raise RuntimeError(f"uncaught {secrets[0]}")
"""
    )
    assert code == 1
    told = objects(lines)
    counted = [each["event"] for each in told if "repeated" in each]
    assert len(counted) == 1
    assert counted[0].endswith("the last: same")
    told = told[5:-1]
    assert [each["level"] for each in told] == ["critical", "warning", "warning", "critical"]
    assert [each["event"].split(":")[0] for each in told][:2] == ["thread helper ends", "KeyError could not be raised"]
    assert told[2]["logger"] == "py.warnings"
    assert told[3]["exception"].endswith("RuntimeError: uncaught ***")


@pytest.mark.usefixtures("as_before")
def test_lines_of_other_libraries_are_lines_of_ours() -> None:
    stream = Stream(terminal=False)
    set_up_logging(LogSetup(instance="h", secrets=(SECRET,)), stream)
    logging.getLogger("redis.client").warning("no answer from %s", "redis://u:pw@h/0")
    logging.getLogger("mode").warning("faust with %s", SECRET)
    assert [(each["logger"], each["event"], each["instance"]) for each in objects(stream.getvalue().splitlines())] == [
        ("redis.client", "no answer from redis://u:***@h/0", "h"),
        ("mode", "faust with ***", "h"),
    ]


@pytest.mark.usefixtures("as_before")
def test_librdkafka_s_lines_are_warnings_at_most_and_repeat_as_one(free_port: int) -> None:
    stream = Stream(terminal=False)
    handler = set_up_logging(LogSetup(secrets=(SECRET,)), stream)
    kafka = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": SECRET}
    quick = {"reconnect.backoff.ms": "10", "reconnect.backoff.max.ms": "50"}
    settings = Settings(kafka_bootstrap_servers=f"127.0.0.1:{free_port}", kafka={**kafka, **quick})
    consumer = consumer_client(settings, "g", "i", lambda _: None)
    consumer.subscribe(["t"])
    until_s = time.monotonic() + 30
    while not handler._repeats.counting and time.monotonic() < until_s:
        consumer.consume(1, 0.1)
    consumer.close()
    handler.close()
    told = [each for each in objects(stream.getvalue().splitlines()) if each["logger"] == "stream_retrain.kafka"]
    assert {each["level"] for each in told} == {"warning"}
    refused = [each for each in told if "Connection refused" in each["event"]]
    assert sum("repeated" not in each for each in refused) == 5
    assert sum(each.get("repeated", 0) for each in refused) >= 1
    assert SECRET not in stream.getvalue()


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nothing listens at while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.usefixtures("as_before")
def test_who_logs_may_become_known_later_and_a_second_set_up_takes_the_first_ones_place() -> None:
    stream, log = Stream(terminal=False), logging.getLogger("a")
    set_up_logging(LogSetup(instance="parent"), stream)
    identify(pipeline="shop")
    log.info("one")
    identify(instance="host-1")
    log.info("two")
    assert current_setup() == LogSetup(instance="host-1", pipeline="shop")
    assert logs_json()
    set_up_logging(LogSetup(level="error", instance="host-2"), stream)
    log.info("three")
    log.error("four")
    told = [(each["event"], each["instance"], each.get("pipeline")) for each in objects(stream.getvalue().splitlines())]
    assert told == [("one", "parent", "shop"), ("two", "host-1", "shop"), ("four", "host-2", None)]


@pytest.mark.usefixtures("as_before")
def test_a_trainer_s_process_logs_as_its_worker_does() -> None:
    set_up_logging(LogSetup(level="error", secrets=(SECRET,)), Stream(terminal=False))
    identify(instance="host-0", pipeline="test")
    trainer = ProcessTrainer(streams.pipeline(), "memory://", Keyring.unsigned(), TrainerLimits(), target="shop.py")
    told = pickle.loads(pickle.dumps(trainer._hello)).log
    assert told == LogSetup(level="error", secrets=(SECRET,), instance="host-0", pipeline="test")
    assert SECRET not in repr(trainer._hello)


@pytest.mark.usefixtures("as_before")
def test_where_nothing_is_set_up_nothing_is_known_and_what_looks_like_a_secret_is_masked_all_the_same() -> None:
    logging.getLogger().handlers[:] = []  # a test before this one may have set up something
    identify(instance="nobody")
    assert current_setup() is None
    assert not logs_json()
    assert redacted("redis://u:pw@h") == "redis://u:***@h"
    assert SECRET not in repr(LogSetup(secrets=(SECRET,)))
