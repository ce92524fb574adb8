"""A topic that is to be written again, and what is in both."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

from confluent_kafka import Producer

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.read import Stored, read_topic
from stream_retrain.engines.kafka.repartition import Copied, repartition
from stream_retrain.engines.kafka.repartition_topics import Rewriting
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.settings import Settings, load_settings
from tests import warm
from tests.conftest import Services

FIRST_MS = 1_700_000_000_000


class Topics:
    """A source and a target of their own names."""

    def __init__(self, services: Services, partitions: int = 2) -> None:
        self.services = services
        self.settings: Settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
        self.source, self.target = services.name("old"), services.name("new")
        create_topic(self.settings, self.source, partitions, {"retention.ms": "-1"})
        self._partitions = partitions
        self._sent = 0

    def send(self, count: int, keys: int = 7, **fields: Any) -> None:
        """Events with a shop each, which go from one partition to the next, whatever their shop is."""
        rows = []
        for _ in range(count):
            number, self._sent = self._sent, self._sent + 1
            rows.append(json.dumps({"n": number, "shop": f"s{number % keys}", **fields}).encode())
        self.send_values(rows)

    def send_values(self, values: list[bytes | None], key: bytes | None = b"old") -> None:
        producer = Producer({"bootstrap.servers": self.services.bootstrap_servers, "enable.idempotence": True})
        for at, value in enumerate(values):
            place, stamp = at % self._partitions, FIRST_MS + at
            producer.produce(self.source, value, key, partition=place, timestamp=stamp, headers=[("h", str(at).encode())])
        assert producer.flush(30) == 0

    def rewriting(self, **changes: Any) -> Rewriting:
        return Rewriting(**{"source": self.source, "target": self.target, "by": "shop", "partitions": 5} | changes)

    def copy(self, **changes: Any) -> Copied:
        stop = Watchdog(lambda: False, loop_timeout_s=60, shutdown_timeout_s=5)
        return repartition(self.rewriting(**changes), self.settings, stop)

    def read(self, topic: str, at_least: int = 0) -> dict[int, list[Stored]]:
        """The records of a topic; a partition may show those of a transaction a moment after its commit has returned."""
        until_s = time.monotonic() + 20
        while sum(map(len, (found := read_topic(self.settings, topic)).values())) < at_least and time.monotonic() < until_s:
            time.sleep(0.1)
        return found

    def command(self, *arguments: str, failpoint: str = "") -> warm.Process:
        """The command in a process of its own."""
        environment = self.services.environment | ({"STREAM_RETRAIN_FAILPOINT": failpoint} if failpoint else {})
        return warm.start(["repartition", self.source, self.target, "--by", "shop", "--json", *arguments], environment)

    def judged(self) -> dict[str, int]:
        """The target beside the source: every record once, in order within (new key, old partition), as it was. How many of each key."""
        expected: dict[tuple[bytes, int], list[tuple[Any, ...]]] = defaultdict(list)
        for partition, records in self.read(self.source).items():
            for record in records:
                if (shop := _shop(record.value)) is not None:
                    expected[shop.encode(), partition].append(_as_it_was(record, f"{self.source}/{partition}/{record.offset}"))
        found: dict[tuple[bytes, int], list[tuple[Any, ...]]] = defaultdict(list)
        homes: dict[bytes, set[int]] = defaultdict(set)
        for partition, records in self.read(self.target, sum(map(len, expected.values()))).items():
            for record in records:
                origin = record.headers["sr_origin"].decode()
                assert record.key is not None
                found[record.key, int(origin.split("/")[1])].append(_as_it_was(record, origin))
                homes[record.key].add(partition)
        assert found == expected
        assert all(len(places) == 1 for places in homes.values())
        counts: dict[str, int] = defaultdict(int)
        for (key, _), records in found.items():
            counts[key.decode()] += len(records)
        return dict(counts)


def _shop(value: bytes | None) -> str | None:
    try:
        shop: str | None = json.loads(value or b"{}").get("shop")
    except ValueError:
        return None
    return shop


def _as_it_was(record: Stored, origin: str) -> tuple[Any, ...]:
    headers = {name: value for name, value in record.headers.items() if name != "sr_origin"}
    return record.value, record.timestamp_ms, headers, origin
