"""Trainers of the pool: `stream-retrain trainer` in processes, on a real Kafka and a real Valkey."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from stream_retrain.codec.models import seal_model
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.engines.trainer import JobDone, JobFailed, JobProgressed
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Stores
from tests.conftest import Services
from tests.engines import trainer_support as support
from tests.engines.pool_support import Trainer, asking, job, made, stores_of, trainer_process
from tests.engines.trainer_support import KEYRING, MODEL

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def stores(services: Services) -> Stores:
    return stores_of(services)


def test_trainings_are_done_limited_begun_again_given_back_and_done_by_the_next_trainer(
    stores: Stores, services: Services, tmp_path: Path
) -> None:
    of, other = made(), made()
    rows = support.rows(400)
    epoch = support.fill(stores, of, rows)
    asker = asking(of, services)
    champion = MODEL.clone()
    train(champion, rows[:300])
    base = seal_model(champion, of, support.shard_of(of), KEYRING, learned_through=299, generation=2)
    with trainer_process(services, tmp_path, of, "--json", train_memory_bytes_max=200_000_000) as process:
        asker.submit(job(of, epoch, 299, "long", training=3))
        trained = support.until(asker, JobDone)
        assert support.digest_of(trained, of) == support.taught(MODEL, rows[:300], rows[300:], passes=2)
        assert (trained.training, trained.learned_through, trained.rows, trained.gap) == (3, 399, 700, False)
        asker.submit(job(of, epoch, 299, "warm", base=base))
        train(champion, rows[:300], 2)
        train(champion, rows[300:])
        assert support.digest_of(support.until(asker, JobDone), of) == digest(champion)
        asker.submit(job(of, epoch, 399, "hungry"))
        assert "more memory than train_memory_bytes_max" in support.until(asker, JobFailed).error
        asker.submit(job(of, epoch, 399, "slow"))
        support.until(asker, JobProgressed)
        process.says("attempt 1")
        assert process.child
        process.child.kill()
        until_s = time.monotonic() + 90
        while not any("attempt 2" in line for line in process.lines):  # who asked repeats it, and looks while it waits
            assert time.monotonic() < until_s, process.lines
            assert all(isinstance(result, JobProgressed) for result in asker.poll())
            time.sleep(0.02)
        code, printed = process.end()
    assert code == 0, process.lines
    assert json.loads(printed) == {"trained": 2, "failed": 2, "unwanted": 0, "given_back": 1, "dropped": 0}
    state = stores.jobs.look(support.shard_of(of))
    assert state
    assert state.status == "given_back"
    assert any("training 3 of" in line and "700 rows" in line for line in process.lines)
    assert not any(KEYRING.keys[0].secret.hex() in line for line in process.lines)
    producer = Producer({"bootstrap.servers": services.bootstrap_servers})
    for number, value in enumerate([b"", b"\x80\x05cos\nsystem\n", b"{}", b"SRS1" + bytes(100), b"\xff" * 70_000]):
        producer.produce(f"{of.name}.trainings", value, partition=number % 4)
    producer.flush()
    with trainer_process(services, tmp_path, [other, of], "--json") as process:
        assert support.until(asker, JobDone).rows == 400, "there is no topic of the other pipeline's trainings yet"
        code, printed = process.end()
    assert code == 0, process.lines
    assert json.loads(printed)["trained"] == 1
    assert json.loads(printed)["dropped"] == 5, "no ticket of ours among them"
    assert stores.jobs.look(support.shard_of(of)) is None, "a result that was returned is not kept"


def wait_for_shares(services: Services, trainer: Trainer, members: int) -> None:
    """Until so many are in the group of a trainer, and each has partitions."""
    [group] = {found[1] for line in trainer.lines if (found := re.search(r"\(group (\S+)\)", line))}
    admin, until_s = AdminClient({"bootstrap.servers": services.bootstrap_servers}), time.monotonic() + 60
    while True:
        there = admin.describe_consumer_groups([group], request_timeout=20)[group].result().members
        if len(there) == members and all(each.assignment.topic_partitions for each in there):
            return
        assert time.monotonic() < until_s, there
        time.sleep(0.1)


def test_two_trainers_share_the_load_and_one_takes_up_what_the_other_was_at_when_it_was_killed(
    stores: Stores, services: Services, tmp_path: Path
) -> None:
    of = made()
    shards = [support.shard_of(of)._replace(partition=number) for number in range(4)]
    epochs = {shard: stores.checkpoints.claim(shard) for shard in shards}
    for shard in shards:
        support.append_to(stores, shard, epochs[shard], support.rows(400))
    asker = asking(of, services)
    with trainer_process(services, tmp_path, of) as first, trainer_process(services, tmp_path, of) as second:
        first.says("takes the trainings of")
        wait_for_shares(services, first, members=2)  # the first one alone would take them all
        for shard in shards:
            asker.submit(job(of, epochs[shard], 399, "slow", partition=shard.partition))
        done: set[ShardId] = set()

        def until(holds: Callable[[], bool]) -> None:
            until_s = time.monotonic() + 90
            while not holds():
                assert time.monotonic() < until_s, first.lines + second.lines
                done.update(result.shard for result in asker.poll() if isinstance(result, JobDone))
                time.sleep(0.02)

        until(lambda: all(any(" begins, attempt 1" in line for line in each.lines) for each in (first, second)) and bool(first.child))
        child = first.child
        assert child
        first.process.kill()
        support.wait_until_ended(child, 15.0)
        until(lambda: any("attempt 2" in line for line in second.lines))
        until(lambda: len(done) == len(shards))
        assert sum("attempt 2" in line for line in second.lines) == 1
