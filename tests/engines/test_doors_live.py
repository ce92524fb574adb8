"""Promote, roll back and retrain through each of the three doors at a real Kafka and Valkey, under load and through kills.

Each takes effect once in every shard, and verify finds no difference. The doors are HTTP, the command line and the topic, the last also by
the example of docs/requests.md. The first worker dies when a request is stored and not taken, the second when it is taken and not
committed, the third by SIGKILL as soon as a record of the topic is in the store, and of the last two one by SIGKILL while they are asked.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain.cli import main
from stream_retrain.engines.failpoints import KILLED
from stream_retrain.errors import BrokerError
from stream_retrain.loading import load_pipeline
from tests.conftest import Services
from tests.engines.live import Place
from tests.engines.support import Worker, read_topic

pytestmark = [pytest.mark.services, pytest.mark.slow]

TOKEN = "write-write-write-write"
PAGE = Path(__file__).parents[2] / "docs" / "requests.md"
EFFECTS = ("model.reset", "model.promoted", "policy.requested", "request.refused")
RULE = "On.request(Retrain(window=Window(rows=200), evidence=Evidence(events_max=40, rarest_min=0)))"
PARTITIONS = 2


class Doors:
    """A pipeline of two partitions under load, its three doors, and what was asked through them."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.place = place = Place(services, folder, PARTITIONS)
        text = place.file.read_text().replace("import Pipeline", "import Evidence, On, Pipeline, Retrain, Window")
        place.file.write_text(text.replace("pipeline = Pipeline(", f"pipeline = Pipeline(react=[{RULE}], "))
        place.pipeline = load_pipeline(str(place.file))
        self.file, self.folder, self.asked = str(place.file), folder, list[str]()
        self.secrets = {"http_write_token_file": folder / "token", "requests_key_file": folder / "requests.key"}
        for path, secret in zip(self.secrets.values(), (TOKEN, f"k1:{'0a' * 32}"), strict=True):
            path.write_text(secret)
            path.chmod(0o600)
        self.sent = 0
        self.enough = threading.Event()
        self.feeder = threading.Thread(target=self.feed)

    def feed(self) -> None:
        """Events, until there are enough."""
        producer = Producer({"bootstrap.servers": self.place.services.bootstrap_servers, "enable.idempotence": True})
        while not self.enough.wait(0.008):
            row = {"id": f"e{self.sent}", "a": float(self.sent % 7), "y": self.sent % 7 > 3}
            producer.produce(self.place.source, json.dumps(row).encode(), partition=self.sent % PARTITIONS)
            self.sent += 1
        assert producer.flush(20) == 0

    def worker(self, *arguments: str, failpoint: str = "") -> contextlib.AbstractContextManager[Worker]:
        settings: dict[str, Any] = {**self.secrets, "static_membership": True, "session_timeout_ms": 6_000, "trainer": "process"}
        return self.place.worker(*arguments, **settings, **({"failpoint": failpoint} if failpoint else {}))

    def http(self, running: Worker, do: str, token: str, **body: Any) -> None:
        self.asked.append(token)
        url = f"{running.url}/v1/pipelines/{self.place.pipeline.name}/{do}"
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": token}
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=20) as answer:
            assert (answer.status, json.load(answer)["token"]) == (202, token)

    def command(self, *arguments: str, token: str) -> None:
        self.asked.append(token)
        ran(*arguments, "--token", token)

    def by_topic(self, do: str, token: str, **fields: Any) -> None:
        """As the page says, word for word but for the names."""
        self.asked.append(token)
        [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        servers, key = self.place.services.bootstrap_servers, str(self.secrets["requests_key_file"])
        wanted = json.dumps({"pipeline": self.place.pipeline.name, "do": do, "token": token, **fields})[:-1]
        told = '{"pipeline": "orders", "do": "retrain", "reason": "a new season"'
        for found, ours in ((told, wanted), ("127.0.0.1:9092", servers), ("requests.key", key), ("orders", self.place.pipeline.name)):
            assert found in code
            code = code.replace(found, ours)
        exec(code, {})

    def effects(self) -> collections.Counter[tuple[str, int]]:
        """How often each token has taken effect, by partition."""
        found: collections.Counter[tuple[str, int]] = collections.Counter()
        with contextlib.suppress(BrokerError):  # the topic is made by the first worker
            for partition, stored in read_topic(self.place.services, f"{self.place.pipeline.name}.decisions").items():
                for event in (json.loads(each.value or b"") for each in stored):
                    if event["type"].removeprefix("io.streamretrain.").removesuffix(".v1") in EFFECTS:
                        found[event["data"]["token"], partition] += 1
        return found

    def duels(self) -> int:
        found = read_topic(self.place.services, f"{self.place.pipeline.name}.decisions")
        return sum(b"duel.started" in (each.value or b"") for stored in found.values() for each in stored)

    def done(self, token: str) -> Callable[[], bool]:
        return lambda: sum(count for (found, _), count in self.effects().items() if found == token) >= PARTITIONS


def ran(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert int(str(ended.value.code)) == 0


@pytest.fixture
def doors(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    services.given_here(monkeypatch)
    doors = Doors(services, tmp_path)
    monkeypatch.setenv("STREAM_RETRAIN_REQUESTS_KEY_FILE", str(doors.secrets["requests_key_file"]))
    doors.feeder.start()
    yield doors
    doors.enough.set()
    doors.feeder.join(30)


def ended(running: Worker) -> None:
    assert running.process.wait(60) == KILLED, running.log


def test_each_door_takes_effect_once_through_kills(doors: Doors, services: Services, capsys: pytest.CaptureFixture[str]) -> None:
    file = doors.file
    with doors.worker(failpoint="input.come:3") as running:
        doors.http(running, "reset", "reset")
        running.wait_for(doors.done("reset"))
        doors.http(running, "promote", "promote-http", version="previous")
        ended(running)  # it is stored, and no shard has it
    doors.command("models", "rollback", file, token="rollback-command")
    with doors.worker(failpoint="input.saved:2") as running:
        ended(running)  # both shards have it, and nothing of that is committed
    with doors.worker() as running:
        running.wait_for(doors.done("rollback-command"))
        doors.by_topic("promote", "promote-topic", version="previous")
        running.wait_for(lambda: "token promote-topic: record 0 of" in running.log)
        running.process.kill()  # it is stored; whether a shard has it, or its offset is committed, is left to chance
    with doors.worker("--workers", "2") as running:
        running.wait_for(doors.done("promote-topic"))
        doors.http(running, "rollback", "rollback-http")
        doors.command("models", "rollback", file, "--by-topic", token="rollback-topic")
        os.kill(running.status()["workers"]["0"]["pid"], signal.SIGKILL)
        running.wait_for(doors.done("rollback-topic"))
        doors.command("models", "promote", file, "previous", "--wait", token="promote-command")
        doors.http(running, "retrain", "retrain-http")
        running.wait_for(doors.done("retrain-http"))
        doors.by_topic("retrain", "retrain-topic")
        doors.command("retrain", file, token="retrain-command")
        running.wait_for(doors.done("retrain-command"))
        running.wait_for(doors.done("retrain-topic"))
        # Everything once more, by other doors: nothing happens.
        doors.http(running, "rollback", "rollback-topic")
        doors.by_topic("promote", "promote-command", version="previous")
        running.wait_for(lambda: "token promote-command: record" in running.log)
        doors.enough.set()
        doors.feeder.join(30)
        running.wait_for(lambda: sum(doors.place.answered().values()) == doors.sent)
        running.stop()
    assert doors.effects() == {(token, partition): 1 for token in doors.asked for partition in range(PARTITIONS)}
    assert doors.duels() >= PARTITIONS, "what the rule on requests does, for a retrain at least in each shard"
    capsys.readouterr()
    ran("verify", file, "--predictions", "--json")
    report = json.loads(capsys.readouterr().out)
    assert (report["verdict"], report["lost"], report["duplicated"], report["different"]) == ("equal", 0, 0, 0)
