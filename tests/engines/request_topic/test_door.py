"""The third door at a real Kafka: what is asked is stored once through crashes, what is none is a dead letter, and nothing ends it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain.cli import main
from stream_retrain.codec.keyring import Key
from stream_retrain.codec.signed_request import SIGNATURE, sign
from stream_retrain.engines import failpoints
from stream_retrain.engines.failpoints import FailPoint
from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.request_topic import RequestThread
from stream_retrain.engines.kafka.request_topic.door import RequestTopic
from stream_retrain.engines.kafka.topics import prepare_topics
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError, StoreError
from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import WorkerFact
from stream_retrain.lane.dead_letter import read_letter
from stream_retrain.requests import Requests
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from stream_retrain.stores.ports import REQUESTS_MAX
from tests.conftest import Services
from tests.engines.live import Place
from tests.engines.support import read_topic

KEY = Key(id="k1", secret=bytes.fromhex("0a" * 16))
OTHER = Key(id="k1", secret=bytes.fromhex("0b" * 16))


class Crashed(BaseException):
    """As if the process had died."""


def forever(turn: Callable[[], object]) -> None:
    while True:
        turn()


class Asking:
    """A pipeline whose topic of requests is read in this process, into a store in memory."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.place = Place(services, folder)
        self.name = self.place.pipeline.name
        self.keys = folder / "requests.key"
        self.keys.write_text(f"{KEY.id}:{KEY.secret.hex()}")
        self.keys.chmod(0o600)
        places = {"kafka_bootstrap_servers": services.bootstrap_servers, "session_timeout_ms": 6_000}
        self.settings: Settings = load_settings(None, {}, places | {"requests_key_file": self.keys})
        self.of = Requests(pipeline=self.place.pipeline, stores=connect("memory://"), group="g", count=lambda: 1)
        self.facts: list[WorkerFact] = []
        self.told_to_stop = False
        self.error: Exception | None = None
        self.asked: list[str] = []
        prepare_topics(admin_client(self.settings), self.place.pipeline, self.settings)

    def ask(self, asked: Asked, partitions: Any) -> object:
        if self.error is not None:
            raise self.error
        answer = self.of.ask(asked, partitions)
        self.asked.append(asked.token)
        return answer

    def send(self, *values: bytes, key: Key | None = KEY) -> None:
        producer = Producer({"bootstrap.servers": self.place.services.bootstrap_servers})
        for value in values:
            headers: Any = {SIGNATURE: sign(value, key)} if key is not None else None
            producer.produce(f"{self.name}.requests", value, headers=headers)
        assert producer.flush(20) == 0

    def made(self, do: str, **fields: Any) -> bytes:
        return json.dumps({"pipeline": self.name, "do": do, "at": time.time(), **fields}).encode()

    def waiting(self) -> list[str]:
        shard = ShardId(self.name, self.place.source, 0)
        return [asked.token for asked in self.of.stores.requests.look(shard).waiting]

    def letters(self) -> list[tuple[str, str]]:
        found = [read_letter(list(each.headers.items())) for each in read_topic(self.place.services, f"{self.name}.dead_letters")[0]]
        return [(letter.reason, letter.detail) for letter in found if letter is not None and letter.topic == f"{self.name}.requests"]

    def watchdog(self) -> Watchdog:
        return Watchdog(lambda: self.told_to_stop, loop_timeout_s=60, shutdown_timeout_s=5)

    @contextlib.contextmanager
    def read(self, settings: Settings | None = None) -> Iterator[Callable[[Callable[[], Any]], None]]:
        """With its thread; what is yielded waits, as a worker's loop that looks after it."""
        with RequestThread(self.place.pipeline, settings or self.settings, "i", self.ask, self.watchdog(), self.facts.append) as thread:
            now_s = 0.0

            def until(holds: Callable[[], Any]) -> None:
                nonlocal now_s
                end_s = time.monotonic() + 60
                while not holds():
                    assert time.monotonic() < end_s, self.facts[-5:]
                    now_s += 1.0  # a second a turn, so that every turn tells
                    thread.look(now_s)
                    time.sleep(0.02)

            yield until

    def states(self) -> list[str]:
        return [fact.state for fact in self.facts if isinstance(fact, RequestTopicChanged)]

    def counted(self) -> tuple[int, int]:
        read = [fact for fact in self.facts if isinstance(fact, RequestsRead)]
        return sum(fact.taken for fact in read), sum(sum(fact.refused.values()) for fact in read)


