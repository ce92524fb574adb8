"""The trainer beside a worker: a real child process on a real Valkey, which is killed, limited and interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stream_retrain import Pipeline
from stream_retrain.codec.models import seal_model
from stream_retrain.core.contest.challenger import Challenger, TopicRange, Window
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.engines.trainer import Job, JobDone, JobFailed, JobProgressed, ProcessTrainer, TrainerLimits
from stream_retrain.facts.values import Learned
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores, WindowLimits
from stream_retrain.stores.window import WindowChunk
from tests.engines import trainer_support as support
from tests.engines.trainer_support import KEYRING, MODEL

pytestmark = pytest.mark.services


@pytest.fixture
def stores(valkey_url: str) -> Stores:
    return connect(valkey_url, keyring=KEYRING)


class Trainers:
    """Makes trainers, and closes them all."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: list[ProcessTrainer] = []

    def __call__(self, of: Pipeline, *, timeout_s: float = 60.0, memory_bytes_max: int = 1 << 30, **more: Any) -> ProcessTrainer:
        limits = TrainerLimits(timeout_s=timeout_s, memory_bytes_max=memory_bytes_max)
        self.made.append(ProcessTrainer(of, self.url, KEYRING, limits, **more))
        return self.made[-1]


@pytest.fixture
def trainers(valkey_url: str) -> Iterator[Trainers]:
    made = Trainers(valkey_url)
    yield made
    for trainer in made.made:
        trainer.close(time.monotonic())


def slow(**changes: Any) -> Pipeline:
    return support.pipeline(Challenger(name="slow", window=Window(rows=2_000), model=support.Slow()), **changes)


def read_history(of: Pipeline, job: Job, wanted: TopicRange) -> Iterable[Learned]:
    """A `TopicReader` the child can import."""
    assert (of.source, job.training.number, wanted.topic) == ("events", 5, "history")
    return support.rows(300)


def test_one_child_trains_what_this_process_would_have_trained(stores: Stores, trainers: Trainers) -> None:
    of = support.several(
        support.LAST_2000,
        Challenger(name="warm", start="champion", window=Window(rows=500), passes=2),
        Challenger(name="all", window=Window(topic=TopicRange(topic="history"))),
    )
    rows = support.rows(2_300)
    epoch = support.fill(stores, of, rows)
    trainer = trainers(of, read_topic=read_history)
    before_s = time.monotonic()
    trainer.submit(support.job(of, epoch, 1_999, training=3))
    assert time.monotonic() - before_s < 1.0, "submit waits for nothing"
    assert trainer.poll() == []
    trained = support.until(trainer, JobDone)
    assert support.digest_of(trained, of) == support.taught(MODEL, rows[:2_000], rows[2_000:], passes=2)
    assert (trained.training, trained.learned_through, trained.rows) == (3, 2_299, 4_300)
    pid = trainer.child_pid
    assert pid is not None
    assert psutil.Process(pid).nice() >= 10
    assert os.getpgid(pid) != os.getpgid(0), "Ctrl-C in the terminal does not reach it"

    champion = MODEL.clone()
    train(champion, rows)
    base = seal_model(champion, of, support.shard_of(of), KEYRING, learned_through=2_299, generation=2)
    trainer.submit(support.job(of, epoch, 2_299, rule=1, base=base))
    train(champion, rows[1_800:], 2)
    assert support.digest_of(support.until(trainer, JobDone), of) == digest(champion)

    trainer.submit(support.job(of, epoch, 2_299, rule=2, training=5))
    assert support.digest_of(support.until(trainer, JobDone), of) == support.taught(MODEL, support.rows(300))

    other = support.shard_of(of)._replace(partition=1)
    stores.window.append(other, stores.checkpoints.claim(other), WindowChunk.of(rows[:1_000]), WindowLimits())
    trainer.submit(support.job(of, epoch, 1_999))
    trainer.submit(Job(shard=other, epoch=epoch, training=support.training(999)))
    assert [support.until(trainer, JobDone).shard.partition for _ in range(2)] == [0, 1], "the shards are served one after the other"
    assert trainer.child_pid == pid, "one process serves them all"

    trainer.submit(support.job(of, epoch, 2_299, rule=1, base=base[:-1] + b"?"))
    failed = support.until(trainer, JobFailed)
    assert failed.attempts == 1
    assert "A model of" in failed.error


