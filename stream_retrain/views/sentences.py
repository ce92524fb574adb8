"""The rare facts of a shard as a log tells them: a sentence, its fields, and by what its repeats are counted.

No payload: of what a record holds nothing is told, and of what foreign code raised the class alone, because its text may repeat a value.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Hashable
from typing import Any, Final

from stream_retrain.facts.drift import DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.duel import ContestantFailed, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.failures import MetricFailed, PredictionFailed
from stream_retrain.facts.member import LeaderChanged, LeaderWavered, MemberRestarted
from stream_retrain.facts.policy import Decided, RequestRefused
from stream_retrain.facts.records import Passed, Rejected, Unmatched
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.telling import MARK, counted_labels, without_values
from stream_retrain.facts.training import TrainingFailed
from stream_retrain.facts.values import ShardId
from stream_retrain.logs import ALWAYS

__all__ = ["counted_by", "fields", "place_of", "sentence", "shown"]

# Fields of facts that are bounded words and numbers of ours; `time_s`, `value`, `id` and `detail` are of records, or may be.
_TOLD: Final = (
    "signal",
    "detector",
    "direction",
    "trigger",
    "reaction",
    "outcome",
    "reason",
    "challenger",
    "training",
    "duel",
    "result",
    "winner",
    "before",
    "now",
    "member",
    "metric",
    "generation",
    "how",
    "version",
    "by",
    "token",
    "do",
)
_CAUSES: Final = ("cause", "trigger", "signal", "reason", "member", "metric", "how", "do")
_OF: Final = ("training", "duel", "generation")
_MISSING: Final = re.compile(r"required features? missing: .*|the id .* is missing")
"""What a schema misses is named, in quotes: these are the schema's own names."""


def shown(fact: ShardFact) -> dict[str, Any]:
    """A fact as `/status` and the page show it: what happened, without a value of the record, and what a chart pairs it by."""
    found = {"kind": fact.kind, "offset": fact.offset, "text": _without_payload(fact).sentence}
    match fact:
        case DuelStarted():
            found["duel"] = fact.duel
        case DuelEnded():
            found |= {"duel": fact.duel, "result": fact.result}
        case DriftDetected():
            found["signal"] = fact.signal
    return found


def sentence(fact: ShardFact) -> str:
    """What happened, and why; without a value of the record."""
    said = _without_payload(fact).sentence
    cause = getattr(fact, "cause", None)
    return said if cause is None or isinstance(fact, LeadChanged) else f"{said}; cause: {cause}"


def place_of(shard: ShardId) -> dict[str, Any]:
    """A shard as fields of a line."""
    return {"pipeline": shard.pipeline, "topic": shard.topic, "partition": shard.partition}


def fields(shard: ShardId, fact: ShardFact) -> dict[str, Any]:
    """Kind, place and cause of a fact, and what else it says in words and numbers."""
    told = {name: None if (value := getattr(fact, name, None)) == "" else value for name in _TOLD}
    return {"kind": fact.kind, **place_of(shard), "offset": fact.offset, "cause": _cause(fact), **told}


def counted_by(shard: ShardId, fact: ShardFact) -> Hashable:
    """What makes another fact a repeat of this one: the shard and the labels of its counter. What changes the model is always said.

    A failure is a repeat only where its words are the same.
    """
    match fact:
        case Rejected() | Passed() | Unmatched() | DriftDetected() | WarningRaised() | DetectorFailed() | MetricFailed():
            return fact.kind, shard, counted_labels(fact)
        case MemberRestarted() | LeaderChanged() | LeaderWavered():
            return fact.kind, shard, counted_labels(fact)
        case Decided() if fact.outcome != "done" or fact.reaction == "Ignore":
            return fact.kind, shard, fact.trigger, counted_labels(fact)
        case PredictionFailed() | TrainingFailed():
            return fact.kind, shard, sentence(fact)
    return ALWAYS


def _cause(fact: ShardFact) -> str | None:
    declared = next((getattr(fact, name) for name in _CAUSES if getattr(fact, name, None) not in (None, "")), None)
    if declared is not None:
        return str(declared)
    return next((f"{name} {getattr(fact, name)}" for name in _OF if getattr(fact, name, None) is not None), None)


def _without_payload(fact: ShardFact) -> ShardFact:
    match fact:
        case Rejected():
            keeps = fact.reason == "schema" and _MISSING.fullmatch(fact.detail) is not None
            return fact if keeps else dataclasses.replace(fact, detail=without_values(fact.detail))
        case PredictionFailed():
            return dataclasses.replace(fact, detail=without_values(fact.detail))
        case MetricFailed() | DetectorFailed() | ContestantFailed():
            return dataclasses.replace(fact, detail=fact.detail.partition(":")[0])
        case TrainingFailed():
            return dataclasses.replace(fact, error=without_values(fact.error))
        case RequestRefused():
            return dataclasses.replace(fact, detail=without_values(fact.detail))
        case Unmatched():
            return dataclasses.replace(fact, id=MARK)
    return fact
