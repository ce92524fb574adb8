"""What reaches shards from outside their log: what the trainer made, requests, and schedules (see `core.contest.inputs`).

Protocol of use, for the driver, of a shard that is settled (its state is that of a committed offset, and its window holds all of it):

1. `carry_out` the shard's commands: the trainer is asked, or told that it is not wanted any more.
2. `look` says what is asked of the shard, about once a second, and `come_for` returns what has come for it.
3. `keep` what has come that a replay needs again: a challenger or a version, as it is now (`codec.artifacts`). So no decision can name
   one that was not kept.
4. The driver gives what has come to the shard and saves a checkpoint before anything later is committed. If the checkpoint cannot be
   saved, the shard is given up and restored: nobody has seen that it had the input.
5. `taken` says that the checkpoint is saved.

A challenger has learned everything through the shard's last event when it is handed over: what came after the trainer's last look is
taught here, if it is little, and by the trainer again, if it is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final, assert_never

from stream_retrain.codec.artifacts import artifact_name, promoted_name, seal_artifact, seal_promoted
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.core.contest.commands import Cancel, Stop, Train
from stream_retrain.core.contest.inputs import ASKED, Input, NotTrained, Promote, Refused, Request, Reset, Trained
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.triggers import Request as OnRequest
from stream_retrain.engines.driver.outage import Outage
from stream_retrain.engines.driver.promotions import Promotions, refused
from stream_retrain.engines.driver.schedules import Schedules
from stream_retrain.engines.trainer import Job, JobDone, JobFailed, JobProgressed, JobWaits, Trainer
from stream_retrain.errors import LimitError, StateError, StoreError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import generation_id
from stream_retrain.facts.worker import ArtifactsEvicted, Tell, TrainerTold, TrainingWaits
from stream_retrain.lane.lane import Lane
from stream_retrain.stores.ports import ArtifactLimits, Looked, Stores

__all__ = ["Inputs"]

CATCH_UP_ROWS_MAX: Final = 2_000
LOOK_EVERY_S: Final = 1.0


class Inputs:
    """The trainer and the requests of one worker's shards."""

    def __init__(
        self,
        pipeline: Pipeline,
        stores: Stores,
        keyring: Keyring,
        trainer: Trainer | None,
        tell: Tell,
        artifacts: ArtifactLimits,
        promotions: Promotions | None = None,
        schedules: Schedules | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._trainer = trainer
        self._tell = tell
        self._artifacts = artifacts
        self._jobs: dict[ShardId, Job] = {}
        self._came: dict[ShardId, JobDone | JobFailed] = {}
        self._looked_at_s: dict[ShardId, float] = {}
        self._promotions = promotions or Promotions(None)
        self.schedules = schedules or Schedules(pipeline, tell, time.time)
        self._now_s = 0.0
        self._outage = Outage(tell, lambda: self._now_s)
        """Of a store that cannot be read; one that takes no writes is the driver's to see."""
        self._has_rule = any(isinstance(each, OnRequest) for each in pipeline.triggers)

    def carry_out(self, id_: ShardId, epoch: int, command: Train | Cancel | Stop) -> None:
        """Ask the trainer, cancel what it was asked, or stop. Raises `StoreError`, and nothing was asked then; and `LimitError`."""
        match command:
            case Train():
                self._train(id_, epoch, command)
            case Stop():
                raise LimitError(f"{id_}: {command.reason}")
            case Cancel():
                self._came.pop(id_, None)
                if self._jobs.pop(id_, None) is not None and self._trainer is not None:
                    self._trainer.cancel(id_)
            case _:
                assert_never(command)

    def look(self, id_: ShardId, now_s: float) -> Looked | None:
        """What is asked of a shard, about once a second; None between."""
        if now_s - self._looked_at_s.get(id_, float("-inf")) < LOOK_EVERY_S:
            return None
        self._now_s = self._looked_at_s[id_] = now_s
        if not self._outage.may_ask():
            return None
        try:
            looked = self._stores.requests.look(id_)
        except StoreError as error:
            self._outage.failed(error)
            return None
        self._outage.answered()
        return looked

    def come_for(self, lane: Lane, looked: Looked) -> list[Input]:
        """What has come for a settled shard, of which this is asked."""
        id_, had_before = lane.id, lane.shard.requests_taken
        if had := [asked for asked in looked.waiting if asked.token in had_before]:
            self._stores.requests.drop(id_, had)  # its owner died after the checkpoint, before it dropped them
        inputs: list[Input] = self._asked(lane, [asked for asked in looked.waiting if asked.token not in had_before])
        inputs += self.schedules.come_for(id_, lane.shard)
        if id_ not in self._jobs:
            return inputs
        self._poll()
        if (result := self._came.pop(id_, None)) is not None:
            inputs += self._handed_over(self._jobs[id_], result)
        return inputs

    def _asked(self, lane: Lane, waiting: Sequence[Asked]) -> list[Input]:
        """What is asked as inputs, in order; it ends where a promotion is still on its way, or has to wait for one before it."""
        inputs: list[Input] = []
        for asked in waiting:
            match asked.do:
                case "retrain" if asked.rule is None and not self._has_rule:
                    inputs.append(refused(asked, "the pipeline has no rule on requests; add On.request(Retrain(...)) to react"))
                case "retrain":
                    inputs.append(Request(reason=asked.reason, token=asked.token, by=asked.by, rule=asked.rule))
                case "reset":
                    inputs.append(Reset(reason=asked.reason, token=asked.token, by=asked.by))
                case "promote" | "rollback":
                    came = self._promoted(lane, asked) if not inputs else None
                    if came is None:
                        break
                    inputs.append(came)
                case "pause" | "resume":
                    inputs.append(refused(asked, f"a {asked.do} does not wait; it is stored as it holds"))
                case _:
                    assert_never(asked.do)
        return inputs

    def _promoted(self, lane: Lane, asked: Asked) -> Promote | Refused | None:
        """What came of a promotion; it is not looked for while something waits to take effect that may change what serves."""
        if lane.shard.inputs_wait:
            return None
        return self._promotions.come_for(lane.id, asked, generation_id(lane.id.partition, lane.shard.generation))

    def keep(self, lane: Lane, epoch: int, inputs: Sequence[Input]) -> None:
        """Keep the models among these, for whoever replays them. Raises `StoreError`: then they are not to be given to the shard."""
        id_ = lane.id
        for given in inputs:
            match given:
                case Trained():
                    name, sealed = artifact_name(given.training, given.digest), seal_artifact(given, self._pipeline, id_, self._keyring)
                case Promote():
                    name = promoted_name(given.digest, given.token)
                    sealed = seal_promoted(given, self._pipeline, id_, self._keyring, offset=lane.next_offset)
                case _:
                    continue
            evicted = self._stores.artifacts.keep(id_, epoch, name, sealed, self._artifacts)
            if evicted.artifacts:
                self._tell(ArtifactsEvicted(shard=id_, artifacts=evicted.artifacts, bytes=evicted.bytes))

    def taken(self, id_: ShardId, inputs: Sequence[Input]) -> None:
        """A checkpoint holds these inputs: forget them."""
        if any(isinstance(given, Trained | NotTrained) for given in inputs):
            self._jobs.pop(id_, None)
        if requests := [Asked(token=given.token) for given in inputs if isinstance(given, ASKED)]:
            self._stores.requests.drop(id_, requests)

    def forget(self, id_: ShardId) -> None:
        """The shard goes elsewhere."""
        self._looked_at_s.pop(id_, None)
        self._promotions.forget(id_)
        self.schedules.forget(id_)

    def _train(self, id_: ShardId, epoch: int, command: Train) -> None:
        base = None
        if command.base is not None:
            base = seal_model(
                command.base,
                self._pipeline,
                id_,
                self._keyring,
                learned_through=command.training.through_offset,
                generation=command.generation,
            )
        job = Job(shard=id_, epoch=epoch, training=command.training, base=base)
        self._came.pop(id_, None)
        if self._trainer is None:
            self._came[id_] = JobFailed(
                shard=id_, training=command.training.number, error="there is no trainer (setting trainer)", attempts=0
            )
        else:
            self._trainer.submit(job)
        self._jobs[id_] = job

    def _poll(self) -> None:
        for result in self._trainer.poll() if self._trainer is not None else ():
            job = self._jobs.get(result.shard)
            if isinstance(result, JobProgressed):
                self._tell(TrainerTold(shard=result.shard, training=result.training, rows=result.rows, rows_total=result.rows_total))
            elif isinstance(result, JobWaits):
                told = TrainingWaits(shard=result.shard, training=result.training, waited_s=result.waited_s, trainers=result.trainers)
                self._tell(told)
            elif job is not None and job.training.number == result.training:
                self._came[result.shard] = result

    def _handed_over(self, job: Job, result: JobDone | JobFailed) -> list[Input]:
        if isinstance(result, JobFailed):
            return [NotTrained(training=result.training, error=result.error)]
        rows = self._stores.window.after(job.shard, result.learned_through, CATCH_UP_ROWS_MAX + 1)
        if len(rows) > CATCH_UP_ROWS_MAX and self._trainer is not None:
            again = Job(shard=job.shard, epoch=job.epoch, training=job.training, base=result.sealed, learned_through=result.learned_through)
            self._trainer.submit(again)
            return []
        try:
            _, model = open_model(result.sealed, self._pipeline, job.shard, self._keyring)
        except StateError as error:
            return [NotTrained(training=result.training, error=str(error))]
        started = time.perf_counter()
        caught_up = train(model, rows)
        caught_up_s, rows_learned = time.perf_counter() - started, result.rows
        self._tell(
            TrainerTold(
                shard=job.shard,
                training=result.training,
                rows=rows_learned,
                rows_total=rows_learned,
                caught_up_s=caught_up_s,
                seconds=result.seconds,
            )
        )
        return [
            Trained(
                training=result.training,
                model=model,
                lessons=result.rows,
                learned_through=result.learned_through,
                caught_up=caught_up,
                gap=result.gap,
                digest=digest(model),
            )
        ]
