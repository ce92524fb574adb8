"""A trainer that trains on the spot: for backtests, where time is the log's, and for tests."""

from __future__ import annotations

import functools

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.succession import challenger_of
from stream_retrain.engines.trainer.jobs import Job, TopicReader, TrainerResult, TrainingFailed
from stream_retrain.engines.trainer.work import train_job
from stream_retrain.errors import BrokerError, StateError, StoreError, TrainingError
from stream_retrain.stores.base import Stores

__all__ = ["InlineTrainer"]


class InlineTrainer:
    """A `Trainer` whose jobs are done when `submit` returns; the next `poll` hands them over."""

    def __init__(self, pipeline: Pipeline, stores: Stores, keyring: Keyring, read_topic: TopicReader | None = None) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._read_topic = read_topic
        self._done: dict[ShardId, TrainerResult] = {}

    def submit(self, job: Job) -> None:
        read = None if self._read_topic is None else functools.partial(self._read_topic, self._pipeline, job)
        try:
            challenger = challenger_of(self._pipeline, job.training)
            result: TrainerResult = train_job(job, challenger, self._pipeline, self._stores.window, self._keyring, read_topic=read)
        except (TrainingError, StateError, StoreError, BrokerError) as error:
            result = TrainingFailed(shard=job.shard, number=job.training.number, error=str(error), attempts=1)
        self._done[job.shard] = result

    def poll(self) -> list[TrainerResult]:
        done = list(self._done.values())
        self._done.clear()
        return done

    def cancel(self, shard: ShardId) -> None:
        self._done.pop(shard, None)

    def close(self, deadline_s: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        self._done.clear()