@pytest.fixture
def asking(services: Services, tmp_path: Path) -> Asking:
    return Asking(services, tmp_path)


@pytest.mark.slow
@pytest.mark.services
def test_bad_records_are_dead_letters_and_the_good_ones_between_them_are_asked_in_order(asking: Asking) -> None:
    asking.send(asking.made("reset", token="a"), b"rubbish", asking.made("promote", version="9-g9"))
    asking.send(asking.made("reset"), key=OTHER)
    asking.send(asking.made("reset"), key=None)
    asking.send(asking.made("retrain"), asking.made("rollback", token="b"), asking.made("reset", token="a"))
    with asking.read() as until:
        until(lambda: asking.counted() == (3, 5))
        assert asking.waiting() == ["a", "b"]
        found = asking.letters()
        assert [reason for reason, _ in found] == ["decode", "request", "signature", "signature", "request"]
        assert "has partitions 0 to 0, and not 9" in found[1][1]
        assert "add On.request(Retrain(...)) to react" in found[4][1]
        asking.error = StoreError("Redis is away")
        asking.send(asking.made("reset", token="c"))
        until(lambda: asking.states()[-1] == "degraded")
        asking.error = None
        until(lambda: asking.waiting() == ["a", "b", "c"])
        until(lambda: asking.states()[-1] == "running")
        asking.told_to_stop = True
    assert asking.asked == ["a", "b", "a", "c"]
    assert len(asking.letters()) == 5


@pytest.mark.slow
@pytest.mark.services
def test_a_crash_between_the_store_and_the_commit_asks_again_under_the_same_token(asking: Asking) -> None:
    asking.send(asking.made("reset"), b"rubbish", asking.made("rollback", token="b"))

    def end_at(wanted: FailPoint) -> Callable[[FailPoint], None]:
        def reached(point: FailPoint) -> None:
            if point == wanted:
                raise Crashed

        return reached

    settings = dataclasses.replace(asking.settings, static_membership=False)
    for point in ("commit.begun", "commit.produced", "commit.offsets_sent"):
        topic = RequestTopic(asking.place.pipeline, settings, "i", asking.ask, asking.watchdog())
        failpoints.arm(end_at(point))  # type: ignore[arg-type]
        try:
            topic.start()
            with pytest.raises(Crashed):
                forever(topic.turn)
        finally:
            failpoints.disarm()
            topic.close()
    with asking.read(settings) as until:
        until(lambda: asking.counted() == (2, 1))
        asking.told_to_stop = True
    assert len(asking.waiting()) == 2
    assert sorted(asking.asked) == sorted(asking.waiting() * 4)
    assert [reason for reason, _ in asking.letters()] == ["decode"]