def test_killed_in_the_middle_of_a_job_it_begins_again(stores: Stores, trainers: Trainers, tmp_path: Path) -> None:
    of = support.pipeline(Challenger(name="dies", window=Window(rows=100), passes=2, model=support.DiesOnce(str(tmp_path / "died"))))
    trainer = trainers(of)
    trainer.submit(support.job(of, support.fill(stores, of, support.rows(100)), 99))
    assert support.until(trainer, JobDone).rows == 200
    assert (tmp_path / "died").exists()


def test_killed_twice_the_training_has_failed(stores: Stores, trainers: Trainers) -> None:
    of = slow()
    trainer = trainers(of)
    epoch = support.fill(stores, of, support.rows(2_000))
    trainer.submit(support.job(of, epoch, 1_999))
    for _ in range(2):
        support.until(trainer, JobProgressed)
        assert trainer.child_pid is not None
        os.kill(trainer.child_pid, signal.SIGKILL)
    failed = support.until(trainer, JobFailed)
    assert failed.attempts == 2
    assert "ended by SIGKILL" in failed.error


def test_a_training_that_takes_too_long_is_ended_even_if_the_model_is_stuck(stores: Stores, trainers: Trainers) -> None:
    of = support.pipeline(Challenger(name="stuck", window=Window(rows=500), model=support.Stuck()))
    trainer = trainers(of, timeout_s=1.0)
    trainer.submit(support.job(of, support.fill(stores, of, support.rows(500)), 499))
    failed = support.until(trainer, JobFailed)
    assert failed.error == "it took longer than train_timeout_s = 1 s"
    assert trainer.child_pid is None


def test_a_training_that_takes_too_much_memory_is_ended(stores: Stores, trainers: Trainers) -> None:
    of = support.pipeline(Challenger(name="hungry", window=Window(rows=500), model=support.Hungry()))
    trainer = trainers(of, memory_bytes_max=200_000_000)
    trainer.submit(support.job(of, support.fill(stores, of, support.rows(500)), 499))
    failed = support.until(trainer, JobFailed)
    assert failed.attempts == 1
    assert "more memory than train_memory_bytes_max" in failed.error


def test_progress_is_reported_and_a_newer_job_replaces_an_older(stores: Stores, trainers: Trainers) -> None:
    of = slow()
    trainer = trainers(of)
    epoch = support.fill(stores, of, support.rows(2_000))
    trainer.submit(support.job(of, epoch, 1_999))
    seen = [support.until(trainer, JobProgressed) for _ in range(3)]
    assert [progress.rows_total for progress in seen] == [2_000] * 3
    assert 0 <= seen[0].rows < seen[1].rows < seen[2].rows < 2_000
    trainer.submit(support.job(of, epoch, 19, training=1))
    assert support.until(trainer, JobFailed).error == "a newer training of the shard took its place"
    assert support.until(trainer, JobProgressed).training == 1
    trainer.submit(support.job(of, epoch, 19, training=1))
    trainer.cancel(support.shard_of(of))
    trainer.submit(support.job(of, epoch, 19, training=1))
    assert trainer.poll() == [], "an earlier result of the same training is not the result of this job"
    assert support.until(trainer, JobProgressed).training == 1
    trainer.cancel(support.shard_of(of))
    assert support.until(trainer, JobFailed) == JobFailed(shard=support.shard_of(of), training=1, error="cancelled", attempts=1)


def test_an_unreachable_store_is_reported(stores: Stores, trainers: Trainers) -> None:
    of = support.pipeline()
    trainer = ProcessTrainer(of, "redis://127.0.0.1:1/0", KEYRING, TrainerLimits(attempts_max=1))
    trainers.made.append(trainer)
    trainer.submit(support.job(of, 1, 1_999))
    failed = support.until(trainer, JobFailed)
    assert failed.attempts == 1
    assert "it cannot be reached" in failed.error


