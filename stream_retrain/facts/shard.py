"""The closed union of a shard's rare facts. Each declares how it is told (`facts.telling`), so that no view can forget a new one.

The facts of a batch leave in order of offset; those of one offset in the order in which they happened.
"""

from __future__ import annotations

import typing
from typing import Final, TypeAlias

from stream_retrain.facts.drift import DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.duel import ContestantFailed, ContestantStanding, DuelEnded, DuelFact, DuelStarted, LeadChanged
from stream_retrain.facts.failures import MetricFailed, PredictionFailed
from stream_retrain.facts.member import LeaderChanged, LeaderWavered, MemberRestarted
from stream_retrain.facts.memory import MemoryReached, ModelPruned
from stream_retrain.facts.policy import Decided, ModelPromoted, ModelReset, Requested, RequestRefused
from stream_retrain.facts.records import IntakePaused, Passed, Rejected, Unmatched
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits, TrainingFailed, TrainingRequested

__all__ = [
    "SHARD_FACTS",
    "ChallengerJoined",
    "ChallengerWaits",
    "ContestantFailed",
    "ContestantStanding",
    "Decided",
    "DetectorFailed",
    "DriftDetected",
    "DuelEnded",
    "DuelFact",
    "DuelStarted",
    "IntakePaused",
    "LeadChanged",
    "LeaderChanged",
    "LeaderWavered",
    "MemberRestarted",
    "MemoryReached",
    "MetricFailed",
    "ModelPromoted",
    "ModelPruned",
    "ModelReset",
    "Passed",
    "PredictionFailed",
    "Rejected",
    "RequestRefused",
    "Requested",
    "ShardFact",
    "ShardRestored",
    "TrainingFailed",
    "TrainingRequested",
    "Unmatched",
    "WarningRaised",
]

ShardFact: TypeAlias = (
    Rejected
    | Passed
    | IntakePaused
    | Unmatched
    | PredictionFailed
    | MetricFailed
    | DriftDetected
    | WarningRaised
    | DetectorFailed
    | Requested
    | RequestRefused
    | Decided
    | ModelReset
    | MemoryReached
    | ModelPruned
    | ModelPromoted
    | TrainingRequested
    | ChallengerJoined
    | ChallengerWaits
    | TrainingFailed
    | MemberRestarted
    | LeaderChanged
    | LeaderWavered
    | DuelStarted
    | LeadChanged
    | ContestantFailed
    | DuelEnded
    | ShardRestored
)
SHARD_FACTS: Final[tuple[type[ShardFact], ...]] = typing.get_args(ShardFact)
