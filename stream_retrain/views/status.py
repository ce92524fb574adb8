"""The status of a worker as one JSON-able value: a fold over its facts, for `/status`, `/healthz` and `/readyz`."""

from __future__ import annotations

import collections
import dataclasses
import math
import os
import time
from typing import Any, Final, assert_never

from stream_retrain.facts.shard import DriftDetected, LeadChanged, ModelReset, Rejected
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    ArtifactsEvicted,
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    GroupSeen,
    Lagging,
    Observed,
    Processed,
    Released,
    Restored,
    Retrying,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TrainingWaits,
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)

__all__ = ["Status"]

DECISIONS_KEPT: Final = 50
READY_STATES: Final = ("running",)
HEALTHY_STATES: Final = ("starting", "restoring", "running", "degraded", "draining")


@dataclasses.dataclass(slots=True)
class ShardStatus:
    """What is known of one shard."""

    state: str = "replaying"
    offset: int = 0
    lag_records: int | None = None
    records: int = 0
    replayed: int = 0
    predicted: int = 0
    learned: int = 0
    rejected: int = 0
    drifts: int = 0
    resets: int = 0
    generation: int = 0
    events_seen: int = 0
    pending: int = 0
    running: dict[str, float] = dataclasses.field(default_factory=dict)
    rolling: dict[str, float] = dataclasses.field(default_factory=dict)
    newest_event_time_s: float | None = None
    checkpoint_offset: int | None = None
    checkpoint_at_s: float | None = None
    checkpoint_bytes: int | None = None
    replay_debt: int = 0


class Status:
    """Folds worker facts; read by HTTP threads while the loop writes, so what it gives out is built from plain values."""

    def __init__(self, pipeline: str, instance: str) -> None:
        self._pipeline = pipeline
        self._instance = instance
        self._started_s = time.monotonic()
        self.state = "starting"
        self.detail = ""
        self.store = "unknown"
        self.unowned: int | None = None
        """Partitions that no worker of the group has; None until that was looked at."""
        self._shards: dict[ShardId, ShardStatus] = {}
        self._decisions: collections.deque[dict[str, Any]] = collections.deque(maxlen=DECISIONS_KEPT)
        self._committed = self._aborted = self._outputs = 0

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        match fact:
            case Processed():
                self._processed(fact)
            case Observed():
                self._observed(fact)
            case Lagging() | GroupSeen():
                self._measured(fact)
            case Committed():
                self._committed += 1
                self._outputs += fact.outputs
            case TransactionAborted():
                self._aborted += 1
            case Assigned():
                self._shard(fact.shard).offset = fact.offset
            case Restored():
                self._shard(fact.shard).generation = fact.generation
                self.store = "answers"
            case WentLive():
                self._shard(fact.shard).state = "live"
            case Released():
                self._shards.pop(fact.shard, None)
            case Checkpointed() | CheckpointFailed() | StoreLost() | StoreRegained() | WindowRefilled():
                self._note_store(fact)
            case WorkerStateChanged():
                self.state, self.detail = fact.state, fact.detail
            case Retrying():
                self.state, self.detail = "degraded", f"{fact.error}; trying again in {fact.wait_s:.1f} s"
                self._shards.clear()
            case TrainerTold() | TrainingWaits() | ArtifactsEvicted() | WindowCleared():
                pass
            case _:
                assert_never(fact)

    def ready(self) -> bool:
        """Whether it serves: running, with every shard it holds live."""
        shards = list(self._shards.values())
        return self.state in READY_STATES and all(shard.state == "live" for shard in shards)

    def healthy(self) -> bool:
        """Whether a restart would not help: Kafka or Redis away is no reason for one."""
        return self.state in HEALTHY_STATES

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        shards = {f"{id_.topic}/{id_.partition}": dataclasses.asdict(shard) for id_, shard in sorted(self._shards.copy().items())}
        return {
            "pipeline": self._pipeline,
            "instance": self._instance,
            "state": self.state,
            "detail": self.detail,
            "store": self.store,
            "ready": self.ready(),
            "pid": os.getpid(),
            "unowned_partitions": self.unowned,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "transactions": {"committed": self._committed, "aborted": self._aborted, "outputs": self._outputs},
            "shards": shards,
            "recent": list(self._decisions),
        }

    def _shard(self, id_: ShardId) -> ShardStatus:
        return self._shards.setdefault(id_, ShardStatus())

    def _measured(self, fact: Lagging | GroupSeen) -> None:
        if isinstance(fact, Lagging):
            self._shard(fact.shard).lag_records = fact.records
        else:
            self.unowned = fact.unowned

    def _note_store(self, fact: Checkpointed | CheckpointFailed | StoreLost | StoreRegained | WindowRefilled) -> None:
        match fact:
            case Checkpointed():
                self.store, shard = "answers", self._shard(fact.shard)
                shard.checkpoint_offset, shard.checkpoint_bytes, shard.checkpoint_at_s = fact.offset, fact.bytes, fact.at_s
            case StoreRegained():
                self.store = "answers"
            case StoreLost():
                self.store, self.detail = "away", fact.error
            case CheckpointFailed() | WindowRefilled():
                self.detail = fact.error

    def _processed(self, fact: Processed) -> None:
        shard = self._shard(fact.shard)
        if fact.replayed:
            shard.replayed += fact.records
        else:
            shard.records += fact.records
            shard.predicted += fact.predicted
            shard.learned += fact.learned
        if math.isfinite(fact.newest_time_s):
            shard.newest_event_time_s = fact.newest_time_s
        for rare in fact.facts:
            if isinstance(rare, LeadChanged | ModelReset):
                shard.generation = rare.generation
            if not fact.replayed:
                shard.rejected += isinstance(rare, Rejected)
                shard.drifts += isinstance(rare, DriftDetected)
                shard.resets += isinstance(rare, ModelReset)
            if rare.published:
                told = {"partition": fact.shard.partition, "kind": rare.kind, "offset": rare.offset, "text": rare.sentence}
                self._decisions.append(told)

    def _observed(self, fact: Observed) -> None:
        shard, seen = self._shard(fact.shard), fact.observation
        shard.offset = fact.offset
        shard.replay_debt = fact.replay_debt
        shard.generation, shard.events_seen, shard.pending = seen.generation, seen.events_seen, seen.pending
        shard.running, shard.rolling = seen.running, seen.rolling
