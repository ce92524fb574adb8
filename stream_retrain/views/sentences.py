"""What a shard's rare facts say in words: the same sentence in the log and in the status."""

from __future__ import annotations

from typing import Any

from stream_retrain.core.duel import ContestantFailed, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.core.messages import (
    ChallengerJoined,
    Decided,
    DriftDetected,
    LeaderChanged,
    MemberRestarted,
    ModelReset,
    Requested,
    TrainingFailed,
    TrainingRequested,
    WarningRaised,
)

__all__ = ["sentence"]


def sentence(fact: Any) -> tuple[str, str] | None:
    """The kind of a fact and what it says; None for a fact that is only counted."""
    match fact:
        case WarningRaised():
            return "warning", f"{fact.detector} on {fact.signal} grows suspicious"
        case DriftDetected():
            return "drift", f"{fact.detector} on {fact.signal} says {fact.direction}"
        case Requested():
            return "request", f"asked for: {fact.reason}"
        case Decided():
            return "decision", f"{fact.trigger} -> {fact.reaction}, {fact.outcome}"
        case ModelReset():
            return "reset", f"generation {fact.generation} begins"
        case DuelStarted() | LeadChanged() | ContestantFailed() | DuelEnded():
            return "duel", _of_duel(fact)
        case TrainingRequested() | TrainingFailed() | ChallengerJoined():
            return "training", _of_training(fact)
        case MemberRestarted():
            return "member", f"{fact.member} begins afresh, for the {fact.restarts}. time"
        case LeaderChanged():
            return "member", f"{fact.now} leads in place of {fact.before}"
        case _:
            return None


def _of_duel(fact: DuelStarted | LeadChanged | ContestantFailed | DuelEnded) -> str:
    match fact:
        case DuelStarted():
            rematch = ", a rematch" if fact.cause == "rematch" else ""
            return f"duel {fact.duel} begins{rematch}: {', '.join(fact.contestants)}"
        case LeadChanged():
            return f"{fact.now} serves in place of {fact.before} ({fact.cause})"
        case ContestantFailed():
            return f"{fact.name} is out of the duel: {fact.detail}"
        case DuelEnded():
            return f"duel {fact.duel} ends, {fact.result}: {fact.winner}"


def _of_training(fact: TrainingRequested | TrainingFailed | ChallengerJoined) -> str:
    match fact:
        case TrainingRequested():
            return f"training {fact.training} of {fact.challenger} is asked for"
        case TrainingFailed():
            return f"training {fact.training} of {fact.challenger} came to nothing: {fact.error}"
        case ChallengerJoined():
            return f"{fact.challenger} of training {fact.training} joins duel {fact.duel} after {fact.lessons:,} lessons"
