"""OpenTelemetry spans of a worker: a fold over its facts, so that where it is not asked for it costs nothing.

A span for each batch, checkpoint, restore and training, made when it is over: its start and end are known then. None for each event. The
rare facts of a batch are events of its span, without a value of a record. Attributes are OpenTelemetry's for messaging where it has some,
and `stream_retrain.*` elsewhere. Only the API is used: without an SDK, which the operator installs and configures, nothing is recorded.

The span of a training begins when it was asked for, or, where that was before this process, as long ago as it took.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, assert_never

from stream_retrain.errors import SettingsError
from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyKept, VersionsKnown
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.scheduled import ScheduleMissed
from stream_retrain.facts.shard import ChallengerJoined, ChallengerWaits, ShardFact, TrainingFailed, TrainingRequested
from stream_retrain.facts.telling import without_values
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
from stream_retrain.views.sentences import sentence

__all__ = ["Traces"]

NS: Final = 1_000_000_000
NAME: Final = "stream_retrain"


class Traces:
    """Makes spans of facts; `group` is the consumer group, `provider` a tracer provider in place of the global one."""

    def __init__(self, group: str, release: str, provider: Any = None, clock_ns: Callable[[], int] = time.time_ns) -> None:
        """Raises `SettingsError` where the API is not installed."""
        try:
            from opentelemetry import trace
        except ImportError:
            raise SettingsError("traces need opentelemetry-api, which is not installed: pip install 'stream_retrain[otel]'") from None
        self._trace = trace
        self._tracer = trace.get_tracer(NAME, release, tracer_provider=provider)
        self._group = group
        self._clock_ns = clock_ns
        self._asked_ns: dict[tuple[ShardId, int], int] = {}
        """When the trainings under way were asked for: one a shard."""

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        match fact:
            case Processed():
                self._batch(fact)
            case Checkpointed():
                told = {"stream_retrain.offset": fact.offset, "stream_retrain.checkpoint.bytes": fact.bytes}
                self._span("checkpoint", fact.shard, fact.seconds, told)
            case CheckpointFailed():
                self._span("checkpoint", fact.shard, 0.0, {}, error=fact.error)
            case Restored():
                place = {} if fact.offset is None else {"stream_retrain.offset": fact.offset}
                self._span("restore", fact.shard, fact.seconds, {"stream_retrain.restored_from": fact.how, **place})
            case TrainerTold(seconds=None):
                pass
            case TrainerTold():
                told = {"stream_retrain.training": fact.training, "stream_retrain.training.rows": fact.rows}
                self._training(fact.shard, fact.training, (fact.seconds or 0.0) + (fact.caught_up_s or 0.0), told)
            case Released():
                self._asked_ns = {key: asked_ns for key, asked_ns in self._asked_ns.items() if key[0] != fact.shard}
            case Retrying():
                self._asked_ns.clear()
            case Observed() | Lagging() | GroupSeen() | Assigned() | WentLive() | Committed() | TransactionAborted() | WorkerStateChanged():
                pass
            case ArtifactsEvicted() | StoreLost() | StoreRegained() | WindowCleared() | WindowRefilled() | TrainingWaits() | MemoryHigh():
                pass
            case LabelsRelayed() | RelayChanged() | CallbacksTold() | CallbacksChanged() | RequestsRead() | RequestTopicChanged():
                pass
            case ShardHeld() | ScheduleMissed() | CopyKept() | CopiesDropped() | CopiesWait() | VersionsKnown():
                pass
            case _:
                assert_never(fact)

    def _batch(self, fact: Processed) -> None:
        told = {
            "messaging.batch.message_count": fact.records,
            "stream_retrain.predicted": fact.predicted,
            "stream_retrain.learned": fact.learned,
            "stream_retrain.replayed": fact.replayed,
        }
        span = self._begun(f"process {fact.shard.topic}", fact.shard, fact.seconds, told, consumer=True)
        for rare in fact.facts:
            if rare.published:
                span.add_event(rare.kind, {"stream_retrain.offset": rare.offset, "stream_retrain.sentence": sentence(rare)})
        span.end(self._clock_ns())
        for rare in fact.facts if not fact.replayed else ():
            self._note(fact.shard, rare)

    def _note(self, shard: ShardId, fact: ShardFact) -> None:
        match fact:
            case TrainingRequested():
                self._asked_ns[shard, fact.training] = self._clock_ns()
            case TrainingFailed():
                self._training(shard, fact.training, 0.0, {"stream_retrain.training": fact.training}, error=without_values(fact.error))
            case ChallengerJoined() | ChallengerWaits():
                self._asked_ns.pop((shard, fact.training), None)

    def _training(self, shard: ShardId, training: int, seconds: float, told: dict[str, Any], error: str = "") -> None:
        asked_ns = self._asked_ns.pop((shard, training), None)
        lasted_s = seconds if asked_ns is None else (self._clock_ns() - asked_ns) / NS
        self._span("training", shard, lasted_s, told | {"stream_retrain.training.seconds": seconds}, error=error)

    def _span(self, name: str, shard: ShardId, seconds: float, told: dict[str, Any], error: str = "") -> None:
        span = self._begun(name, shard, seconds, told)
        if error:
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, error))
        span.end(self._clock_ns())

    def _begun(self, name: str, shard: ShardId, seconds: float, told: dict[str, Any], *, consumer: bool = False) -> Any:
        attributes: dict[str, Any] = {
            "messaging.system": "kafka",
            "messaging.destination.name": shard.topic,
            "messaging.destination.partition.id": str(shard.partition),
            "messaging.consumer.group.name": self._group,
            "stream_retrain.pipeline": shard.pipeline,
            **told,
        }
        if consumer:
            attributes |= {"messaging.operation.name": "process", "messaging.operation.type": "process"}
        kind = self._trace.SpanKind.CONSUMER if consumer else self._trace.SpanKind.INTERNAL
        return self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=self._clock_ns() - int(seconds * NS))
