"""A real Apache Kafka in KRaft mode: one node, or three, each broker and controller at once.

The settings change speed and memory, and no guarantee: few partitions for Kafka's own topics, no wait before a group's first
assignment, quick heartbeats. A formatted directory is made once and copied for each node, because a Java for each would cost a second.

    DIRECTORY/formatted-1/ (or -3)    what Kafka's own tool wrote, for a cluster of so many: its id and its features
    DIRECTORY/node-N/data/            the log; server.properties, the process's log and its temporary files are beside it
"""

from __future__ import annotations

import base64
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stream_retrain.errors import LocalStackError
from stream_retrain.local.guardian import Guardian
from stream_retrain.local.process import HOST, Process, accepts, free_ports, on_free_ports, wait_until

__all__ = ["Broker", "KafkaCluster"]

READY_S = 90.0
ANSWER_S = 2.0
FORMAT_S = 60.0
HEAP_MIB = {1: 384, 3: 320}

SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "auto.create.topics.enable": "false",
    "num.partitions": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # Of KIP-848's groups: a partition moves in two heartbeats, and Kafka's own are 5 s apart.
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.min.session.timeout.ms": "1000",
    # Records of past years are kept: they expire by their own time.
    "log.retention.ms": "-1",
    "message.max.bytes": str(16 * 1024 * 1024),
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    # A killed broker may come back when its session has ended; with Kafka's own 9 s and 2 s that takes 12.7 s instead of 5.5 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "300",
}


