"""The rare facts as log lines: what a person reading the worker's standard error wants to know, and nothing for every event."""

from __future__ import annotations

import logging
from typing import Final

from stream_retrain.core.duel import ContestantFailed, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.core.messages import Decided, DriftDetected, ModelReset, Rejected, ShardId
from stream_retrain.engines.facts import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Processed,
    Released,
    Restored,
    Retrying,
    TransactionAborted,
    WentLive,
    WorkerFact,
    WorkerStateChanged,
)

__all__ = ["log_fact"]

LOG: Final = logging.getLogger("stream_retrain.worker")
REJECTIONS_A_BATCH: Final = 3


def log_fact(fact: WorkerFact) -> None:
    """Log one fact, if it is a rare one."""
    match fact:
        case Processed() if fact.facts:
            _log_rare(fact)
        case Assigned():
            LOG.info("%s assigned: reading from %d, answering from %d", fact.shard, fact.offset, fact.live_from)
        case Restored(offset=None):
            LOG.info("%s has no checkpoint: it learns from the log alone", fact.shard)
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
        case TransactionAborted():
            LOG.warning("transaction aborted, sending the same again: %s", fact.error)
        case Retrying():
            LOG.warning("%s; trying again in %.1f s", fact.error, fact.wait_s)
        case WorkerStateChanged():
            LOG.info("worker is %s: %s", fact.state, fact.detail)


def _log_rare(fact: Processed) -> None:
    rejected = 0
    level = logging.DEBUG if fact.replayed else logging.INFO
    for rare in fact.facts:
        match rare:
            case Rejected():
                rejected += 1
                if rejected <= REJECTIONS_A_BATCH and not fact.replayed:
                    _log_rejected(fact.shard, rare)
            case DriftDetected():
                LOG.log(level, "%s offset %d: %s on %s says %s", fact.shard, rare.offset, rare.detector, rare.signal, rare.direction)
            case Decided():
                LOG.log(level, "%s offset %d: %s -> %s, %s", fact.shard, rare.offset, rare.trigger, rare.reaction, rare.outcome)
            case DuelStarted():
                LOG.log(level, "%s offset %d: duel %d begins: %s", fact.shard, rare.offset, rare.duel, ", ".join(rare.contestants))
            case LeadChanged():
                LOG.log(level, "%s offset %d: %s serves in place of %s", fact.shard, rare.offset, rare.now, rare.before)
            case ContestantFailed():
                LOG.warning("%s offset %d: %s is out of the duel: %s", fact.shard, rare.offset, rare.name, rare.detail)
            case DuelEnded():
                LOG.log(level, "%s offset %d: duel %d ends, %s: %s", fact.shard, rare.offset, rare.duel, rare.result, rare.winner)
            case ModelReset():
                LOG.log(level, "%s offset %d: generation %d begins", fact.shard, rare.offset, rare.generation)
    if rejected > REJECTIONS_A_BATCH and not fact.replayed:
        LOG.warning("%s: %d more records of this batch went to the dead-letter topic", fact.shard, rejected - REJECTIONS_A_BATCH)


def _log_rejected(shard: ShardId, rejected: Rejected) -> None:
    field = f" field {rejected.field!r}:" if rejected.field else ""
    LOG.warning("%s offset %d to the dead-letter topic (%s):%s %s", shard, rejected.offset, rejected.reason, field, rejected.detail)