@pytest.mark.slow
@pytest.mark.services
def test_the_command_line_asks_by_topic_and_is_told_where_it_is_refused(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KAFKA", "REDIS"):
        monkeypatch.delenv(f"STREAM_RETRAIN_TEST_{name}", raising=False)
    monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", asking.place.services.bootstrap_servers)
    monkeypatch.setenv("STREAM_RETRAIN_REDIS_URL", "redis://127.0.0.1:1/0")
    file = str(asking.place.file)

    def ran(*arguments: str, keys: Path | None = None) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setenv("STREAM_RETRAIN_REQUESTS_KEY_FILE", "" if keys is None else str(keys))
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--by-topic", "--json"])
        told = capsys.readouterr()
        return int(str(ended.value.code)), json.loads(told.out or "{}"), told.err

    code, _, err = ran("reset", file)
    assert (code, "requests by topic must be signed, and there is no requests_key_file" in err) == (2, True)
    forged = asking.keys.with_name("forged.key")
    forged.write_text(f"{OTHER.id}:{OTHER.secret.hex()}")
    forged.chmod(0o600)
    with asking.read() as until:
        until(lambda: asking.states() == ["running"])
        code, told, _ = ran("reset", file, "--wait", "--timeout", "60", keys=forged)
        assert (code, told["outcomes"]["0"]["outcome"]) == (1, "refused")
        assert "its record was refused (signature): the signature is none of the key 'k1'" in told["outcomes"]["0"]["detail"]
        code, told, err = ran("models", "rollback", file, "--token", "mine", keys=asking.keys)
        assert (code, told["by"], told["new"]) == (0, "topic:k1", [])
        assert f"of topic {asking.name}.requests asks for it" in err
        for do in ("pause", "resume"):
            assert ran(do, file, keys=asking.keys)[0] == 0
        until(lambda: asking.counted() == (3, 1))
        asking.told_to_stop = True
    assert (asking.waiting(), asking.asked[0]) == (["mine"], "mine")
    assert asking.of.stores.requests.look(ShardId(asking.name, asking.place.source, 0)).paused is None


@pytest.mark.slow
@pytest.mark.services
def test_a_full_store_holds_the_topic_and_says_so_once_with_what_to_do(asking: Asking) -> None:
    shard = ShardId(asking.name, asking.place.source, 0)
    for number in range(REQUESTS_MAX - 1):
        asking.of.stores.requests.ask(shard, Asked(token=f"t{number}"))
    asking.send(asking.made("reset", token="a"), asking.made("reset", token="b"), b"rubbish", asking.made("pause", token="c"))

    def lag() -> int | None:
        return next((fact.lag_records for fact in reversed(asking.facts) if isinstance(fact, RequestsRead)), None)

    with asking.read() as until:
        until(lambda: asking.states()[-1:] == ["degraded"])
        began = len(asking.facts)
        until(lambda: len(asking.facts) > began + 200)
        assert asking.states()[-1] == "degraded"
        assert asking.states().count("degraded") == 1, "told once, however often it is tried"
        assert (asking.counted(), lag()) == ((1, 0), 3), "what is behind it waits too, and the group is not left"
        [told] = [fact.detail for fact in asking.facts if isinstance(fact, RequestTopicChanged) and fact.state == "degraded"]
        assert told.startswith(f"100 requests wait for shard {shard} already")
        assert "not paused (stream-retrain resume), and that events come" in told
        asking.of.stores.requests.drop(shard, [Asked(token="t0")])
        until(lambda: asking.counted() == (3, 1))
        until(lambda: (asking.states()[-1], lag()) == ("running", 0))
        asking.told_to_stop = True
    assert asking.asked == ["a", "b", "c"]
    assert (asking.waiting()[-2:], len(asking.waiting())) == (["a", "b"], REQUESTS_MAX)


@pytest.mark.slow
@pytest.mark.services
def test_attempts_that_fail_one_after_the_other_are_not_told_as_running_in_between(asking: Asking) -> None:
    """An alert that needs ten minutes of it would never fire."""
    asking.error = BrokerError("the source's partitions cannot be counted")
    asking.send(asking.made("reset", token="a"))
    with asking.read() as until:
        until(lambda: asking.states().count("degraded") >= 3)
        assert set(asking.states()) == {"degraded"}
        asking.error = None
        until(lambda: asking.counted() == (1, 0))
        until(lambda: asking.states()[-1] == "running")
        asking.told_to_stop = True


@pytest.mark.slow
@pytest.mark.services
def test_a_deleted_topic_is_made_anew_and_read_from_its_first_record(asking: Asking) -> None:
    asking.send(asking.made("reset", token="a"))
    with asking.read(dataclasses.replace(asking.settings, kafka={"topic.metadata.refresh.interval.ms": "1000"})) as until:
        until(lambda: asking.counted() == (1, 0))
        asking.place.deleted(f"{asking.name}.requests")
        until(lambda: asking.states()[-1] == "degraded")
        until(lambda: asking.states()[-1] == "running")
        asking.send(asking.made("reset", token="b"))
        until(lambda: asking.counted() == (2, 0))
        asking.told_to_stop = True
    assert asking.asked == ["a", "b"]
