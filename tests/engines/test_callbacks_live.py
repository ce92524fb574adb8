"""`stream-retrain callbacks` on a real Kafka: at least once through kills, dead letters, beside a worker and alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.decision_examples import example_fact
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.settings import Settings, load_settings
from tests import warm
from tests.conftest import Services
from tests.engines.callbacks.support import KINDS, Answer, Receiver, receiving, until
from tests.engines.support import read_topic, worker

pytestmark = [pytest.mark.services, pytest.mark.slow]

FILE = """
import os, time
from river import drift, linear_model
from stream_retrain import Callbacks, Ignore, On, Pipeline, Schema, Watch, Webhook

def raises(decision):
    raise ValueError("no")

def leaves(decision):
    os._exit(7)

def hangs(decision):
    time.sleep(600)

pipeline = Pipeline(
    name="{name}", task="binary", source="{name}.events", model=linear_model.LogisticRegression(),
    schema=Schema(id="id", label="y", features={{"a": float}}), watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Ignore())],
    {told}
)
"""


class Shop:
    """A pipeline whose decisions the test writes, or a worker does."""

    def __init__(self, services: Services, folder: Path, told: str, partitions: int = 2) -> None:
        self.services, self.name = services, services.name("told")
        self.file = folder / f"{self.name.replace('-', '_')}.py"
        self.file.write_text(FILE.format(name=self.name, told=told))
        self.settings: Settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
        for topic in (f"{self.name}.events", f"{self.name}.decisions"):
            create_topic(self.settings, topic, partitions, {})

    def decide(self, numbers: range, *, commit: bool = True, kind: str = "drift.detected", age_s: float = 0.0, **fields: Any) -> list[str]:
        """Write decisions in a transaction, in turn to each partition; their ids."""
        config = {"bootstrap.servers": self.services.bootstrap_servers, "transactional.id": f"{self.name}-{numbers.start}"}
        producer, ids = Producer(config), []
        producer.init_transactions(20)
        producer.begin_transaction()
        for number in numbers:
            shard = ShardId(self.name, f"{self.name}.events", number % 2)
            [(_, value)] = encode_decisions(shard, [example_fact(KINDS[kind], offset=number, **fields)])
            stamp = int((time.time() - age_s) * 1000)
            producer.produce(f"{self.name}.decisions", value, b"key", partition=number % 2, timestamp=stamp)
            ids.append(json.loads(value)["id"])
        (producer.commit_transaction if commit else producer.abort_transaction)(20)
        return ids

    def command(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "stream_retrain", "callbacks", str(self.file), *options]

    @property
    def environment(self) -> dict[str, str]:
        return self.services.environment | {"STREAM_RETRAIN_SESSION_TIMEOUT_MS": "6000"}

    def once(self, *options: str, code: int = 0) -> dict[str, Any]:
        done = subprocess.run(self.command("--json", *options), env=self.environment, capture_output=True, text=True, timeout=150)
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(self.command(), env=self.environment, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)

    def letters(self) -> list[tuple[dict[str, str], bytes | None]]:
        found = read_topic(self.services, f"{self.name}.callbacks.dead_letters")
        return [({name: value.decode() for name, value in each.headers.items()}, each.value) for part in found.values() for each in part]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def hook(receiver: Receiver, more: str = "") -> str:
    return f'webhooks=[Webhook(url="{receiver.url}", on=("drift",), pause_s=0.1{more})]'


def first_seen(receiver: Receiver) -> list[str]:
    return list(dict.fromkeys(came.id for came in receiver.came))


def test_each_decision_is_told_at_least_once_and_in_order_through_kills(services: Services, tmp_path: Path, receiver: Receiver) -> None:
    shop = Shop(services, tmp_path, hook(receiver))
    receiver.always = lambda _: Answer(slow_s=0.03, body=b"1")
    committed = shop.decide(range(60))
    aborted = shop.decide(range(60, 80), commit=False)
    committed += shop.decide(range(80, 120))
    with shop.running() as process:
        until(lambda: len(first_seen(receiver)) >= 20)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with shop.running() as process:
        until(lambda: len(first_seen(receiver)) >= len(committed))
        process.terminate()
        assert process.wait(30) == 0
    seen = first_seen(receiver)
    assert set(seen) == set(committed)
    assert not set(seen) & set(aborted)
    for partition in ("0", "1"):
        in_order = [id_ for id_ in committed if id_.split("/")[1] == partition]
        assert [id_ for id_ in seen if id_.split("/")[1] == partition] == in_order
    assert len(receiver.came) < 1.5 * len(committed), "what was done is committed, and not done again"


def test_what_hangs_raises_leaves_or_does_not_answer_becomes_dead_letters_and_the_others_are_told(
    services: Services, tmp_path: Path, receiver: Receiver
) -> None:
    limits = "attempts_max=2, pause_s=0.1"
    told = f"""callbacks=Callbacks(on_drift=raises, on_failure=leaves, on_completion=hangs, timeout_s=1, {limits}),
    webhooks=[
        Webhook(url="{receiver.url}", name="well"),
        Webhook(url="{receiver.url}/500", name="broken", on=("drift",), {limits}),
        Webhook(url="{receiver.url}/slow", name="slow", on=("drift",), timeout_s=1, {limits}),
        Webhook(url="{receiver.url}/gone", name="gone", on=("drift",)),
        Webhook(url="http://127.0.0.1:9/", name="refused", on=("drift",), {limits}),
    ]"""
    shop = Shop(services, tmp_path, told)
    answers = {"/hook/500": Answer(500), "/hook/slow": Answer(slow_s=0.3, body=b"x" * 60), "/hook/gone": Answer(410)}
    receiver.always = lambda came: answers.get(came.path, Answer())
    old = shop.decide(range(10, 16), age_s=7_200)
    drifts, failures = shop.decide(range(2)), shop.decide(range(2, 4), kind="training.failed")
    stood = shop.once("--once", code=1)
    assert sorted(came.id for came in receiver.came if came.path == "/hook") == sorted(drifts + failures)
    letters = shop.letters()
    by_handler = {
        name: sorted(headers["sr_decision"] for headers, _ in letters if headers["sr_handler"] == name) for name in stood["handlers"]
    }
    assert by_handler == {
        "on_drift": sorted(drifts),
        "on_failure": sorted(failures),
        "on_completion": sorted(failures),
        "well": [],
        **dict.fromkeys(("broken", "slow", "gone", "refused"), sorted(drifts)),
    }
    errors = {headers["sr_handler"]: (headers["sr_error"], headers["sr_attempts"]) for headers, _ in letters}
    assert errors["on_drift"] == ("ValueError: no", "2")
    assert errors["on_failure"] == ("its process ended during the call", "2")
    assert errors["on_completion"] == ("it took longer than timeout_s=1, and was ended", "2")
    assert errors["broken"] == ("it answered 500: ok", "2")
    assert errors["gone"] == ("it answered 410: ok", "1")
    assert "took longer" in errors["slow"][0]
    assert "refused" in errors["refused"][0]
    originals = {each.value for part in read_topic(services, f"{shop.name}.decisions").values() for each in part}
    assert {value for _, value in letters} <= originals
    assert stood["handlers"]["well"] == {"called": 4, "failed": 0, "retried": 0, "dead": 0, "waiting": 0, "error": ""}
    assert stood["lag_records"] == 0

    receiver.came.clear()  # a group that is new begins with the last minutes; what is older is told by a range
    again = shop.once("--from", "offset:0", "--handler", "well")
    assert again["handlers"]["well"]["called"] == 10
    assert {came.id for came in receiver.came} == {*old, *drifts, *failures}


def test_a_worker_starts_it_shows_it_and_ends_it(services: Services, tmp_path: Path, receiver: Receiver) -> None:
    shop = Shop(services, tmp_path, hook(receiver))
    with worker(services, shop.file, trainer="off", session_timeout_ms=6_000) as running:
        _drift(shop)
        running.wait_for(lambda: len(receiver.came) > 0, 90)
        running.wait_for(lambda: (running.status()["callbacks"] or {}).get("lag_records") == 0)
        [[name, stood]] = running.status()["callbacks"]["handlers"].items()
        assert (name, stood["failed"]) == ("webhook:127.0.0.1", 0)
        running.wait_for(lambda: sum(running.counts("callbacks_called").values()) >= 1)
        [pid] = _children(running.process.pid, "callbacks")
        os.kill(pid, signal.SIGKILL)
        running.wait_for(lambda: [pid] != (now := _children(running.process.pid, "callbacks")) and len(now) == 1)
        ids = shop.decide(range(1_000_000, 1_000_004))
        running.wait_for(lambda: set(ids) <= {came.id for came in receiver.came}, 90)

        def shown() -> list[str]:
            found = json.loads(warm.run(["status", str(shop.file), "--json"], shop.environment).stdout)
            return [each["state"] for each in found["callbacks"]]

        running.wait_for(lambda: shown() == ["running"])  # the one that was killed is shown until what it said has expired
        [second] = _children(running.process.pid, "callbacks")
        running.stop()
        until(lambda: not Path(f"/proc/{second}").exists(), seconds=20)


def _drift(shop: Shop) -> None:
    producer = Producer({"bootstrap.servers": shop.services.bootstrap_servers})
    for number in range(3_000):
        row = {"id": f"e{number}", "a": float(number % 7), "y": (number % 7 > 3) != (number > 1_500)}
        producer.produce(f"{shop.name}.events", json.dumps(row).encode(), partition=0)
    assert producer.flush(20) == 0


def _children(parent: int, word: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(stat[1]) == parent and stat[0] != "Z" and word in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found
