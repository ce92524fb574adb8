"""How workers of a group stand: told, read as values nobody has to trust, and forgotten in time."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
import redis

from stream_retrain.cli.group_status import group_status
from stream_retrain.errors import StateError
from stream_retrain.facts.shard import Rejected, Unmatched
from stream_retrain.facts.worker import TrainerTold, TrainingWaits
from stream_retrain.stores import connect
from stream_retrain.stores.ports import STATUS_EXPIRE_S, Stores, WorkerTold
from stream_retrain.stores.redis import workers as redis_workers
from stream_retrain.stores.worker_status import STATUS_BYTES_MAX, WorkerStatus, read_status, status_of, written
from stream_retrain.views.status import Status
from tests.facts.examples import EXAMPLES
from tests.views.made import MadeWorker
from tests.views.support import processed

GROUP = "stream_retrain.flights"


def made(seconds: int = 100, first: int = 0) -> MadeWorker:
    worker = MadeWorker(2, first=first, total=4, seconds_ago=seconds)
    worker.run(seconds)
    return worker


@pytest.fixture(scope="module")
def status() -> WorkerStatus:
    return status_of(made().status.snapshot(), "http://127.0.0.1:9464")


def named(status: WorkerStatus, instance: str) -> WorkerStatus:
    return msgspec.structs.replace(status, instance=instance)


class TestTheStore:
    def test_gives_back_what_each_worker_said_last(self, stores: Stores, status: WorkerStatus) -> None:
        assert stores.workers.all(GROUP) == []
        stores.workers.tell(GROUP, named(status, "b-1"))
        stores.workers.tell(GROUP, msgspec.structs.replace(named(status, "a-0"), state="starting"))
        stores.workers.tell(GROUP, named(status, "a-0"))
        found = stores.workers.all(GROUP)
        assert [told.status for told in found] == [named(status, "a-0"), named(status, "b-1")]
        assert all(0 <= told.age_s < 5 for told in found)

    def test_keeps_groups_apart(self, stores: Stores, status: WorkerStatus) -> None:
        stores.workers.tell(GROUP, status)
        assert stores.workers.all("another") == []

    def test_forgets_a_worker_that_has_stopped(self, stores: Stores, status: WorkerStatus) -> None:
        stores.workers.tell(GROUP, named(status, "a"))
        stores.workers.tell(GROUP, named(status, "b"))
        stores.workers.drop(GROUP, "a")
        stores.workers.drop(GROUP, "nobody")
        assert [told.status.instance for told in stores.workers.all(GROUP)] == ["b"]


def test_a_status_is_small_and_has_what_stands_on_the_page(status: WorkerStatus) -> None:
    assert len(written(status)) < 2_500
    first, second = status.shards
    assert (first.partition, first.state, first.generation, first.drifts, first.dead_letters, first.unmatched) == (0, "live", 1, 1, 3, 3)
    assert first.duel is not None
    assert (first.duel.leader, first.duel.passes_at) == ("champion", 10.0)
    assert first.duel.e_value == pytest.approx(1.06**28)
    assert first.training is not None
    assert first.training.startswith("1 (since_change), 11,200 of 12,000")
    assert (second.duel, second.training) == (None, None)
    assert (status.partitions, status.ready, status.url) == (4, True, "http://127.0.0.1:9464")
    assert read_status(written(status), status.instance) == status


def test_what_a_worker_says_before_anything_is_known_can_be_told() -> None:
    status = status_of(Status("flights", "a-0").snapshot())
    assert (status.state, status.partitions, status.shards) == ("starting", None, [])
    assert read_status(written(status), "a-0") == status


def test_long_texts_and_many_shards_are_cut_and_still_read() -> None:
    shown = made(3).status.snapshot()
    place, shard = next(iter(shown["shards"].items()))
    shown |= {"detail": "x" * 10_000, "missing": ["y" * 10_000] * 50}
    shown["shards"] = {f"{place[:-1]}{number}": shard for number in range(3_000)}
    status = status_of(shown)
    assert (len(status.detail), len(status.missing), len(status.missing[0]), len(status.shards)) == (500, 10, 500, 2_000)
    assert len(written(status)) < STATUS_BYTES_MAX
    assert read_status(written(status), status.instance) == status


def changed(status: WorkerStatus, **values: Any) -> bytes:
    return json.dumps(json.loads(written(status)) | values).encode()


SHARD_TEXTS = [{"partition": -1}, {"partition": 1e300}, {"state": "dead"}, {"offset": 2**70}, {"pending": "1"}, {"rolling": {"A": "0.5"}}]


@pytest.mark.parametrize(
    "values",
    [
        *({"instance": 3}, {"instance": "x" * 201}, {"detail": "x" * 501}, {"state": "happy"}, {"uptime_s": -1}, {"uptime_s": 1e13}),
        *({"missing": ["x"] * 11}, {"shards": {}}, {"shards": [3]}, {"shards": [{}]}, {"partitions": "4"}, {"ready": "yes"}),
    ],
    ids=str,
)
def test_a_text_that_does_not_fit_is_no_status(status: WorkerStatus, values: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="what is stored as the status of a worker is none"):
        read_status(changed(status, **values), status.instance)


@pytest.mark.parametrize("values", SHARD_TEXTS, ids=str)
def test_a_shard_that_does_not_fit_is_none(status: WorkerStatus, values: dict[str, Any]) -> None:
    shard = json.loads(written(status))["shards"][0] | values
    with pytest.raises(StateError):
        read_status(changed(status, shards=[shard]), status.instance)


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"\xff\xfe", b'{"instance":', b"[" * 100_000, b"NaN"])
def test_what_is_no_json_of_ours_is_no_status(text: bytes) -> None:
    with pytest.raises(StateError):
        read_status(text, "a")


def test_a_status_under_another_name_is_refused(status: WorkerStatus) -> None:
    with pytest.raises(StateError, match="has another's name"):
        read_status(written(status), "another")


@pytest.mark.services
class TestRedis:
    def test_leaves_out_what_others_wrote(self, own_valkey: str, status: WorkerStatus, caplog: pytest.LogCaptureFixture) -> None:
        stores, raw = connect(own_valkey), redis.Redis.from_url(own_valkey)
        stores.workers.tell(GROUP, named(status, "good"))
        texts, times = redis_workers._keys(GROUP)
        now_ms = int(raw.time()[0]) * 1000
        odd = {b"liar": written(status), b"none": b"{}", b"\xff": b"{}", b"big": b"x" * (STATUS_BYTES_MAX + 1), b"n" * 900: b"{}"}
        for name, text in odd.items():
            raw.hset(texts, name, text)
            raw.zadd(times, {name: now_ms - 1})
        raw.zadd(times, {"without a text": now_ms - 1, "future": 1e300, "past": -1e300, "half": now_ms - 0.5})
        assert [told.status.instance for told in stores.workers.all(GROUP)] == ["good"]
        assert "is left out" in caplog.text
        raw.close()

    def test_makes_do_with_keys_of_another_kind(self, own_valkey: str, status: WorkerStatus) -> None:
        stores, raw = connect(own_valkey), redis.Redis.from_url(own_valkey)
        for key in redis_workers._keys(GROUP):
            raw.set(key, "text")
        assert stores.workers.all(GROUP) == []
        for key in redis_workers._keys(GROUP):
            raw.set(key, "text")
        stores.workers.tell(GROUP, status)
        assert len(stores.workers.all(GROUP)) == 1
        raw.close()

    def test_forgets_everything_in_time_and_keeps_no_more_workers_than_that(
        self, own_valkey: str, status: WorkerStatus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stores, raw = connect(own_valkey), redis.Redis.from_url(own_valkey)
        monkeypatch.setattr(redis_workers, "WORKERS_MAX", 3)
        for number in range(5):
            stores.workers.tell(GROUP, named(status, f"a-{number}"))
        texts, times = redis_workers._keys(GROUP)
        assert (raw.hlen(texts), raw.zcard(times)) == (3, 3)
        assert all(0 < raw.pttl(key) <= STATUS_EXPIRE_S * 1000 for key in (texts, times))
        raw.zadd(times, {"a-4": int(raw.time()[0]) * 1000 - STATUS_EXPIRE_S * 1000 - 2_000})
        assert "a-4" not in [told.status.instance for told in stores.workers.all(GROUP)]
        stores.workers.tell(GROUP, named(status, "b"))
        assert raw.hget(texts, "a-4") is None
        raw.close()


def test_counts_of_reasons_are_told_as_one(status: WorkerStatus) -> None:
    worker = made(3)
    shard = worker.shards[0].id
    worker.tell(processed(EXAMPLES[Rejected], EXAMPLES[Rejected], EXAMPLES[Unmatched], shard=shard))
    worker.tell(TrainerTold(shard=shard, training=7, rows=5, rows_total=None))
    brief = status_of(worker.status.snapshot()).shards[0]
    assert (brief.dead_letters, brief.unmatched, brief.training) == (2, 1, "7 (from before this start), 5 rows")
    worker.tell(TrainingWaits(shard=shard, training=8, waited_s=60.0, trainers=0))
    brief = status_of(worker.status.snapshot()).shards[0]
    assert brief.training == "8 (from before this start), 0 rows, nobody has taken it for 60 s"


def test_no_mutated_text_is_anything_but_a_status_or_a_state_error(status: WorkerStatus) -> None:
    chance, text, refused = random.Random(7), written(status), 0
    parts = [b"", b"9" * 30, b"-", b"null", b"\xff", b'"', b"[[[", b"1e999", b"\\u0000"]
    for _ in range(3_000):
        changed_ = bytearray(text)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(changed_))
            changed_[at : at + chance.randrange(3)] = chance.choice(parts)
        try:
            found = read_status(bytes(changed_), status.instance)
        except StateError:
            refused += 1
        else:
            group_status("g", [WorkerTold(found, 0.0)])
    assert 1_000 < refused < 3_000
