"""The rare facts as log lines: what a person reading the worker's standard error wants to know, and nothing for every event."""

from __future__ import annotations

import logging
from typing import Final

from stream_retrain.core.duel import ContestantFailed
from stream_retrain.core.messages import Rejected, ShardId, TrainingFailed
from stream_retrain.engines.facts import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Processed,
    Released,
    Restored,
    Retrying,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TransactionAborted,
    WentLive,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.views.sentences import sentence

__all__ = ["log_fact"]

LOG: Final = logging.getLogger("stream_retrain.worker")
REJECTIONS_A_BATCH: Final = 3
WITHOUT_CHECKPOINT: Final = {
    "new": "is new: it learns from the log alone",
    "earliest": "has no checkpoint: it learns again from the first retained offset",
    "latest": "has no checkpoint: it begins untrained at the committed offset",
    "window": "has no checkpoint that fits: it begins with a model trained on its window",
}


def log_fact(fact: WorkerFact) -> None:
    """Log one fact, if it is a rare one."""
    match fact:
        case Processed() if fact.facts:
            _log_rare(fact)
        case Assigned():
            LOG.info("%s assigned: reading from %d, answering from %d", fact.shard, fact.offset, fact.live_from)
        case Restored(offset=None):
            LOG.log(logging.INFO if fact.how == "new" else logging.WARNING, "%s %s", fact.shard, WITHOUT_CHECKPOINT[fact.how])
        case Restored():
            LOG.info("%s restored from its checkpoint at offset %d, generation %d", fact.shard, fact.offset, fact.generation)
        case WentLive():
            LOG.info("%s is live from offset %d", fact.shard, fact.offset)
        case Released():
            LOG.info("%s %s", fact.shard, fact.how)
        case Checkpointed():
            LOG.debug("%s checkpoint at %d: %d bytes, %.0f ms", fact.shard, fact.offset, fact.bytes, fact.seconds * 1000)
        case CheckpointFailed():
            LOG.warning("%s checkpoint: %s", fact.shard, fact.error)
        case StoreLost() | StoreRegained() | WindowRefilled() | TrainerTold():
            _log_helpers(fact)
        case TransactionAborted():
            LOG.warning("transaction aborted, sending the same again: %s", fact.error)
        case Retrying():
            LOG.warning("%s; trying again in %.1f s", fact.error, fact.wait_s)
        case WorkerStateChanged():
            LOG.info("worker is %s: %s", fact.state, fact.detail)


def _log_helpers(fact: StoreLost | StoreRegained | WindowRefilled | TrainerTold) -> None:
    match fact:
        case TrainerTold(caught_up_s=None):
            LOG.debug("%s training %d: %d rows", fact.shard, fact.training, fact.rows)
        case TrainerTold():
            LOG.info("%s training %d is done after %d rows", fact.shard, fact.training, fact.rows)
        case StoreLost():
            LOG.warning("the store is away, the shards go on without: %s", fact.error)
        case StoreRegained():
            LOG.info("the store is back after %.1f s", fact.away_s)
        case WindowRefilled():
            LOG.warning("%s window appended again: %s", fact.shard, fact.error)


def _log_rare(fact: Processed) -> None:
    rejected = [rare for rare in fact.facts if isinstance(rare, Rejected)]
    if not fact.replayed:
        for refused in rejected[:REJECTIONS_A_BATCH]:
            _log_rejected(fact.shard, refused)
        if len(rejected) > REJECTIONS_A_BATCH:
            LOG.warning("%s: %d more records of this batch went to the dead-letter topic", fact.shard, len(rejected) - REJECTIONS_A_BATCH)
    for rare in fact.facts:
        if (said := sentence(rare)) is not None:
            warns = isinstance(rare, ContestantFailed | TrainingFailed) and not fact.replayed
            level = logging.WARNING if warns else logging.DEBUG if fact.replayed else logging.INFO
            LOG.log(level, "%s offset %d: %s", fact.shard, rare.offset, said[1])


def _log_rejected(shard: ShardId, rejected: Rejected) -> None:
    field = f" field {rejected.field!r}:" if rejected.field else ""
    LOG.warning("%s offset %d to the dead-letter topic (%s):%s %s", shard, rejected.offset, rejected.reason, field, rejected.detail)
