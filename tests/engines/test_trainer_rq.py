"""Separate trainers: `stream-retrain trainer` in a process, called through RQ on a real Valkey."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from stream_retrain import Pipeline
from stream_retrain.codec.models import seal_model
from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.engines.trainer import Job, JobDone, JobFailed, JobProgressed, TrainerLimits
from stream_retrain.engines.trainer.rq import LEASE_S, RqTrainer, queue_name
from stream_retrain.engines.trainer.rq_worker import _forget_call
from stream_retrain.errors import SettingsError
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Ending, Stores
from tests.engines import trainer_support as support
from tests.engines.trainer_support import KEYRING, MODEL

pytestmark = pytest.mark.services

CHALLENGERS = (
    support.LAST_2000,
    Challenger(name="warm", start="champion", window=Window(rows=500), passes=2),
    Challenger(name="slow", window=Window(rows=2_000), model=support.Slow()),
    Challenger(name="stuck", window=Window(rows=500), model=support.Stuck()),
    Challenger(name="hungry", window=Window(rows=500), model=support.Hungry()),
    Challenger(name="bad", window=Window(rows=500), model=support.Raising()),
)
RULE = {challenger.name: at for at, challenger in enumerate(CHALLENGERS)}
MODULE = """
from tests.engines.test_trainer_rq import made
wanted = made({name!r})
"""


def made(name: str) -> Pipeline:
    """The pipeline of these tests, under a name of its own."""
    return support.several(*CHALLENGERS, name=name)


class Trainer:
    """A `stream-retrain trainer` in a process of its own."""

    def __init__(self, folder: Path, of: Pipeline, url: str, *options: str, **settings: Any) -> None:
        (folder / "signing.key").touch(mode=0o600)
        (folder / "signing.key").write_text(f"k1:{KEYRING.keys[0].secret.hex()}")
        (folder / "pipeline.py").write_text(MODULE.format(name=of.name))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
            "STREAM_RETRAIN_REDIS_URL": url,
            "STREAM_RETRAIN_SIGNING_KEY_FILE": str(folder / "signing.key"),
            **{f"STREAM_RETRAIN_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "stream_retrain", "trainer", str(folder / "pipeline.py"), *options]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(self.process.stderr)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send it a signal and wait; its exit code and its output."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        assert self.process.stdout
        printed = self.process.stdout.read()
        return self.process.wait(20), printed

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        self._reader.join(5)
        assert self.process.stderr
        assert self.process.stdout
        self.process.stderr.close()
        self.process.stdout.close()

    def wait_until_idle(self) -> None:
        """Wait until the process of its last training has ended."""
        until_s = time.monotonic() + 10
        while self.horse is not None and time.monotonic() < until_s:
            time.sleep(0.02)

    @property
    def horse(self) -> psutil.Process | None:
        """The process of its current training (RQ's work horse)."""
        children = psutil.Process(self.process.pid).children()
        return children[0] if children else None


@contextlib.contextmanager
def trainer_process(*arguments: Any, **settings: Any) -> Iterator[Trainer]:
    started = Trainer(*arguments, **settings)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def stores(valkey_url: str) -> Stores:
    return connect(valkey_url, keyring=KEYRING)


def asking(of: Pipeline, url: str, stores: Stores, **limits: Any) -> RqTrainer:
    return RqTrainer(of, url, stores.jobs, KEYRING, TrainerLimits(**{"timeout_s": 60.0, **limits}))


def job(of: Pipeline, epoch: int, through: int, challenger: str, **changes: Any) -> Job:
    return support.job(of, epoch, through, rule=RULE[challenger], **changes)


def test_one_trainer_serves_every_kind_of_job_and_ends_on_sigterm(stores: Stores, valkey_url: str, tmp_path: Path) -> None:
    of = made(support.pipeline().name)
    rows = support.rows(2_300)
    epoch = support.fill(stores, of, rows)
    asker = asking(of, valkey_url, stores)
    champion = MODEL.clone()
    train(champion, rows[:2_000])
    base = seal_model(champion, of, support.shard_of(of), KEYRING, learned_through=1_999, generation=2)
    with trainer_process(tmp_path, of, valkey_url, "--json", train_memory_bytes_max=200_000_000, train_timeout_s=2) as process:
        asker.submit(job(of, epoch, 1_999, "long", training=3))
        trained = support.until(asker, JobDone)
        assert support.digest_of(trained, of) == support.taught(MODEL, rows[:2_000], rows[2_000:], passes=2)
        assert (trained.training, trained.learned_through, trained.rows, trained.gap) == (3, 2_299, 4_300, False)
        asker.submit(job(of, epoch, 1_999, "warm", base=base))
        train(champion, rows[1_500:2_000], 2)
        train(champion, rows[2_000:])
        assert support.digest_of(support.until(asker, JobDone), of) == digest(champion)
        asker.submit(job(of, epoch, 1_999, "warm", base=base[:-1] + b"?"))
        assert "A model of" in support.until(asker, JobFailed).error
        asker.submit(job(of, epoch, 1_999, "bad"))
        assert "ZeroDivisionError: no such row" in support.until(asker, JobFailed).error
        asker.submit(job(of, epoch, 1_999, "hungry"))
        assert "more memory than train_memory_bytes_max" in support.until(asker, JobFailed).error
        asker.submit(job(of, epoch, 1_999, "stuck"))
        failed = support.until(asker, JobFailed)
        assert failed.error == "it took longer than train_timeout_s = 2 s"
        assert failed.attempts == 1
        asker.submit(job(of, epoch, 199, "slow", training=1))
        support.until(asker, JobProgressed)
        before_s = time.monotonic()
        code, printed = process.end()
        assert time.monotonic() - before_s < 5, "it does not wait for the training"
    assert code == 0, process.lines
    assert json.loads(printed) == {"trained": 2, "failed": 4, "unwanted": 0, "given_back": 1}
    asker.poll()
    assert asker.poll() == []
    state = stores.jobs.look(support.shard_of(of))
    assert state
    assert state.status == "waiting", "the next trainer takes it"
    assert any("takes the trainings of pipeline" in line for line in process.lines)
    assert any("training 3 of" in line and "4,300 rows" in line for line in process.lines)
    assert not any(KEYRING.keys[0].secret.hex() in line for line in process.lines)


def test_if_a_trainer_is_killed_in_a_job_another_takes_it_within_the_lease(
    stores: Stores, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease_s = 5.0
    monkeypatch.setattr("stream_retrain.engines.trainer.rq.LEASE_S", lease_s)
    of = made(support.pipeline().name)
    epoch = support.fill(stores, of, support.rows(400))
    asker = asking(of, valkey_url, stores)
    with trainer_process(tmp_path, of, valkey_url) as first, trainer_process(tmp_path, of, valkey_url) as second:
        asker.submit(job(of, epoch, 399, "slow"))
        support.until(asker, JobProgressed)
        at_work, other = (first, second) if first.horse else (second, first)
        horse = at_work.horse
        assert horse
        at_work.process.kill()
        killed_s = time.monotonic()
        support.wait_until_ended(horse)
        trained = support.until(asker, JobDone, 40.0)
        assert time.monotonic() - killed_s < lease_s + 10
        assert trained.rows == 400
        assert other.process.poll() is None


def test_a_killed_training_is_reported_at_once_and_begins_again(stores: Stores, valkey_url: str, tmp_path: Path) -> None:
    of = made(support.pipeline().name)
    epoch = support.fill(stores, of, support.rows(2_000))
    asker = asking(of, valkey_url, stores)
    with trainer_process(tmp_path, of, valkey_url, "--json") as process:
        asker.submit(job(of, epoch, 1_999, "slow"))
        for _ in range(2):
            support.until(asker, JobProgressed)
            assert process.horse
            process.horse.kill()
            killed_s = time.monotonic()
        failed = support.until(asker, JobFailed)
        assert time.monotonic() - killed_s < LEASE_S
        assert failed.attempts == 2
        assert "ended by SIGKILL" in failed.error
        asker.submit(job(of, epoch, 1_999, "slow", training=1))
        support.until(asker, JobProgressed)
        asker.cancel(support.shard_of(of))
        assert support.until(asker, JobFailed).error == "cancelled"
        asker.submit(job(of, epoch, 99, "long", training=2))
        assert support.until(asker, JobDone).training == 2, "a cancelled training does not keep the trainer busy"
        process.wait_until_idle()
        code, printed = process.end(signal.SIGINT)
    assert code == 0
    assert json.loads(printed) == {"trained": 1, "failed": 2, "unwanted": 1, "given_back": 0}


def test_a_burst_trains_what_waits_and_runs_nothing_else(stores: Stores, valkey_url: str, tmp_path: Path) -> None:
    """The trainer calls no other function that someone put into the queue, and no callback."""
    import rq

    of = made(support.pipeline().name)
    touched = tmp_path / "touched"
    queue = rq.Queue(queue_name(of), connection=redis.Redis.from_url(valkey_url), serializer=rq.serializers.JSONSerializer)
    queue.enqueue_call("pathlib.Path.touch", args=[str(touched)])
    queue.enqueue_call("os.system", args=[f"touch {touched}"], on_failure=rq.Callback("os.system"), on_success=rq.Callback("os.system"))
    asker = asking(of, valkey_url, stores)
    asker.submit(job(of, support.fill(stores, of, support.rows(2_000)), 1_999, "long"))
    assert asker.poll() == []
    with trainer_process(tmp_path, of, valkey_url, "--burst", "--json") as process:
        code, printed = process.wait()
    assert (code, json.loads(printed)) == (0, {"trained": 1, "failed": 0, "unwanted": 0, "given_back": 0})
    assert isinstance(asker.poll()[0], JobDone)
    assert stores.jobs.look(support.shard_of(of)) is None, "a result that was returned is not kept"
    assert not touched.exists()


def test_what_the_queue_holds_that_cannot_be_read_is_dropped_and_the_rest_is_trained(
    stores: Stores, valkey_url: str, tmp_path: Path
) -> None:
    of = made(support.pipeline().name)
    client: Any = redis.Redis.from_url(valkey_url)
    name = queue_name(of)
    hostile = [
        {"data": b"?"},
        {"created_at": "yesterday", "data": b""},
        {"timeout": "soon", "data": b"\xff"},
        {"status": "odd"},
        {"a": "b"},
    ]
    for number, fields in enumerate(hostile):
        client.hset(f"rq:job:hostile-{number}", mapping=fields)
        client.rpush(f"rq:queue:{name}", f"hostile-{number}")
    client.rpush(f"rq:queue:{name}", b"\xff\xfe", "no such call", "")
    asker = asking(of, valkey_url, stores)
    asker.submit(job(of, support.fill(stores, of, support.rows(2_000)), 1_999, "long"))
    with trainer_process(tmp_path, of, valkey_url, "--burst", "--json") as process:
        code, printed = process.wait()
    assert code == 0, process.lines
    assert json.loads(printed)["trained"] == 1, process.lines


def test_a_trainer_that_has_loaded_other_code_refuses(stores: Stores, valkey_url: str, tmp_path: Path) -> None:
    of = made(support.pipeline().name)
    asker = asking(of, valkey_url, stores)
    asker._sources = "of other files"
    asker.submit(job(of, support.fill(stores, of, support.rows(2_000)), 1_999, "long"))
    with trainer_process(tmp_path, of, valkey_url, "--burst", "--json") as process:
        code, printed = process.wait()
    assert (code, json.loads(printed)["failed"]) == (0, 1)
    assert "has loaded other code than the worker" in support.ended(asker).error  # type: ignore[union-attr]


class TestResults:
    """A result in the store is accepted only if it is sealed and belongs to the job."""

    def ended(self, valkey_url: str, stores: Stores, sealed: Any, training: int = 0) -> JobDone | JobFailed:
        of = made(support.pipeline().name)
        epoch = support.fill(stores, of, support.rows(10))
        asker = asking(of, valkey_url, stores)
        asker.submit(job(of, epoch, 9, "long", training=training))
        state = stores.jobs.look(support.shard_of(of))
        assert state
        assert stores.jobs.end(support.shard_of(of), state.token, Ending(sealed=sealed(of, epoch)))
        return support.ended(asker)

    @staticmethod
    def genuine(of: Pipeline, epoch: int, changes: dict[str, str] | None = None) -> bytes:
        extra = {"epoch": str(epoch), "training": "0", "rows": "10", "seconds": "0.1", "gap": "no", **(changes or {})}
        return seal_model(MODEL.clone(), of, support.shard_of(of), KEYRING, learned_through=9, extra=extra)

    def test_a_genuine_one_is_returned(self, valkey_url: str, stores: Stores) -> None:
        assert isinstance(self.ended(valkey_url, stores, self.genuine), JobDone)

    def test_one_of_another_training_is_refused(self, valkey_url: str, stores: Stores) -> None:
        for changes in ({"training": "1"}, {"epoch": "1"}):
            failed = self.ended(valkey_url, stores, lambda of, epoch, extra=changes: self.genuine(of, epoch, extra))
            assert isinstance(failed, JobFailed)
            assert "is of another training" in failed.error

    def test_a_changed_one_is_refused(self, valkey_url: str, stores: Stores) -> None:
        failed = self.ended(valkey_url, stores, lambda of, epoch: self.genuine(of, epoch)[:-1] + b"?")
        assert isinstance(failed, JobFailed)
        assert "its result was refused" in failed.error

    def test_no_pickle_is_in_the_queue(self, valkey_url: str, stores: Stores) -> None:
        of = made(support.pipeline().name)
        asking(of, valkey_url, stores).submit(job(of, support.fill(stores, of, support.rows(10)), 9, "long"))
        client: Any = redis.Redis.from_url(valkey_url)
        [call] = client.lrange(f"rq:queue:{queue_name(of)}", 0, -1)
        import zlib

        data = client.hget(f"rq:job:{call.decode()}", "data")
        assert json.loads(zlib.decompress(data))[2][:3] == [of.name, of.source, 0]
        assert client.pttl(f"sr:{{{support.shard_of(of)}}}:job") > 0


def test_jobs_wait_while_the_store_is_away(stores: Stores) -> None:
    of = made(support.pipeline().name)
    asker = asking(of, "redis://127.0.0.1:1/0", stores)
    asker.submit(job(of, support.fill(stores, of, support.rows(10)), 9, "long"))
    assert asker.poll() == []
    asker.cancel(support.shard_of(of))
    assert [type(result) for result in asker.poll()] == [JobFailed]


def test_a_training_asked_for_again_is_reported_once(stores: Stores, valkey_url: str) -> None:
    of = made(support.pipeline().name)
    epoch = support.fill(stores, of, support.rows(10))
    asker = asking(of, valkey_url, stores)
    asker.submit(job(of, epoch, 9, "long"))
    asker.cancel(support.shard_of(of))
    asker.submit(job(of, epoch, 9, "long"))
    assert asker.poll() == []
    asker.submit(job(of, epoch, 9, "long", training=1))
    assert [result.training for result in asker.poll()] == [0]


def test_an_older_owner_is_refused(stores: Stores, valkey_url: str) -> None:
    of = made(support.pipeline().name)
    older = support.fill(stores, of, support.rows(10))
    stores.checkpoints.claim(support.shard_of(of))
    asker = asking(of, valkey_url, stores)
    asker.submit(job(of, older, 9, "long"))
    assert "was claimed under epoch" in support.ended(asker).error  # type: ignore[union-attr]


def test_without_rq_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, stores: Stores, valkey_url: str) -> None:
    monkeypatch.setitem(sys.modules, "rq", None)
    with pytest.raises(SettingsError, match=r"pip install 'stream_retrain\[rq\]'"):
        asking(made("without"), valkey_url, stores)


def test_being_told_to_stop_is_never_taken_for_a_call_that_cannot_be_read() -> None:
    from rq.exceptions import StopRequested

    with pytest.raises(StopRequested):
        _forget_call(None, StopRequested())
