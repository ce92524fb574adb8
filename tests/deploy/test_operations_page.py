"""docs/operations.md: its rights are enough, its backup can be restored, its keys can be rotated; on a real Kafka and Valkey."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType

from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.engines.kafka.repartition import repartition
from stream_retrain.engines.kafka.repartition_topics import Rewriting
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError
from stream_retrain.local import LocalStack
from stream_retrain.local.artifacts import kafka_command, valkey_server
from stream_retrain.local.kafka import SETTINGS
from stream_retrain.local.process import accepts, free_ports
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.deploy.compose import ROOT
from tests.engines.support import Worker, read_topic, worker
from tests.ops.servers import until

PAGE = (ROOT / "docs" / "operations.md").read_text()
PIPELINE = """
from river import linear_model
from stream_retrain import Pipeline, Schema
orders = Pipeline(name="{name}", task="binary", source="{source}", model=linear_model.LogisticRegression(),
                  schema=Schema(id="id", label="y", features={{"a": float}}))
"""
ROWS = 300
pytestmark = [pytest.mark.services, pytest.mark.slow]


def command(title: str) -> str:
    """The block of the page that begins with this comment."""
    [found] = [block for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if block.startswith(f"# {title}")]
    return str(found)


def publish(servers: str, topic: str, first: int) -> None:
    rows = ({"id": f"e{number}", "a": float(number % 7), "y": number % 7 > 3} for number in range(first, first + ROWS))
    publish_rows(rows, load_settings(None, {}, {"kafka_bootstrap_servers": servers}), topic=topic)


def predicted(services: Services, name: str) -> list[str]:
    return [json.loads(record.value or b"")["id"] for record in read_topic(services, f"{name}.predictions")[0]]


class Installation:
    """A pipeline with a key file and a Redis of its own, whose worker is started and stopped."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services, self.folder = services, folder
        self.name, self.source = services.name("orders"), services.name("events")
        self.file = folder / "orders.py"
        self.file.write_text(PIPELINE.format(name=self.name, source=self.source))
        self.key = folder / "signing.key"
        self.key.touch(mode=0o600)
        self.key.write_text(f"k1:{os.urandom(32).hex()}\n")
        self.url = ""

    def run(self, title: str) -> None:
        """A command of the page, in the folder of the keys."""
        environment = {**os.environ, "STREAM_RETRAIN_REDIS_URL": self.url}
        subprocess.run(["bash", "-euc", command(title)], cwd=self.folder, env=environment, check=True, capture_output=True, timeout=60)

    def go_on(self, until_predicted: int) -> str:
        """Publish some events, and have a worker predict all there are; its log, after it has stopped in good order."""
        publish(self.services.bootstrap_servers, self.source, until_predicted - ROWS)
        given: dict[str, Any] = {"redis_url": self.url, "signing_key_file": self.key, "allow_unsigned": "false", "trainer": "off"}
        with worker(self.services, self.file, **given, instance="w") as running:
            self._wait(running, until_predicted)
            running.stop()
            assert running.process.returncode == 0, running.log
            ids = predicted(self.services, self.name)
            assert ids == [f"e{number}" for number in range(until_predicted)]
            return running.log

    def _wait(self, running: Worker, count: int) -> None:
        running.wait_for(lambda: any(shard["offset"] >= count for shard in running.status()["shards"].values()))


OPERATIONS = {"Read", "Write", "Describe", "Create", "Alter"}


def rights(name: str, source: str) -> list[AclBinding]:
    """The page's table of rights for Kafka, for a pipeline and a source of these names."""
    found = []
    rows = re.findall(
        r"^\| (topic|group|transactional id) \| (?:`|<code>)([^`<]+)(?:`|</code>) \| (literal|prefix) \| ([A-Za-z, ]+) \|",
        PAGE,
        re.MULTILINE,
    )
    assert {kind for kind, *_ in rows} == {"topic", "group", "transactional id"}
    for kind, resource, pattern, operations in rows:
        resource = resource.replace("shop.orders", source).replace("orders", name) if resource != "shop.orders" else source
        for operation in operations.split(", "):
            assert operation in OPERATIONS
            found.append(
                AclBinding(
                    {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}.get(kind, ResourceType.TRANSACTIONAL_ID),
                    resource,
                    {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}[pattern],
                    "User:app",
                    "*",
                    getattr(AclOperation, operation.upper()),
                    AclPermissionType.ALLOW,
                )
            )
    return found


