"""The status of a worker as one JSON-able value: a fold over its facts, for `/status`, `/healthz`, `/readyz` and the page.

It shows what is now. A shard is in it from when its state is restored until it is given up: to another worker, by losing it, or because
everything is opened again. What is said of a shard that is not open is left out.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, assert_never

from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyKept, VersionsKnown
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.scheduled import ScheduleMissed
from stream_retrain.facts.shard import DriftDetected
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    ArtifactsEvicted,
    Assigned,
    CallbacksChanged,
    CallbacksTold,
    Checkpointed,
    CheckpointFailed,
    Committed,
    GroupSeen,
    LabelsRelayed,
    Lagging,
    Observed,
    Processed,
    RelayChanged,
    Released,
    Restored,
    Retrying,
    ShardHeld,
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
from stream_retrain.views.callbacks import CallbacksStanding
from stream_retrain.views.request_topic import RequestTopicStanding
from stream_retrain.views.sentences import shown
from stream_retrain.views.shard_status import ShardStatus, age

__all__ = ["Readiness", "Status"]

DECISIONS_KEPT: Final = 50
HEALTHY_STATES: Final = ("starting", "restoring", "running", "degraded", "draining")
_OfShard: TypeAlias = Processed | Observed | Lagging | WentLive | Checkpointed | TrainerTold | TrainingWaits
BEFORE_ASSIGNMENT: Final = ("starting", "restoring")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """Whether the worker is at work, and by what that is judged; `missing` says in words what is not so."""

    assigned: bool
    """The group has given it its partitions, be it none."""
    restored: bool
    """Every shard it holds has caught up with what was committed."""
    committing: bool
    """It runs, and nothing has waited to be committed for longer than is allowed."""
    missing: tuple[str, ...]
    paused: tuple[int, ...] = ()
    """Partitions of which nothing is taken: somebody asked for it, or too many records were refused. It is ready all the same."""

    @property
    def ok(self) -> bool:
        return not self.missing

    def detail(self) -> dict[str, object]:
        """For JSON."""
        return dataclasses.asdict(self)


class Status:
    """Folds worker facts; read by HTTP threads while the loop writes, so what it gives out is built from plain values."""

    def __init__(
        self,
        pipeline: str,
        instance: str,
        *,
        metrics: Sequence[tuple[str, bool]] = (),
        commit_timeout_s: float = 30.0,
        version: str = "",
        models: str = "",
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        """`metrics` are those the pipeline declares, and whether a larger value is better; `models`: where the project's compute."""
        self._pipeline, self._instance, self._version, self._models = pipeline, instance, version, models
        self._metrics = [{"name": name, "bigger_is_better": bigger} for name, bigger in metrics]
        self._commit_timeout_s = commit_timeout_s
        self._started_s = time.monotonic()
        self.state = "starting"
        self.detail = self._state_detail = ""
        self.store = "unknown"
        self._clock_s = clock_s
        self._state_since_s = clock_s()
        self._group: GroupSeen | None = None
        self._shards: dict[ShardId, ShardStatus] = {}
        self._decisions: collections.deque[dict[str, Any]] = collections.deque(maxlen=DECISIONS_KEPT)
        self._told = self._versions_told = 0
        self._committed = self._aborted = self._outputs = self._restarts = 0
        self._committed_at_s: float | None = None
        self._of_relay: dict[str, Any] | None = None
        self._of_callbacks = CallbacksStanding()
        self._of_requests = RequestTopicStanding()

    def __call__(self, fact: WorkerFact) -> None:  # noqa: C901 - one arm a kind of fact
        """Take one fact."""
        match fact:
            case Processed() | Observed() | Lagging() | WentLive() | Checkpointed() | TrainerTold() | TrainingWaits():
                if (shard := self._shards.get(fact.shard)) is not None:
                    self._of_shard(shard, fact)
                if isinstance(fact, Checkpointed):
                    self._store_is_well()
            case GroupSeen():
                self._group = fact
            case Committed():
                self._commit(fact)
            case TransactionAborted():
                self._aborted += 1
            case Assigned() | Restored():
                self._opened(fact)
            case Released():
                self._shards.pop(fact.shard, None)
            case CheckpointFailed() | StoreLost() | StoreRegained() | WindowRefilled():
                self._note_store(fact)
            case RelayChanged() | LabelsRelayed():
                self._relay(fact)
            case CallbacksTold() | CallbacksChanged():
                self._of_callbacks(fact)
            case RequestsRead() | RequestTopicChanged():
                self._of_requests(fact)
            case WorkerStateChanged():
                self._enter(fact.state, fact.detail)
                if fact.state in ("stopped", "failed"):
                    self._shards = {}
            case Retrying():
                self._enter("degraded", f"{fact.error}; trying again in {fact.wait_s:.1f} s")
                self._restarts += 1
                self._shards = {}
            case ArtifactsEvicted() | WindowCleared() | MemoryHigh() | ShardHeld() | CopyKept() | CopiesDropped() | CopiesWait():
                pass
            case ScheduleMissed():
                pass
            case VersionsKnown():
                self._versions_told += fact.news
            case _:
                assert_never(fact)

    def readiness(self) -> Readiness:
        """Whether it serves: assigned, restored and committing. A worker for which no partition is left is ready to take one over."""
        shards = self._shards.copy()
        replaying = sorted(id_.partition for id_, shard in shards.items() if shard.state != "live")
        waits_s = max((shard.uncommitted_s for shard in shards.values()), default=0.0)
        assigned = self.state not in (*BEFORE_ASSIGNMENT, "stopped", "failed") and (self.state != "degraded" or bool(shards))
        late = waits_s > self._commit_timeout_s
        committing = self.state == "running" and not late
        missing = []
        if not assigned:
            missing.append("assigned: it has not been given its partitions")
        if replaying:
            missing.append(f"restored: partitions {', '.join(map(str, replaying))} are replayed")
        if late:
            missing.append(f"committing: records have waited for {waits_s:.0f} s; {self._commit_timeout_s:g} s are allowed")
        elif not committing:
            missing.append(f"committing: the worker is {self.state}")
        paused = tuple(sorted(id_.partition for id_, shard in shards.items() if shard.paused))
        restored = assigned and not replaying
        return Readiness(assigned=assigned, restored=restored, committing=committing, missing=tuple(missing), paused=paused)

    def healthy(self) -> bool:
        """Whether a restart would not help: Kafka or Redis away is no reason for one."""
        return self.state in HEALTHY_STATES

    def snapshot(self) -> dict[str, Any]:
        """Everything, as JSON-able values."""
        now_s, readiness, group = self._clock_s(), self.readiness(), self._group
        shards = {f"{id_.topic}/{id_.partition}": shard.shown(now_s) for id_, shard in sorted(self._shards.copy().items())}
        return {
            "pipeline": self._pipeline,
            "instance": self._instance,
            "version": self._version,
            "models": self._models or None,
            "state": self.state,
            "state_since_s": self._state_since_s,
            "detail": self.detail,
            "store": self.store,
            "ready": readiness.ok,
            "missing": list(readiness.missing),
            "pid": os.getpid(),
            "partitions": group.partitions if group else None,
            "unowned_partitions": group.unowned if group else None,
            "at_s": now_s,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "restarts": self._restarts,
            "transactions": {"committed": self._committed, "aborted": self._aborted, "outputs": self._outputs},
            "commit_age_s": age(self._committed_at_s, now_s),
            "checkpoint_age_s": _oldest([shard["checkpoint_age_s"] for shard in shards.values()]),
            "metrics": self._metrics,
            "versions_told": self._versions_told,
            "label_relay": None if self._of_relay is None else dict(self._of_relay),
            "callbacks": self._of_callbacks.snapshot(),
            "request_topic": self._of_requests.snapshot(),
            "shards": shards,
            "recent": list(self._decisions.copy()),
        }

    def _enter(self, state: str, detail: str) -> None:
        if state != self.state:
            self._state_since_s = self._clock_s()
        self.state, self.detail = state, detail
        self._state_detail = detail

    def _relay(self, fact: RelayChanged | LabelsRelayed) -> None:
        fresh: dict[str, Any] = {
            "state": "starting",
            "detail": "",
            "relayed": 0,
            "rejected": 0,
            "waiting": 0,
            "questions": 0,
            "lag_records": None,
        }
        relay = fresh if self._of_relay is None else dict(self._of_relay)
        match fact:
            case RelayChanged():
                relay |= {"state": fact.state, "detail": fact.detail}
            case LabelsRelayed():
                relay |= {"waiting": fact.waiting, "questions": fact.questions, "lag_records": fact.lag_records}
                relay["relayed"] += fact.relayed
                relay["rejected"] += sum(fact.rejected.values())
        self._of_relay = relay

    def _store_is_well(self) -> None:
        self.store, self.detail = "answers", self._state_detail

    def _opened(self, fact: Assigned | Restored) -> None:
        shard = self._shards.get(fact.shard) or ShardStatus()
        if isinstance(fact, Assigned):
            shard.offset = fact.offset
        else:
            shard.generation = fact.generation
            self.store = "answers"
        self._shards[fact.shard] = shard

    def _commit(self, fact: Committed) -> None:
        self._committed += 1
        self._outputs += fact.outputs
        now_s = self._committed_at_s = self._clock_s()
        for id_ in fact.offsets:
            if (shard := self._shards.get(id_)) is not None:
                shard.committed(now_s)

    def _note_store(self, fact: CheckpointFailed | StoreLost | StoreRegained | WindowRefilled) -> None:
        match fact:
            case StoreRegained():
                self._store_is_well()
            case StoreLost():
                self.store, self.detail = "away", fact.error
            case CheckpointFailed() | WindowRefilled():
                self.detail = fact.error

    def _of_shard(self, shard: ShardStatus, fact: _OfShard) -> None:
        match fact:
            case Processed():
                shard.processed(fact, self._clock_s())
                self._decided(fact)
            case Observed():
                shard.observed(fact, self._clock_s())
            case Lagging():
                shard.lag_records = fact.records
            case WentLive():
                shard.state = "live"
            case Checkpointed():
                shard.checkpointed(fact)
            case TrainerTold():
                shard.trained(fact)
            case TrainingWaits():
                shard.training_waits(fact)

    def _decided(self, fact: Processed) -> None:
        for rare in fact.facts:
            if rare.published:
                self._told += 1
                told = {
                    "number": self._told,
                    "at_s": None if fact.replayed else self._clock_s(),
                    "partition": fact.shard.partition,
                    **shown(rare),
                    "times": 1,
                }
                if isinstance(rare, DriftDetected):
                    self._merge(told)
                self._decisions.append(told)

    def _merge(self, told: dict[str, Any]) -> None:
        """A drift that was told before takes that one's place, and is counted: a season in one feature must not drive out the rest."""
        same = [each for each in self._decisions if all(each[name] == told[name] for name in ("partition", "kind", "text"))]
        for before in same:
            told["times"] += before["times"]
            self._decisions.remove(before)


def _oldest(ages_s: Sequence[float | None]) -> float | None:
    """The largest age; None where one of them is not known, or there is none."""
    known = [age_s for age_s in ages_s if age_s is not None]
    return max(known) if known and len(known) == len(ages_s) else None
