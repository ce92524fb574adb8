"""The rare facts as log lines: what a person reading the worker's standard error wants to know, and nothing for every event.

Levels: an error is what failed and is not made good by itself (a checkpoint, a training, a prediction, the worker); a warning is what is
tried again, or what an operator should see; the rest is information. What is replayed was logged before, and is for `debug`.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterator
from typing import Any, Final, assert_never

from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyFact, CopyKept, VersionsKnown
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.request import Asked
from stream_retrain.facts.scheduled import ScheduleMissed
from stream_retrain.facts.shard import MetricFailed, PredictionFailed, Rejected, ShardFact, Unmatched
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
from stream_retrain.logs import fields_with
from stream_retrain.views.sentences import counted_by, fields, place_of, sentence

__all__ = ["log_fact"]

LOG: Final = logging.getLogger("stream_retrain.worker")
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
STATES: Final = {"failed": logging.ERROR, "degraded": logging.WARNING}
READ: Final = {"starting": "not read yet", "running": "read", "degraded": "not read", "stopped": "no longer read"}
REJECTIONS_A_BATCH: Final = 3
"""More of a batch are counted together: a line for each would cost more than what it is about."""
WITHOUT_CHECKPOINT: Final = {
    "new": "is new: it learns from the log alone",
    "warm": "is new: it begins with the trained model that the pipeline names",
    "earliest": "has no checkpoint: it learns again from the first retained offset",
    "latest": "has no checkpoint: it begins anew at the committed offset",
    "window": "has no checkpoint that fits: it begins with a model trained on its window",
}


def log_fact(fact: WorkerFact) -> None:
    """Log one fact, if it is a rare one."""
    match fact:
        case Processed():
            _log_rare(fact)
        case Restored():
            _log_restored(fact)
        case ScheduleMissed():
            words = "%s was not asked at %d times of %s (rule %d): nobody had it, or the request before waited; the newest was %.0f s ago"
            told = _of(fact.shard, "schedule.missed", fact.schedule, rule=fact.rule)
            LOG.warning(words, fact.shard, fact.count, fact.schedule, fact.rule, fact.late_s, extra=told)
        case Assigned() | WentLive() | Released() | ShardHeld():
            _log_assignment(fact)
        case Checkpointed() | CheckpointFailed() | ArtifactsEvicted() | StoreLost() | StoreRegained() | WindowCleared() | WindowRefilled():
            _log_store(fact)
        case CopyKept() | CopiesDropped() | CopiesWait():
            _log_copies(fact)
        case TrainerTold() | TrainingWaits():
            _log_training(fact)
        case TransactionAborted():
            LOG.warning("transaction aborted, sending the same again: %s", fact.error, extra=fields_with(kind="transaction.aborted"))
        case MemoryHigh():
            told = fields_with(("memory.high",), kind="memory.high")
            LOG.warning("the process has %d of the %d bytes of memory it may have", fact.resident_bytes, fact.bytes_max, extra=told)
        case Retrying():
            LOG.warning("%s; trying again in %.1f s", fact.error, fact.wait_s, extra=fields_with(kind="worker.retrying"))
        case WorkerStateChanged():
            level = STATES.get(fact.state, logging.INFO)
            told = fields_with(kind=f"worker.{fact.state}")
            LOG.log(level, "worker is %s%s", fact.state, f": {fact.detail}" if fact.detail else "", extra=told)
        case RelayChanged() | LabelsRelayed() | RequestTopicChanged():
            _log_beside(fact)
        case Observed() | Lagging() | GroupSeen() | Committed() | VersionsKnown() | CallbacksTold() | CallbacksChanged() | RequestsRead():
            pass  # of callbacks their own process logs, of requests each its own line
        case _:
            assert_never(fact)


def _of(shard: ShardId, kind: str, words: str = "", **told: Any) -> dict[str, Any]:
    """The `extra` of a line about a shard: its repeats are counted by kind and shard, and by its words where they are given."""
    return fields_with((kind, shard, words), kind=kind, **place_of(shard), **told)


def _log_assignment(fact: Assigned | WentLive | Released | ShardHeld) -> None:
    match fact:
        case Assigned():
            told = _of(fact.shard, "shard.assigned", offset=fact.offset)
            LOG.info("%s assigned: reading from %d, live from %d", fact.shard, fact.offset, fact.live_from, extra=told)
        case ShardHeld(asked=None):
            LOG.info("%s goes on from offset %d", fact.shard, fact.offset, extra=_of(fact.shard, "shard.resumed", offset=fact.offset))
        case ShardHeld(asked=Asked() as asked):
            words = f"{asked.by or 'somebody'}: {asked.reason or 'no reason was given'}"
            told = _of(fact.shard, "shard.paused", offset=fact.offset, by=asked.by, reason=asked.reason, token=asked.token)
            LOG.warning("%s is paused at offset %d, until stream-retrain resume, by %s", fact.shard, fact.offset, words, extra=told)
        case WentLive():
            LOG.info("%s is live from offset %d", fact.shard, fact.offset, extra=_of(fact.shard, "shard.live", offset=fact.offset))
        case Released():
            LOG.info("%s %s", fact.shard, fact.how, extra=_of(fact.shard, "shard.released", cause=fact.how))


def _log_restored(fact: Restored) -> None:
    told = _of(fact.shard, "shard.restored", offset=fact.offset, how=fact.how)
    if fact.offset is None:
        level = logging.INFO if fact.how in ("new", "warm") else logging.WARNING
        LOG.log(level, "%s %s", fact.shard, WITHOUT_CHECKPOINT[fact.how], extra=told)
    else:
        LOG.info("%s restored from its checkpoint at offset %d, generation %d", fact.shard, fact.offset, fact.generation, extra=told)
    if fact.differs:
        LOG.warning(
            "%s the pipeline has changed since: %s. Kept: the champion and %d waiting questions; %s. What else is in it begins afresh",
            fact.shard,
            ", ".join(fact.differs),
            fact.questions_kept,
            ", ".join(fact.kept),
            extra=told,
        )
    if fact.dropped:
        LOG.warning("%s dropped, because its rule has changed or is gone: %s", fact.shard, ", ".join(fact.dropped), extra=told)
    if fact.questions_dropped is None:
        LOG.warning("%s dropped the questions that waited, an unknown number: their labels will find no question", fact.shard, extra=told)
    elif fact.questions_dropped:
        LOG.warning("%s dropped %d waiting questions: their labels will find no question", fact.shard, fact.questions_dropped, extra=told)


def _log_store(
    fact: Checkpointed | CheckpointFailed | ArtifactsEvicted | StoreLost | StoreRegained | WindowCleared | WindowRefilled,
) -> None:
    match fact:
        case Checkpointed():
            told = _of(fact.shard, "checkpoint.written", offset=fact.offset)
            LOG.debug("%s checkpoint at %d: %d bytes, %.0f ms", fact.shard, fact.offset, fact.bytes, fact.seconds * 1000, extra=told)
        case CheckpointFailed():
            LOG.error("%s checkpoint: %s", fact.shard, fact.error, extra=_of(fact.shard, "checkpoint.failed", fact.error))
        case ArtifactsEvicted():
            told = _of(fact.shard, "artifacts.evicted")
            LOG.info("%s drops the oldest artifacts, beyond their limits: %d, %d bytes", fact.shard, fact.artifacts, fact.bytes, extra=told)
        case StoreLost():
            told = fields_with(kind="store.lost")
            LOG.warning("the store does not answer, the shards go on without it: %s", fact.error, extra=told)
        case StoreRegained():
            LOG.info("the store answers again after %.1f s", fact.away_s, extra=fields_with(kind="store.regained"))
        case WindowCleared():
            LOG.warning("%s window cleared: it begins with what the rebuild learns", fact.shard, extra=_of(fact.shard, "window.cleared"))
        case WindowRefilled():
            LOG.warning("%s window appended again: %s", fact.shard, fact.error, extra=_of(fact.shard, "window.refilled"))


def _log_copies(fact: CopyFact) -> None:
    match fact:
        case CopyKept():
            told = _of(fact.shard, "model.kept", version=fact.version)
            LOG.debug("%s keeps a copy of version %s, %d bytes", fact.shard, fact.version, fact.bytes, extra=told)
        case CopiesDropped():
            told = _of(fact.shard, "models.dropped")
            LOG.info("%s drops the oldest copies of models, beyond a limit: %d, %d bytes", fact.shard, fact.copies, fact.bytes, extra=told)
        case CopiesWait() if fact.error:
            told = _of(fact.shard, "models.wait", fact.error, waiting=fact.waiting)
            LOG.warning("%s copies of models wait for the object store: %d. %s", fact.shard, fact.waiting, fact.error, extra=told)
        case CopiesWait():
            LOG.debug("%s copies of models wait for the object store: %d", fact.shard, fact.waiting, extra=_of(fact.shard, "models.wait"))


def _log_beside(fact: RelayChanged | LabelsRelayed | RequestTopicChanged) -> None:
    match fact:
        case RequestTopicChanged():
            told = fields_with(kind=f"requests.{fact.state}")
            words = f": {fact.detail}" if fact.detail else ""
            LOG.log(STATES.get(fact.state, logging.INFO), "the topic of requests is %s%s", READ[fact.state], words, extra=told)
        case RelayChanged():
            told = fields_with(kind=f"relay.{fact.state}")
            words = f": {fact.detail}" if fact.detail else ""
            LOG.log(STATES.get(fact.state, logging.INFO), "the relay of labels is %s%s", fact.state, words, extra=told)
        case LabelsRelayed():
            for reason, count in fact.rejected.items():
                extra = fields_with(("relay.rejected", reason), count, kind="relay.rejected", cause=reason, records=count)
                LOG.warning("labels went to the dead-letter topic (%s): %d", reason, count, extra=extra)


def _log_training(fact: TrainerTold | TrainingWaits) -> None:
    match fact:
        case TrainerTold(caught_up_s=None):
            told = _of(fact.shard, "training.progressed", training=fact.training)
            LOG.debug("%s training %d: %d rows learned", fact.shard, fact.training, fact.rows, extra=told)
        case TrainerTold():
            told = _of(fact.shard, "training.done", training=fact.training)
            LOG.info("%s training %d is done after %d rows", fact.shard, fact.training, fact.rows, extra=told)
        case TrainingWaits():
            why = f"all {fact.trainers} trainers are busy" if fact.trainers else "no trainer has loaded exactly this pipeline"
            told = _of(fact.shard, "training.waits_for_trainer", training=fact.training, trainers=fact.trainers)
            remedy = "start more of them" if fact.trainers else "start stream-retrain trainer with the worker's file"
            text = "%s training %d waits for a trainer since %.0f s: %s; %s"
            LOG.warning(text, fact.shard, fact.training, fact.waited_s, why, remedy, extra=told)


class _Sentence:
    """Words that are made only where the line is said."""

    def __init__(self, fact: ShardFact) -> None:
        self._fact = fact

    def __str__(self) -> str:
        return sentence(self._fact)


def _log_rare(fact: Processed) -> None:
    """Each rare fact in its own words; of rejected records the first few of a batch."""
    for rare in _some(fact):
        repeated = isinstance(rare, PredictionFailed | MetricFailed) and rare.repeated
        level = logging.DEBUG if fact.replayed or repeated else LEVELS[rare.level]
        if LOG.isEnabledFor(level):
            told = fields_with(counted_by(fact.shard, rare), **fields(fact.shard, rare))
            LOG.log(level, "%s offset %d: %s", fact.shard, rare.offset, _Sentence(rare), extra=told)


def _some(fact: Processed) -> Iterator[ShardFact]:
    """The facts that are told one by one; the others are told together at the end."""
    told: collections.Counter[tuple[type[Rejected | Unmatched], str]] = collections.Counter()
    for rare in fact.facts:
        if isinstance(rare, Rejected | Unmatched):
            told[type(rare), rare.reason] += 1
            if told[type(rare), rare.reason] > REJECTIONS_A_BATCH:
                continue
        yield rare
    if fact.replayed:
        return
    for (kind, reason), count in told.items():
        if (more := count - REJECTIONS_A_BATCH) > 0:
            extra = fields_with(
                (kind.kind, fact.shard, (reason,)), more, kind=kind.kind, **place_of(fact.shard), cause=reason, records=more
            )
            LOG.warning("%s: %d more %s (%s)", fact.shard, more, _TOGETHER[kind], reason, extra=extra)


_TOGETHER: Final = {
    Rejected: "records of this batch went to the dead-letter topic",
    Unmatched: "questions and labels of this batch did not find each other",
}