def rewritten_with_rights_only(admin: AdminClient, users: str, source: str, target: str) -> None:
    """A user who may read the source and write the target needs a group and a transactional id of the rewriting besides."""
    login = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "app", "sasl.password": "secret"}
    settings = Settings(kafka_bootstrap_servers=users, kafka=login)
    stop = Watchdog(lambda: False, loop_timeout_s=60, shutdown_timeout_s=5)
    wanted = Rewriting(source=source, target=target, by="id", partitions=3)
    with pytest.raises(BrokerError, match="AUTHORIZATION_FAILED"):
        repartition(wanted, settings, stop)
    for kind, operations in ((ResourceType.GROUP, ("READ",)), (ResourceType.TRANSACTIONAL_ID, ("WRITE", "DESCRIBE"))):
        for operation in operations:
            may = AclOperation[operation], AclPermissionType.ALLOW
            binding = AclBinding(kind, wanted.own_group, ResourcePatternType.LITERAL, "User:app", "*", *may)
            for granted in admin.create_acls([binding]).values():
                granted.result()
    until_s = time.monotonic() + 30
    while True:
        try:
            assert repartition(wanted, settings, stop).written == ROWS
            return
        except BrokerError:  # a broker learns of a right a moment later
            assert time.monotonic() < until_s
            time.sleep(0.2)


@contextlib.contextmanager
def guarded_kafka(stack: LocalStack) -> Iterator[tuple[str, str]]:
    """A broker that allows only what was granted: where its administrator connects, and where users do, who have to log in."""
    ports = free_ports(3)
    inside, users, controllers = (f"127.0.0.1:{port}" for port in ports)
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_app="secret" user_trainer="secret";'
    properties = SETTINGS | {
        "node.id": "1",
        "log.dirs": str(stack.directory / "guarded"),
        "listeners": f"INSIDE://{inside},USERS://{users},CONTROLLER://{controllers}",
        "advertised.listeners": f"INSIDE://{inside},USERS://{users}",
        "listener.security.protocol.map": "INSIDE:PLAINTEXT,USERS:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
        "controller.quorum.voters": f"1@{controllers}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.users.plain.sasl.jaas.config": login,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        **dict.fromkeys(("offsets.topic.replication.factor", "transaction.state.log.replication.factor"), "1"),
        **dict.fromkeys(("transaction.state.log.min.isr", "share.coordinator.state.topic.replication.factor"), "1"),
        "share.coordinator.state.topic.min.isr": "1",
    }
    file = stack.directory / "guarded.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = kafka_command(stack.directory / "downloads", lambda _: None)
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id=4L6g3nShT-eMCtK--X86sw", "-c", str(file)]
    subprocess.run([*java, *tool], check=True, capture_output=True, timeout=60)
    broker = stack.process("guarded-kafka", [*java, "-Xmx384m", "kafka.Kafka", str(file)], dict(os.environ))
    broker.spawn()
    until(lambda: accepts(ports[0]) and accepts(ports[1]), 60, broker.tail())
    try:
        yield inside, users
    finally:
        broker.stop()


