"""What reaches shards from outside their log: the trainer's answers, and requests (see `core.inputs`).

Protocol of use, for the driver, of a shard that is settled (its state is that of a committed offset, and its window holds all of it):

1. `inputs_of` asks the trainer for what the shard waits for, and answers with what has come for the shard.
2. The driver gives that to the shard and saves a checkpoint before anything later is committed. If the checkpoint cannot be saved,
   the shard is given up and restored: nobody has seen that it had the input.
3. `taken` says that the checkpoint is saved.

A challenger has learned everything through the shard's last event when it is handed over: what came after the trainer's last look is
taught here, if it is little, and by the trainer again, if it is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.inputs import Ended, Input, Request, Trained
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.shard import Shard
from stream_retrain.core.training import train
from stream_retrain.core.triggers import Request as OnRequest
from stream_retrain.engines.facts import Tell, TrainerTold
from stream_retrain.engines.trainer import Job, Trainer, TrainingFailed, TrainingProgressed, open_model, seal_model
from stream_retrain.engines.trainer import Trained as Result
from stream_retrain.errors import StateError
from stream_retrain.stores.base import Stores

__all__ = ["Outside"]

CATCH_UP_ROWS_MAX: Final = 2_000
LOOK_EVERY_S: Final = 1.0


class Outside:
    """The trainer and the requests of one worker's shards."""

    def __init__(self, pipeline: Pipeline, stores: Stores, keyring: Keyring, trainer: Trainer | None, tell: Tell) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._trainer = trainer
        self._tell = tell
        self._asked: dict[ShardId, int] = {}
        self._came: dict[ShardId, Result | TrainingFailed] = {}
        self._looked_at_s: dict[ShardId, float] = {}
        self._takes_requests = any(isinstance(each, OnRequest) for each in pipeline.triggers)

    def inputs_of(self, id_: ShardId, epoch: int, shard: Shard, now_s: float) -> list[Input]:
        """What has come for a settled shard; looks about once a second."""
        if now_s - self._looked_at_s.get(id_, float("-inf")) < LOOK_EVERY_S:
            return []
        self._looked_at_s[id_] = now_s
        inputs: list[Input] = []
        if self._takes_requests:
            waiting = self._stores.requests.waiting(id_)
            inputs += [Request(reason=asked.reason, number=asked.number) for asked in waiting if asked.number > shard.requests_through]
        training = shard.training
        if training is None:
            return inputs
        if self._trainer is None:
            return [*inputs, Ended(training=training.number, error="there is no trainer (setting trainer)")]
        if self._asked.get(id_) != training.number:
            self._ask(self._trainer, id_, epoch, shard)
        self._poll(self._trainer)
        if (result := self._came.pop(id_, None)) is not None and result.number == training.number:
            inputs += self._handed_over(self._trainer, result, epoch, shard)
        return inputs

    def taken(self, id_: ShardId, inputs: Sequence[Input]) -> None:
        """A checkpoint holds these inputs: forget them."""
        if any(isinstance(given, Trained | Ended) for given in inputs):
            self._asked.pop(id_, None)
        if numbers := [given.number for given in inputs if isinstance(given, Request)]:
            self._stores.requests.drop(id_, max(numbers))

    def closed(self, id_: ShardId) -> None:
        """The shard goes elsewhere; its next owner asks again."""
        if self._asked.pop(id_, None) is not None and self._trainer is not None:
            self._trainer.cancel(id_)
        self._came.pop(id_, None)
        self._looked_at_s.pop(id_, None)

    def _ask(self, trainer: Trainer, id_: ShardId, epoch: int, shard: Shard) -> None:
        training = shard.training
        assert training is not None
        base = None
        if shard.training_base is not None:
            base = seal_model(
                shard.training_base,
                self._pipeline,
                id_,
                self._keyring,
                learned_through=training.through_offset,
                generation=shard.generation,
            )
        trainer.submit(Job(shard=id_, epoch=epoch, training=training, base=base))
        self._asked[id_] = training.number

    def _poll(self, trainer: Trainer) -> None:
        for result in trainer.poll():
            if isinstance(result, TrainingProgressed):
                self._tell(TrainerTold(shard=result.shard, training=result.number, rows=result.rows, rows_total=result.rows_total))
            elif self._asked.get(result.shard) == result.number:
                self._came[result.shard] = result

    def _handed_over(self, trainer: Trainer, result: Result | TrainingFailed, epoch: int, shard: Shard) -> list[Input]:
        training = shard.training
        assert training is not None
        if isinstance(result, TrainingFailed):
            return [Ended(training=result.number, error=result.error)]
        rows = self._stores.window.after(result.shard, result.learned_through, CATCH_UP_ROWS_MAX + 1)
        if len(rows) > CATCH_UP_ROWS_MAX:
            again = Job(shard=result.shard, epoch=epoch, training=training, base=result.sealed, learned_through=result.learned_through)
            trainer.submit(again)
            return []
        try:
            _, model = open_model(result.sealed, self._pipeline, result.shard, self._keyring)
        except StateError as error:
            return [Ended(training=result.number, error=str(error))]
        started = time.perf_counter()
        caught_up = train(model, rows)
        seconds = time.perf_counter() - started
        self._tell(TrainerTold(shard=result.shard, training=result.number, rows=result.rows, rows_total=result.rows, caught_up_s=seconds))
        return [
            Trained(
                training=result.number,
                model=model,
                lessons=result.rows,
                learned_through=result.learned_through,
                caught_up=caught_up,
                gap=result.gap,
            )
        ]
