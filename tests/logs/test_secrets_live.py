"""A worker and a trainer that reach nothing, with secrets everywhere a secret can be: none of them stands in what they say."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.test_cli import GOOD

pytestmark = pytest.mark.slow
KEY = "c0ffee00" * 8
SECRETS = ("hunter22-redis", "hunter33-kafka", "hunter44-tls", KEY)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens, and nothing will while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "signing.key"
    file.touch(mode=0o600)
    file.write_text(f"k1:{KEY}\n")
    return file


def said(tmp_path: Path, command: str, until: str, **settings: str) -> list[str]:
    """The lines of a command, which is told to stop once one of them holds `until`."""
    (tmp_path / "shop.py").write_text(GOOD)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")}
    told = {f"STREAM_RETRAIN_{name.upper()}": value for name, value in settings.items()}
    arguments = [sys.executable, "-m", "stream_retrain", command, str(tmp_path / "shop.py"), "--log-level", "debug"]
    process = subprocess.Popen(arguments, env={**clean, **told}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    assert process.stdout
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reader.start()
    until_s = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until_s and not any(until in line for line in lines):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    reader.join(5)
    process.stdout.close()
    return lines


def assert_no_secret(lines: list[str]) -> None:
    assert lines
    for line in lines:
        assert not any(secret in line for secret in SECRETS), line


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_worker_without_kafka_and_redis_keeps_its_secrets(tmp_path: Path, nobody: str, key_file: Path, form: str) -> None:
    lines = said(
        tmp_path,
        "run",
        "trying again",
        log_format=form,
        redis_url=f"redis://user:{SECRETS[0]}@{nobody}/0",
        kafka_bootstrap_servers=nobody,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_sasl_mechanism="PLAIN",
        kafka_sasl_username="u",
        kafka_sasl_password=SECRETS[1],
        kafka_ssl_key_password=SECRETS[2],
        kafka_debug="security,broker",
        signing_key_file=str(key_file),
        http_port="0",
        instance="worker-of-the-test",
    )
    assert_no_secret(lines)
    assert any("trying again" in line for line in lines)
    if form == "json":
        told = [json.loads(line) for line in lines]
        assert {"timestamp", "level", "event", "logger", "instance", "pipeline"} <= told[-1].keys()
        assert {each["instance"] for each in told} == {"worker-of-the-test"}


@pytest.mark.services
def test_a_password_that_is_refused_is_not_shown(tmp_path: Path, services: Services, key_file: Path) -> None:
    lines = said(
        tmp_path,
        "trainer",
        "never said",
        redis_url=services.redis_url.replace("redis://", f"redis://user:{SECRETS[0]}@"),
        kafka_sasl_password=SECRETS[1],
        signing_key_file=str(key_file),
    )
    assert_no_secret(lines)
    [told] = [json.loads(line) for line in lines if "refused the credentials" in line]
    assert (told["level"], told["kind"]) == ("error", "program.failed")