@contextlib.contextmanager
def valkey(stack: LocalStack, folder: Path, *options: str) -> Iterator[str]:
    """A Valkey on the data of a folder."""
    [port] = free_ports(1)
    folder.mkdir(exist_ok=True)
    arguments = [str(valkey_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", *options]
    server = stack.process(f"valkey-{port}", arguments, dict(os.environ))
    server.spawn()
    client = redis.Redis(port=port)

    def answers() -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    until(answers, 30, server.tail())
    client.close()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.stop()


def test_a_backup_is_restored_and_keys_are_rotated_and_nothing_is_lost(services: Services, tmp_path: Path) -> None:
    if shutil.which("redis-cli") is None:
        assert not os.environ.get("CI")
        pytest.skip("redis-cli is not installed: apt-get install redis-tools")
    installed = Installation(services, tmp_path)
    with LocalStack.start(kafka=False, redis=False) as stack:
        with valkey(stack, tmp_path / "first", "--appendonly", "yes") as installed.url:
            assert "restored from" not in installed.go_on(300)
            installed.run("back up")
            installed.run("rotate 1")
            assert "restored from its checkpoint at offset 300" in installed.go_on(600)
        (tmp_path / "second").mkdir()
        shutil.copyfile(tmp_path / "backup.rdb", tmp_path / "second" / "dump.rdb")
        with valkey(stack, tmp_path / "second", "--appendonly", "no") as installed.url:
            installed.run("restore")
            installed.run("rotate 2")
            assert "restored from its checkpoint at offset 300" in installed.go_on(900), "the backup's, though 600 were committed"
        with valkey(stack, tmp_path / "second", "--appendonly", "yes") as installed.url:
            installed.run("rotate 3")
            assert installed.key.read_text().startswith("k2:")
            assert len(installed.key.read_text().splitlines()) == 1
            assert "restored from its checkpoint at offset 900" in installed.go_on(1_200), "signed with the new key, and in the file"


def trains_with_the_rights_of_a_trainer(admin: AdminClient, inside: str, there: Services, file: Path, given: dict[str, Any]) -> None:
    """A trainer whose user may do what the page says, and nothing else, receives what is in the topic."""
    granted = [
        (ResourceType.TOPIC, "till.trainings", ResourcePatternType.LITERAL, (AclOperation.READ, AclOperation.DESCRIBE)),
        (ResourceType.GROUP, "stream_retrain.till.trainers.", ResourcePatternType.PREFIXED, (AclOperation.READ,)),
    ]
    rules = [
        AclBinding(kind, named, pattern, "User:trainer", "*", operation, AclPermissionType.ALLOW)
        for kind, named, pattern, operations in granted
        for operation in operations
    ]
    for each in admin.create_acls(rules).values():
        each.result()
    publish(inside, "till.trainings", 0)
    environment = there.environment | {f"STREAM_RETRAIN_{key.upper()}": str(value) for key, value in given.items()}
    command = [sys.executable, "-m", "stream_retrain", "trainer", str(file), "--burst", "--json"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["dropped"] == ROWS, "none of them is a ticket"
    assert "NOPERM" not in ran.stderr


def test_the_rights_of_the_page_are_enough_and_without_them_nothing_goes(tmp_path: Path) -> None:
    """The user of Kafka may do what the table says, the user of Redis what the line says."""
    name, source = "till", "counter.events"
    [line] = re.findall(r"^ACL (SETUSER .*)$", PAGE, re.MULTILINE)
    file, key = tmp_path / "till.py", tmp_path / "signing.key"
    file.write_text(PIPELINE.format(name=name, source=source))
    key.touch(mode=0o600)
    key.write_text(f"k1:{os.urandom(32).hex()}\n")
    with LocalStack.start(kafka=False, redis=False) as stack, guarded_kafka(stack) as (inside, users), valkey(stack, tmp_path / "r") as url:
        client = redis.Redis.from_url(url)
        client.execute_command("ACL", *line.replace("orders", name).split())
        client.execute_command("ACL", "SETUSER", "default", "resetpass", ">admin")
        client.close()
        publish(inside, source, 0)
        login = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN", "kafka_sasl_username": "app"}
        given: dict[str, Any] = {**login, "kafka_sasl_password": "secret", "signing_key_file": key, "allow_unsigned": "false"}
        given |= {"redis_url": url.replace("//", f"//{name}:PASSWORD@"), "trainer": "pool"}
        there = Services(users, url)
        with worker(there, file, **given) as running:
            running.wait_for(lambda: f"{source!r}, the source of pipeline {name!r}, does not exist" in running.log)  # so Kafka says
            admin = AdminClient({"bootstrap.servers": inside})
            for granted in admin.create_acls(rights(name, source)).values():
                granted.result()
            running.wait_for(lambda: any(shard["offset"] >= ROWS for shard in running.status()["shards"].values()))
            running.stop()
            assert running.process.returncode == 0, running.log
            assert "NOPERM" not in running.log
        assert len(predicted(Services(inside, url), name)) == ROWS
        rewritten_with_rights_only(admin, users, source, f"{name}.by-id")
        trains_with_the_rights_of_a_trainer(admin, inside, there, file, given | {"kafka_sasl_username": "trainer"})
        with worker(there, file, **given) as running:
            running.wait_for(lambda: f"restored from its checkpoint at offset {ROWS}" in running.log)