PIPELINE_FILE = """
from river import base, linear_model, drift
from stream_retrain import Pipeline, Schema, On, Watch
from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.core.react.reactions import Challenge


class Mine(base.Classifier):
    def __init__(self):
        self.sum = 0.0

    def learn_one(self, x, y):
        self.sum += x["a"] if y else -x["a"]

    def predict_one(self, x):
        return self.sum * x["a"] > 0


mine = Pipeline(
    name="NAME", task="binary", source="events", schema=Schema(id="id", label="y", features={"a": float, "b": float, "c": float}),
    model=Mine(), watch=[Watch("error", drift.ADWIN())],
    react=[On.drift("error", Challenge(challengers=(Challenger(name="long", window=Window(rows=2_000)),)))],
)
"""


def test_a_pipeline_of_a_file_is_loaded_by_its_name(stores: Stores, trainers: Trainers, tmp_path: Path) -> None:
    from stream_retrain.loading import load_pipeline

    file = tmp_path / "trainer_file.py"
    file.write_text(PIPELINE_FILE.replace("NAME", support.pipeline().name))
    of = load_pipeline(str(file))
    rows = support.rows(1_000)
    epoch = support.fill(stores, of, rows)
    trainer = trainers(of, target=str(file))
    trainer.submit(support.job(of, epoch, 999))
    assert support.digest_of(support.until(trainer, JobDone), of) == support.taught(of.model, rows)


def test_a_pipeline_that_is_declared_otherwise_by_now_is_refused(stores: Stores, trainers: Trainers, tmp_path: Path) -> None:
    from stream_retrain.loading import load_pipeline

    file = tmp_path / "trainer_plain.py"
    plain = PIPELINE_FILE.replace("NAME", support.pipeline().name).replace("model=Mine()", "model=linear_model.LogisticRegression()")
    file.write_text(f"from river import linear_model\n{plain[plain.index('mine = ') :]}")
    file.write_text(f"{plain[: plain.index('class Mine')]}\n{file.read_text()}")
    of = load_pipeline(str(file))
    epoch = support.fill(stores, of, support.rows(1_000))
    file.write_text(file.read_text().replace("rows=2_000", "rows=2_001"))
    late = trainers(of, target=str(file))
    late.submit(support.job(of, epoch, 999))
    assert "it has changed since the worker loaded it" in support.until(late, JobFailed).error


@pytest.mark.parametrize("which", [0, 1])
def test_nothing_is_run_of_code_that_was_edited_meanwhile(stores: Stores, trainers: Trainers, tmp_path: Path, which: int) -> None:
    """Not even to see that it was: a pipeline's parts are tried when it is loaded, and a neighbour runs when it is imported."""
    from stream_retrain.loading import load_pipeline

    mark, file, neighbour = tmp_path / "mark", tmp_path / "trainer_edited.py", f"neighbour_of_edited_{which}"
    edited = (file.name, f"{neighbour}.py")[which]
    (tmp_path / f"{neighbour}.py").write_text("FACTOR = 1\n")
    file.write_text(f"import {neighbour}\n" + PIPELINE_FILE.replace("NAME", support.pipeline().name))
    of = load_pipeline(str(file))
    epoch = support.fill(stores, of, support.rows(1_000))
    trainer = trainers(of, target=str(file))
    edit = tmp_path / edited
    edit.write_text(edit.read_text() + f"\nopen({str(mark)!r}, 'w').close()\n")
    trainer.submit(support.job(of, epoch, 999))
    error = support.until(trainer, JobFailed).error
    assert "its code has changed since the worker loaded it" in error
    assert edited in error
    assert not mark.exists()


PARENT = """
import sys, time
from stream_retrain.engines.trainer import ProcessTrainer, TrainerLimits, JobProgressed
from stream_retrain.stores import connect
from tests.engines import test_trainer_process as tests, trainer_support as support
url = sys.argv[1]
of = tests.slow()
trainer = ProcessTrainer(of, url, support.KEYRING, TrainerLimits())
trainer.submit(support.job(of, support.fill(connect(url, keyring=support.KEYRING), of, support.rows(2_000)), 1_999))
while not any(isinstance(result, JobProgressed) for result in trainer.poll()):
    time.sleep(0.05)
print(trainer.child_pid, flush=True)
time.sleep(60)
"""


def test_it_ends_when_the_worker_is_killed(valkey_url: str) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
    with subprocess.Popen([sys.executable, "-c", PARENT, valkey_url], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    support.wait_until_ended(child)
