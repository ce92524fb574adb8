"""A trainer that trains within `submit`: for backtests, where the time is that of the log, and for tests."""

from __future__ import annotations

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job, JobFailed, TopicReader, TrainerResult
from stream_retrain.engines.trainer.work import train_job
from stream_retrain.errors import BrokerError, StateError, StoreError, TrainingError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Stores

__all__ = ["InlineTrainer"]


class InlineTrainer:
    """A `Trainer` whose jobs are over when `submit` returns; the next `poll` returns their results, unless they were cancelled."""

    def __init__(self, pipeline: Pipeline, stores: Stores, keyring: Keyring, read_topic: TopicReader | None = None) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._read_topic = read_topic
        self._results: dict[ShardId, TrainerResult] = {}

    def submit(self, job: Job) -> None:
        try:
            result: TrainerResult = train_job(job, self._pipeline, self._stores.window, self._keyring, read_topic=self._read_topic)
        except (TrainingError, StateError, StoreError, BrokerError) as error:
            result = JobFailed(shard=job.shard, training=job.training.number, error=str(error), attempts=1)
        self._results[job.shard] = result

    def poll(self) -> list[TrainerResult]:
        results = list(self._results.values())
        self._results.clear()
        return results

    def cancel(self, shard: ShardId) -> None:
        self._results.pop(shard, None)

    def close(self, deadline_s: float) -> None:  # noqa: ARG002 - no job is under way
        self._results.clear()