class Broker:
    """One node. `start` brings it back after `kill` or `stop`, on the same ports with the same data."""

    def __init__(self, node: int, *, port: int, cluster_id: str, process: Process) -> None:
        self.node = node
        self.port = port
        self.process = process
        self._cluster_id = cluster_id

    @property
    def bootstrap_server(self) -> str:
        """Where clients find this broker."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process's number; of the last one, if none runs."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.alive

    def start(self) -> None:
        """Start it, if it does not run, and return when it is a member again, for which a majority must run. Raises LocalStackError.

        After a kill that is about three seconds longer than after a stop: the session of the killed process has to end.
        """
        self.process.spawn()
        self.wait_for([self])

    def stop(self) -> None:
        """End it by SIGTERM: it hands its partitions over, for which a majority must run. By SIGKILL, if that does not do."""
        self.process.stop()

    def kill(self) -> None:
        """End it by SIGKILL."""
        self.process.kill()

    def wait_for(self, brokers: Sequence[Broker]) -> None:
        """Return when this broker answers for its cluster, with all of `brokers` in it where they are now. Raises LocalStackError."""
        processes = [broker.process for broker in brokers]
        members = {(broker.node, broker.port) for broker in brokers}
        wait_until(lambda: accepts(self.port), processes, limit_s=READY_S)
        wait_until(lambda: members <= self._members(), processes, limit_s=READY_S)

    def _members(self) -> set[tuple[int, int]]:
        """The nodes and ports that this broker knows. A new client asks: an old one may ask another, at an address that was."""
        try:
            cluster = AdminClient({"bootstrap.servers": self.bootstrap_server, "log_level": 0}).list_topics(timeout=ANSWER_S)
        except KafkaException:
            return set()
        return {(node, each.port) for node, each in cluster.brokers.items()} if cluster.cluster_id == self._cluster_id else set()


class KafkaCluster:
    """Brokers of one cluster, made ready by `start_in`."""

    def __init__(self, brokers: Sequence[Broker]) -> None:
        self.brokers = list(brokers)

    @classmethod
    def start_in(
        cls, directory: Path, guardian: Guardian, on_progress: Callable[[str], None], *, command: Sequence[str], brokers: int
    ) -> KafkaCluster:
        """A cluster whose brokers all answer, on free ports, with the data that `directory` holds. Raises LocalStackError."""
        _check_size(directory, brokers)
        formatted = directory / f"formatted-{brokers}"
        if not formatted.exists():
            on_progress("formatting Kafka's directory")
            _format(formatted, command, guardian)
        cluster_id = _give_each_node_its_copy(formatted, brokers)
        on_progress(f"starting Kafka with {brokers} node{'s' if brokers > 1 else ''}")
        cluster = on_free_ports(lambda: cls(_brokers(directory, cluster_id, brokers, command, guardian)))
        on_progress(f"Kafka is ready at {cluster.bootstrap_servers}")
        return cluster

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return ",".join(broker.bootstrap_server for broker in self.brokers)

    def start(self) -> None:
        """Start the brokers that do not run, and return when all are members. Raises LocalStackError."""
        for broker in self.brokers:
            broker.process.spawn()
        for broker in self.brokers:
            broker.wait_for(self.brokers)

    def stop(self) -> None:
        """End the brokers one after another, so that each finds the majority it needs to hand its partitions over.

        The last of three has none, and would wait for it without end: it is killed. Its log is whole; the next start reads it through.
        """
        for broker in self.brokers:
            if 2 * sum(each.alive for each in self.brokers) > len(self.brokers):
                broker.stop()
            else:
                broker.kill()

    def kill(self) -> None:
        """End all brokers by SIGKILL."""
        for broker in self.brokers:
            broker.kill()


def _check_size(directory: Path, brokers: int) -> None:
    if brokers not in HEAP_MIB:
        raise LocalStackError(f"a local Kafka has one node or three, not {brokers}: start it with brokers=1 or brokers=3")
    for kept in HEAP_MIB.keys() - {brokers}:
        if (directory / f"formatted-{kept}").exists():
            raise LocalStackError(f"{directory} holds a Kafka of {kept}: start it with brokers={kept}, or give another directory")


def _format(formatted: Path, command: Sequence[str], guardian: Guardian) -> None:
    """Have Kafka's tool format a directory under another name; give it its name when it is whole."""
    part = formatted.with_name("formatted.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    settings = part.with_name("format.properties")
    _write(settings, _settings(1, ports=[(9092, 9093)], data=part))
    tool = ["kafka.tools.StorageTool", "format", "--cluster-id", _new_id(), "--config", str(settings)]
    process = Process("Kafka's format tool", [*command, *tool], directory=formatted.parent, guardian=guardian)
    process.spawn()
    exit_code = process.wait(FORMAT_S)
    if exit_code != 0:
        process.kill()
        raise LocalStackError(f"Kafka's directory could not be formatted (exit code {exit_code}); the end of the log:\n{process.tail()}")
    part.rename(formatted)


def _give_each_node_its_copy(formatted: Path, brokers: int) -> str:
    """Copy it for each node that has no data yet, with numbers of its own; return the cluster's id."""
    properties = _read(formatted / "meta.properties")
    for node in range(1, brokers + 1):
        data = formatted.with_name(f"node-{node}") / "data"
        if not data.exists():
            part = data.with_name("data.part")
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(formatted, part)
            _write(part / "meta.properties", properties | {"node.id": str(node), "directory.id": _new_id()})
            part.rename(data)
    return properties["cluster.id"]


def _brokers(directory: Path, cluster_id: str, count: int, command: Sequence[str], guardian: Guardian) -> list[Broker]:
    """Brokers on ports that are free now, their settings written."""
    free = free_ports(2 * count)
    ports = list(zip(free[:count], free[count:], strict=True))
    brokers = []
    for node, (port, _) in enumerate(ports, start=1):
        home = directory / f"node-{node}"
        shutil.rmtree(temporary := home / "tmp", ignore_errors=True)
        temporary.mkdir()
        _write(settings := home / "server.properties", _settings(node, ports=ports, data=home / "data"))
        server = [f"-Xmx{HEAP_MIB[count]}m", f"-Djava.io.tmpdir={temporary}", "kafka.Kafka", str(settings)]
        process = Process(f"Kafka's node {node}", [*command, *server], directory=home, guardian=guardian)
        brokers.append(Broker(node, port=port, cluster_id=cluster_id, process=process))
    return brokers


def _settings(node: int, *, ports: Sequence[tuple[int, int]], data: Path) -> dict[str, str]:
    """The settings of a node; `ports` has each node's port for clients and its port for controllers."""
    clients, controllers = ports[node - 1]
    replicas = str(len(ports))
    in_sync = str(len(ports) // 2 + 1)
    return SETTINGS | {
        "node.id": str(node),
        "log.dirs": str(data),
        "listeners": f"PLAINTEXT://{HOST}:{clients},CONTROLLER://{HOST}:{controllers}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{clients}",
        "controller.quorum.voters": ",".join(f"{each}@{HOST}:{port}" for each, (_, port) in enumerate(ports, start=1)),
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _new_id() -> str:
    """An id as Kafka makes them: 16 bytes in base64 for URLs, without padding, and no option of a command by its first letter."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


def _read(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _write(path: Path, properties: dict[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
