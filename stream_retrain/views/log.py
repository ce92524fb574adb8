"""The rare facts as log lines: what a person reading the worker's standard error wants to know, and nothing for every event."""

from __future__ import annotations

import logging
from typing import Final, assert_never

from stream_retrain.facts.shard import MetricFailed, PredictionFailed, Rejected
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
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)

__all__ = ["log_fact"]

LOG: Final = logging.getLogger("stream_retrain.worker")
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
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
        case Processed():
            _log_rare(fact)
        case Restored():
            _log_restored(fact)
        case Assigned() | WentLive() | Released():
            _log_assignment(fact)
        case Checkpointed() | CheckpointFailed() | ArtifactsEvicted() | StoreLost() | StoreRegained() | WindowCleared() | WindowRefilled():
            _log_store(fact)
        case TrainerTold(caught_up_s=None):
            LOG.debug("%s training %d: %d rows learned", fact.shard, fact.training, fact.rows)
        case TrainerTold():
            LOG.info("%s training %d is done after %d rows", fact.shard, fact.training, fact.rows)
        case TransactionAborted():
            LOG.warning("transaction aborted, sending the same again: %s", fact.error)
        case Retrying():
            LOG.warning("%s; trying again in %.1f s", fact.error, fact.wait_s)
        case WorkerStateChanged():
            level = logging.ERROR if fact.state == "failed" else logging.INFO
            LOG.log(level, "worker is %s%s", fact.state, f": {fact.detail}" if fact.detail else "")
        case Observed() | Lagging() | GroupSeen() | Committed():
            pass
        case _:
            assert_never(fact)


def _log_assignment(fact: Assigned | WentLive | Released) -> None:
    match fact:
        case Assigned():
            LOG.info("%s assigned: reading from %d, live from %d", fact.shard, fact.offset, fact.live_from)
        case WentLive():
            LOG.info("%s is live from offset %d", fact.shard, fact.offset)
        case Released():
            LOG.info("%s %s", fact.shard, fact.how)


def _log_restored(fact: Restored) -> None:
    if fact.offset is None:
        LOG.log(logging.INFO if fact.how == "new" else logging.WARNING, "%s %s", fact.shard, WITHOUT_CHECKPOINT[fact.how])
    else:
        LOG.info("%s restored from its checkpoint at offset %d, generation %d", fact.shard, fact.offset, fact.generation)
    if fact.differs:
        LOG.warning(
            "%s the pipeline has changed since: %s. Kept: the champion and %d waiting questions; %s. What else is in it begins afresh",
            fact.shard,
            ", ".join(fact.differs),
            fact.questions_kept,
            ", ".join(fact.kept),
        )
    if fact.dropped:
        LOG.warning("%s dropped, because its rule has changed or is gone: %s", fact.shard, ", ".join(fact.dropped))
    if fact.questions_dropped is None:
        LOG.warning("%s dropped the questions that waited, an unknown number: their labels will find no question", fact.shard)
    elif fact.questions_dropped:
        LOG.warning("%s dropped %d waiting questions: their labels will find no question", fact.shard, fact.questions_dropped)


def _log_store(
    fact: Checkpointed | CheckpointFailed | ArtifactsEvicted | StoreLost | StoreRegained | WindowCleared | WindowRefilled,
) -> None:
    match fact:
        case Checkpointed():
            LOG.debug("%s checkpoint at %d: %d bytes, %.0f ms", fact.shard, fact.offset, fact.bytes, fact.seconds * 1000)
        case CheckpointFailed():
            LOG.warning("%s checkpoint: %s", fact.shard, fact.error)
        case ArtifactsEvicted():
            LOG.info("%s drops the oldest artifacts, beyond their limits: %d, %d bytes", fact.shard, fact.artifacts, fact.bytes)
        case StoreLost():
            LOG.warning("the store does not answer, the shards go on without it: %s", fact.error)
        case StoreRegained():
            LOG.info("the store answers again after %.1f s", fact.away_s)
        case WindowCleared():
            LOG.warning("%s window cleared: it begins with what the rebuild learns", fact.shard)
        case WindowRefilled():
            LOG.warning("%s window appended again: %s", fact.shard, fact.error)


def _log_rare(fact: Processed) -> None:
    """Each rare fact in its own words; of rejected records the first few of a batch; what is replayed was logged before."""
    rejected = 0
    for rare in fact.facts:
        if isinstance(rare, Rejected):
            rejected += 1
            if rejected > REJECTIONS_A_BATCH:
                continue
        repeated = isinstance(rare, PredictionFailed | MetricFailed) and rare.repeated
        level = logging.DEBUG if fact.replayed or repeated else LEVELS[rare.level]
        LOG.log(level, "%s offset %d: %s", fact.shard, rare.offset, rare.sentence)
    if rejected > REJECTIONS_A_BATCH and not fact.replayed:
        LOG.warning("%s: %d more records of this batch went to the dead-letter topic", fact.shard, rejected - REJECTIONS_A_BATCH)
