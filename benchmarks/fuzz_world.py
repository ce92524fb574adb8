"""What the fuzzing of Redis runs: the owner of a shard and its trainer, over the stores, as the worker drives them."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from typing import Any, Final

import redis
from river import linear_model, preprocessing

from stream_retrain import On, Pipeline, Reset, Retrain, Schema, Window
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.models import open_model
from stream_retrain.core.contest.training import Training
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.trainer import Job, JobDone, TrainerLimits, train_job
from stream_retrain.engines.trainer.pool import PoolTrainer
from stream_retrain.errors import StoreError, StreamRetrainError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Ending

__all__ = ["GROUP", "KEYRING", "World"]

KEYRING: Final = Keyring(keys=(Key(id="k1", secret=b"a secret of the fuzz"),))
STEP: Final = 5
RETAINED: Final = 400
WINDOW_ROWS: Final = 60
GROUP: Final = "fuzzed"
KEPT: Final = ("epoch", "group", "window", "checkpoint", "checkpoint_previous", "requests")


def declared(name: str) -> Pipeline:
    return Pipeline(
        name=name,
        task="binary",
        source="fuzzed",
        schema=Schema(id="id", label="y", features={"a": float, "b": float}),
        window_rows_max=WINDOW_ROWS,
        model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        react=[On.request(Reset()), On.every(events=10**9, do=Retrain(window=Window(rows=50)))],
    )


class World:
    """A shard, its owner and a trainer, over one Redis, with a log that has no end and a clock that runs fast."""

    def __init__(self, url: str, name: str) -> None:
        self.pipeline = declared(name)
        self.shard = ShardId(self.pipeline.name, self.pipeline.source, 0)
        self.stores = connect(url, keyring=KEYRING, group=GROUP)
        self.client: Any = redis.Redis.from_url(url)
        self.now_s = 0.0
        self.committed = 0
        self.saved = 0
        self.driver: Driver | None = None
        self.sent: list[bytes] = []
        """The tickets of the current round."""
        self.trainer = PoolTrainer(self.pipeline, self.stores.jobs, self, KEYRING, TrainerLimits(attempts_max=2), lambda: 0)
        self.kept: dict[str, bytes | None] = {}
        """What `keep` found, by key."""
        self.last_error: Exception | None = None
        self._trained: bytes | None = None
        self.sealed = b""

    def put(self, _place: int, ticket: bytes) -> None:
        """The world is the queue of the owner's tickets."""
        self.sent.append(ticket)

    def key(self, kind: str) -> str:
        return f"sr:{{{self.shard}}}:{kind}"

    def turn(self) -> bool:
        """One turn of the worker: open if need be, learn, commit, append, checkpoint; whether all of it was done."""
        self.now_s += 100.0
        try:
            if self.driver is None:
                self._open()
            driver = self.driver
            assert driver is not None
            at = driver.lanes[0].next_offset
            driver.take(0, Records.of([self._record(offset) for offset in range(at, max(self.committed, at) + STEP)]))
            unsent = driver.unsent()
            self.committed = unsent.offsets.get(self.shard, self.committed)
            before = self.saved
            driver.committed(unsent.offsets)
            driver.settle(self.now_s)
        except StoreError as error:
            self.driver = None
            self.last_error = error
            return False
        return self.saved > before

    def reopen(self) -> None:
        self.driver = None

    def keep_artifact(self, name: str) -> None:
        """One more artifact of an owner; it must be there then, and what others are there must be read without harm."""
        limits, sealed = ArtifactLimits(bytes_max=500, age_max_s=3_600.0), b"a model" * 10
        self.stores.artifacts.keep(self.shard, self.stores.checkpoints.claim(self.shard), name, sealed, limits)
        assert self.stores.artifacts.load(self.shard, name) == sealed
        for each in ("0", "1", "2", "3", "none"):
            self.stores.artifacts.load(self.shard, each)

    def keep(self) -> None:
        """Remember what the keys hold; it is genuine."""
        self.kept = {key: self.client.dump(key) for key in map(self.key, KEPT)}
        self.sealed = self.stores.checkpoints.load(self.shard)[0]

    def give_back(self) -> None:
        """Give the keys what they held."""
        with self.client.pipeline(transaction=False) as pipeline:
            for key, dumped in self.kept.items():
                if dumped is None:
                    pipeline.delete(key)
                else:
                    pipeline.restore(key, 0, dumped, replace=True)
            pipeline.execute()

    def _open(self) -> None:
        limits = DriverLimits(checkpoint_interval_s=0.0, checkpoint_events=1)
        driver = Driver(self.pipeline, self.stores, KEYRING, limits, self._tell, lambda: self.now_s)
        driver.open(0, Log(self.committed or None, max(0, self.committed - RETAINED), self.committed), self.now_s)
        self.driver = driver

    def _tell(self, fact: Any) -> None:
        if isinstance(fact, Checkpointed):
            self.saved = max(self.saved + 1, fact.offset)

    @staticmethod
    def _record(offset: int) -> Record:
        a, b = (offset * 37 % 101) / 50 - 1, (offset * 53 % 89) / 44 - 1
        return Record(offset, None, json.dumps({"id": str(offset), "a": a, "b": b, "y": a + b > 0}).encode(), offset * 1_000)

    def look(self) -> None:
        """The trainer reads the window and trains. Raises what would end it."""
        try:
            self.stores.window.span(self.shard)
            self.stores.window.after(self.shard, self.committed - 20, 50)
            train_job(self.job(), self.pipeline, self.stores.window, KEYRING)
        except StreamRetrainError:
            pass  # a training that fails, and is told

    def job_round(self, mutate: Callable[[], object], chance: random.Random) -> None:
        """A job is asked for, and perhaps taken and ended; its entry is changed; the trainer and the owner do their parts."""
        job, jobs = self.job(), self.stores.jobs
        self.trainer.submit(job)
        token = (self.client.hget(self.key("job"), "token") or b"none").decode("ascii", "replace")
        for step in range(chance.randrange(3)):
            if step == 0:
                jobs.take(self.shard, token)
            else:
                jobs.end(self.shard, token, self._ending(job) if chance.random() < 0.7 else Ending(error="a reason", again=True))
        mutate()
        with contextlib.suppress(StreamRetrainError):
            jobs.take(self.shard, token)
        with contextlib.suppress(StreamRetrainError):
            jobs.heartbeat(self.shard, token, 3, None)
            jobs.end(self.shard, token, None)
        self.follow()

    def follow(self) -> None:
        """The owner looks at its job until it is tired of it."""
        for _ in range(6):
            for call in self.trainer._calls.values():
                call.look_s = 0.0
            for result in self.trainer.poll():
                if isinstance(result, JobDone):
                    open_model(result.sealed, self.pipeline, self.shard, KEYRING)
        self.trainer.cancel(self.shard)
        self.sent.clear()

    def _ending(self, job: Job) -> Ending:
        """The genuine result of a training, which is always the same."""
        if self._trained is None:
            self._trained = train_job(job, self.pipeline, self.stores.window, KEYRING).sealed
        return Ending(sealed=self._trained)

    def job(self) -> Job:
        through, now_s = max(0, self.committed - 1), float(self.committed)
        training = Training(number=1, rule=1, challenger=0, through_offset=through, time_s=now_s, events_seen=through, cause="fuzz")
        return Job(shard=self.shard, epoch=2**51, training=training)
