"""Pipelines whose challengers need a trainer, windows for them to learn from, and models that fail on purpose."""

# ruff: noqa: ARG002 - models that fail on purpose do not read the row

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
from river import base, linear_model, preprocessing, tree

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.models import open_model
from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.core.contest.training import Training, train
from stream_retrain.core.digest import digest
from stream_retrain.core.react.reactions import Challenge
from stream_retrain.core.react.rules import On
from stream_retrain.core.trial import EVENTS, example_events
from stream_retrain.engines.trainer import Job, JobDone, JobFailed, JobProgressed, Trainer
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.ports import Stores, WindowLimits
from stream_retrain.stores.window import WindowChunk
from tests.core import streams

KEYRING = Keyring(keys=(Key(id="k1", secret=b"a secret of a worker"),))
MODEL = preprocessing.StandardScaler() | linear_model.LogisticRegression()
TREE = tree.HoeffdingTreeClassifier(grace_period=50)
LAST_2000 = Challenger(name="long", window=Window(rows=2_000), passes=2)
_Result = TypeVar("_Result")


TRIED = 2 * EVENTS
"""Rows a model learns in the trial at load."""
EXAMPLES = {x["a"] for x, _ in example_events(streams.pipeline().schema, "binary")}


class _Failing(base.Classifier):  # type: ignore[misc]
    """A model that predicts the same for every row; its fault is in `learn_one`."""

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        return len(x) > 1


class Slow(_Failing):
    """Takes a hundredth of a second a row."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learned += 1
        if self.learned > TRIED:
            time.sleep(0.01)


class Stuck(_Failing):
    """Sleeps for a minute in its tenth row after the trial at load."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learned += 1
        if self.learned == TRIED + 10:
            time.sleep(60)


class Hungry(_Failing):
    """Keeps a megabyte for every row."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.kept.append(b"x" * 1_000_000)


class Raising(_Failing):
    """Learns the rows of the trial at load, and raises on every other."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learned += 1
        if self.learned > TRIED or x["a"] not in EXAMPLES:
            raise ZeroDivisionError("no such row")


class DiesOnce(_Failing):
    """Kills its process in its fiftieth row, the first time."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learned += 1
        if self.learned == 50 and not Path(self.marker).exists():
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)


def pipeline(*challengers: Challenger, **changes: Any) -> Pipeline:
    """A pipeline of its own name, so with its own shards, whose only rule starts a duel with `challengers`."""
    parts: dict[str, Any] = {
        "name": f"trained-{uuid.uuid4().hex[:8]}",
        "model": MODEL,
        "react": [On.drift("error", Challenge(challengers=challengers or (LAST_2000,)))],
    }
    return streams.pipeline(**{**parts, **changes})


def several(*challengers: Challenger, name: str | None = None) -> Pipeline:
    """A pipeline with more challengers than a rule may have: each is the only one of a rule of its own (`job(rule=...)`)."""
    rules = [On.drift("error", Challenge(challengers=(each,))) for each in challengers]
    return pipeline(react=rules, **({"name": name} if name else {}))


def shard_of(of: Pipeline) -> ShardId:
    return ShardId(of.name, of.source, 0)


def training(through_offset: int, *, training: int = 0, rule: int = 0) -> Training:
    return Training(
        number=training,
        rule=rule,
        challenger=0,
        through_offset=through_offset,
        time_s=float(through_offset),
        events_seen=through_offset + 1,
        cause="drift:error",
    )


def rows(count: int, first: int = 0) -> list[Learned]:
    """Rows of the linear concept, one an offset and one a second."""
    made = streams.rows(first + count)[first:]
    return [Learned(first + at, float(first + at), dict(x), y, not y) for at, (x, y) in enumerate(made)]


def fill(stores: Stores, of: Pipeline, learned: list[Learned], rows_max: int = 1_000_000) -> int:
    """Put rows into the window of the pipeline's shard; the epoch claimed for it."""
    shard = shard_of(of)
    epoch = stores.checkpoints.claim(shard)
    append(stores, of, epoch, learned, rows_max)
    return epoch


def append(stores: Stores, of: Pipeline, epoch: int, learned: list[Learned], rows_max: int = 1_000_000) -> None:
    append_to(stores, shard_of(of), epoch, learned, rows_max)


def append_to(stores: Stores, shard: ShardId, epoch: int, learned: list[Learned], rows_max: int = 1_000_000) -> None:
    for first in range(0, len(learned), 500):
        stores.window.append(shard, epoch, WindowChunk.of(learned[first : first + 500]), WindowLimits(rows_max=rows_max))


def job(of: Pipeline, epoch: int, through_offset: int, **changes: Any) -> Job:
    given = {key: changes.pop(key) for key in ("training", "rule") if key in changes}
    return Job(shard=shard_of(of), epoch=epoch, training=training(through_offset, **given), **changes)


def taught(model: Any, *stretches: list[Learned], passes: int = 1) -> str:
    """The digest of a fresh copy of `model` that was taught here: the first stretch `passes` times, then the others."""
    fresh = model.clone()
    for at, stretch in enumerate(stretches):
        train(fresh, stretch, passes if at == 0 else 1)
    return digest(fresh)


def digest_of(result: JobDone, of: Pipeline) -> str:
    return digest(open_model(result.sealed, of, result.shard, KEYRING)[1])


def until(trainer: Trainer, kind: type[_Result], seconds: float = 120.0, meanwhile: Callable[[], None] = lambda: None) -> _Result:
    """Poll until a result of that kind comes; progress before it is skipped, and any other result fails the test."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for result in trainer.poll():
            if isinstance(result, kind):
                return result
            assert isinstance(result, JobProgressed), result
        meanwhile()
        time.sleep(0.02)
    raise AssertionError(f"no {kind.__name__} within {seconds} s")


def ended(trainer: Trainer, seconds: float = 120.0) -> JobDone | JobFailed:
    """Poll until the job is over."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for result in trainer.poll():
            if isinstance(result, JobDone | JobFailed):
                return result
        time.sleep(0.02)
    raise AssertionError(f"the job was not over within {seconds} s")


def wait_until_ended(process: psutil.Process, seconds: float = 3.0) -> None:
    """Wait until a process that is not a child of this one has ended; it may stay a zombie until its new parent notices."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    raise AssertionError(f"{process} still runs")
