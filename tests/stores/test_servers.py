"""What a real server adds: permanent keys, lost connections, memory limits, rights, and messages that say what to check."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

import pytest
import redis

from stream_retrain.errors import SettingsError, StoreError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.version import Version
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, WindowLimits
from stream_retrain.stores.redis.errors import redacted
from stream_retrain.stores.redis.stores import PERMANENT_KEYS
from tests.stores.support import ROOMY, SHARD, chunk, rows


class TestServers:
    pytestmark = pytest.mark.services

    def test_every_key_is_on_the_permanent_list(self, real_url: str) -> None:
        stores = connect(real_url, group="one")
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        stores.checkpoints.save(SHARD, epoch, 1, b"one")
        stores.checkpoints.save(SHARD, epoch, 2, b"two")
        stores.parts.keep(SHARD, epoch, {"digest": b"part"})
        stores.artifacts.keep(SHARD, epoch, "name", b"sealed", ArtifactLimits())
        stores.models.keep(SHARD, epoch, "name", b"sealed")
        stores.versions.put(SHARD, epoch, [Version(id="0-g0", pipeline=SHARD.pipeline, topic=SHARD.topic, partition=0, came="new")])
        stores.requests.pause(SHARD, Asked(token="t", do="pause"))
        client = redis.Redis.from_url(real_url)
        listed = [set(client.scan_iter(match=pattern)) for pattern in PERMANENT_KEYS]
        assert all(len(keys) == 1 for keys in listed)
        assert set().union(*listed) == {key for key in client.scan_iter() if client.ttl(key) < 0}

    def test_scripts_come_back_after_a_server_forgot_them(self, real_url: str) -> None:
        stores = connect(real_url)
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        redis.Redis.from_url(real_url).script_flush()
        assert stores.window.append(SHARD, epoch, chunk(5, 6), ROOMY) == 2

    def test_a_stopped_server_is_a_store_error_soon(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, process = own_server
        stores = connect(url)
        epoch = stores.checkpoints.claim(SHARD)
        process.terminate()
        process.wait()
        before = time.monotonic()
        with pytest.raises(StoreError, match=rf"append 5 rows to the window of shard {SHARD} \(Redis at {url}\): it cannot be reached"):
            stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        assert time.monotonic() - before < 3

    def test_a_frozen_server_is_a_store_error_after_the_timeout(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, process = own_server
        stores = connect(url, timeout_s=0.3)
        stores.ping()
        os.kill(process.pid, signal.SIGSTOP)
        before = time.monotonic()
        try:
            with pytest.raises(StoreError, match="it did not answer in time"):
                stores.checkpoints.load(SHARD)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert time.monotonic() - before < 3

    def test_a_full_server_says_so_and_nothing_is_half_written(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, _ = own_server
        stores = connect(url)
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        stores.checkpoints.save(SHARD, epoch, 1, b"one")
        stores.checkpoints.save(SHARD, epoch, 2, b"two")
        stores.artifacts.keep(SHARD, epoch, "name", b"sealed", ArtifactLimits())
        stores.models.keep(SHARD, epoch, "name", b"sealed")
        stores.versions.put(SHARD, epoch, [Version(id="0-g0", pipeline=SHARD.pipeline, topic=SHARD.topic, partition=0, came="new")])
        stores.requests.pause(SHARD, Asked(token="t", do="pause"))
        client = redis.Redis.from_url(url)
        client.config_set("maxmemory", "1")
        for write in (
            lambda: stores.window.append(SHARD, epoch, chunk(5, 9), WindowLimits(rows_max=1)),
            lambda: stores.checkpoints.save(SHARD, epoch, 3, b"three"),
            lambda: stores.checkpoints.claim(SHARD),
        ):
            with pytest.raises(StoreError, match=r"out of memory \(OOM\): raise its maxmemory"):
                write()
        assert stores.window.last(SHARD, 100) == rows(0, 4)
        assert stores.checkpoints.load(SHARD) == [b"two", b"one"]
        stores.checkpoints.delete(SHARD, epoch)
        assert stores.checkpoints.load(SHARD) == []

    def test_a_replica_says_so(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, _ = own_server
        redis.Redis.from_url(url).replicaof("127.0.0.1", "1")
        with pytest.raises(StoreError, match="read-only replica"):
            connect(url).checkpoints.claim(SHARD)

    def test_a_wrong_password_says_so_and_is_not_shown(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, _ = own_server
        redis.Redis.from_url(url).config_set("requirepass", "right-one")
        with pytest.raises(StoreError, match=r"redis://:\*\*\*@.* it refused the credentials") as caught:
            connect(url.replace("redis://", "redis://:wrong-one@")).ping()
        assert "wrong-one" not in str(caught.value)
        with pytest.raises(StoreError, match="it refused the credentials"):
            connect(url).ping()
        connect(url.replace("redis://", "valkey://:right-one@")).ping()

    def test_a_user_needs_no_more_rights_than_the_message_names(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, _ = own_server
        client: Any = redis.Redis.from_url(url)
        client.execute_command("ACL", "SETUSER", "worker", "on", ">pass", "+@connection")
        stores = connect(url.replace("redis://", "redis://worker:pass@"))
        with pytest.raises(StoreError, match="the user may not do this") as caught:
            stores.checkpoints.claim(SHARD)
        named = str(caught.value).partition("it needs ")[2].partition(". ")[0].replace("with ", "").split()
        client.execute_command("ACL", "SETUSER", "worker", "reset", "on", ">pass", *named)
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        stores.checkpoints.save(SHARD, epoch, 4, b"four")
        assert stores.window.last(SHARD, 5) == rows(0, 4)
        assert stores.window.span(SHARD) is not None
        assert stores.checkpoints.load(SHARD) == [b"four"]
        stores.checkpoints.delete(SHARD, epoch)
        stores.ping()

    def test_a_lost_connection_is_opened_again(self, own_server: tuple[str, subprocess.Popen[bytes]]) -> None:
        url, _ = own_server
        stores = connect(url)
        epoch = stores.checkpoints.claim(SHARD)
        redis.Redis.from_url(url).client_kill_filter(_type="normal", skipme=True)
        assert stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY) == 5


@pytest.mark.parametrize("url", ["", "flights", "http://host", "redis:host", "redis://host:port", "redis://host?colour=blue"])
def test_a_wrong_url_is_the_operators_to_correct(url: str) -> None:
    with pytest.raises(SettingsError, match="URL"):
        connect(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:1/2", "redis://host:1/2"),
        ("redis://:pass@host", "redis://:***@host"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        (
            "rediss://user:p@ss@[::1]:1/0?ssl_ca_certs=/ca.pem&password=pass",
            "rediss://user:***@[::1]:1/0?ssl_ca_certs=/ca.pem&password=***",
        ),
        ("unix://user:pass@/run/redis.sock?db=1", "unix://user:***@/run/redis.sock?db=1"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown
