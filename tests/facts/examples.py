"""One example of each fact of a shard, for tests of what is made of facts: words, outputs, metrics, log lines."""

from __future__ import annotations

from typing import Final

from stream_retrain.facts.drift import DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.duel import ContestantFailed, ContestantStanding, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.failures import MetricFailed, PredictionFailed
from stream_retrain.facts.member import LeaderChanged, LeaderWavered, MemberRestarted
from stream_retrain.facts.memory import MemoryReached, ModelPruned
from stream_retrain.facts.policy import Decided, ModelPromoted, ModelReset, Requested, RequestRefused
from stream_retrain.facts.records import IntakePaused, Passed, Rejected, Unmatched
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits, TrainingFailed, TrainingRequested

__all__ = ["EXAMPLES", "STANDINGS", "TIME_S"]

TIME_S: Final = 1_767_225_600.5
"""2026-01-01, half a second after midnight (UTC)."""
STANDINGS: Final = (
    ContestantStanding(name="champion", loss_mean=0.25, events=40, e_value=1.0, e_value_against=1.0),
    ContestantStanding(name="fresh", loss_mean=0.125, events=40, e_value=64.0, e_value_against=0.5),
)

_ALL: Final[tuple[ShardFact, ...]] = (
    Rejected(offset=3, reason="schema", detail="Expected `float`, got `str`", field="a"),
    IntakePaused(offset=3, time_s=TIME_S, rejected=500, over_records=1_000, reason="schema"),
    Unmatched(offset=4, id="e7", reason="no_question"),
    Passed(offset=5),
    PredictionFailed(offset=5, time_s=TIME_S, detail="nan is not a finite number", generation=2, repeated=False),
    MetricFailed(offset=6, time_s=TIME_S, metric="RMSLE", detail="ValueError: math domain error", repeated=False),
    DriftDetected(offset=10, time_s=TIME_S, signal="error", detector="ADWIN", direction="up", value=1.0, generation=2),
    WarningRaised(offset=9, time_s=TIME_S, signal="error", detector="DDM", generation=2),
    DetectorFailed(offset=11, time_s=TIME_S, signal="feature:a", detector="KSWIN", detail="ValueError: too few", generation=2),
    Requested(offset=12, time_s=TIME_S, reason="a new season", token="8f3a"),
    RequestRefused(offset=12, time_s=TIME_S, do="promote", token="8f3b", detail="there is no version 0-g9", by="cli:ann"),
    Decided(offset=10, time_s=TIME_S, trigger="drift:error", reaction="Challenge", outcome="done", generation=2, events_seen=9),
    ModelReset(offset=10, time_s=TIME_S, generation=3, cause="drift:error"),
    MemoryReached(offset=13, time_s=TIME_S, model_bytes=64_000_001, shard_bytes=70_000_000, generation=2),
    ModelPruned(offset=13, time_s=TIME_S, bytes_before=70_000_000, bytes_after=41_000_000, generation=2),
    ModelPromoted(
        offset=13,
        time_s=TIME_S,
        generation=4,
        version="0-g1",
        how="promote",
        family="",
        digest="5e1f",
        reason="it was better",
        token="8f3c",
        by="cli:ann",
    ),
    TrainingRequested(offset=10, time_s=TIME_S, training=5, challenger="retrained", cause="drift:error", generation=2),
    ChallengerJoined(
        offset=20,
        time_s=TIME_S,
        training=5,
        duel=1,
        challenger="retrained",
        lessons=12_000,
        learned_through=15,
        caught_up=4,
        gap=False,
        generation=2,
        digest="5e1f",
    ),
    ChallengerWaits(
        offset=19,
        time_s=TIME_S,
        training=5,
        challenger="retrained",
        lessons=12_000,
        learned_through=15,
        caught_up=3,
        gap=False,
        generation=2,
        digest="5e1f",
    ),
    TrainingFailed(offset=20, time_s=TIME_S, training=5, challenger="retrained", error="took longer than 600 s"),
    MemberRestarted(offset=21, time_s=TIME_S, member="tree", restarts=1, generation=2),
    LeaderChanged(offset=22, time_s=TIME_S, before="tree", now="linear", weights={"tree": 0.25, "linear": 0.75}, generation=2),
    LeaderWavered(offset=23, time_s=TIME_S, now="tree", generation=2),
    DuelStarted(
        offset=10,
        time_s=TIME_S,
        duel=1,
        contestants=("champion", "fresh"),
        trained_on=(0, 0),
        generation=2,
        cause="drift:error",
        loss="log",
    ),
    LeadChanged(
        offset=50,
        time_s=TIME_S,
        duel=1,
        before="champion",
        now="fresh",
        cause="evidence",
        events=40,
        standings=STANDINGS,
        generation=3,
        loss="log",
    ),
    ContestantFailed(offset=51, time_s=TIME_S, duel=1, name="fresh", detail="OverflowError: math range error"),
    DuelEnded(
        offset=90,
        time_s=TIME_S,
        duel=1,
        result="promoted",
        winner="fresh",
        events=80,
        changes=1,
        standings=STANDINGS,
        generation=3,
        loss="log",
        held_by=None,
    ),
    ShardRestored(offset=91, time_s=TIME_S, how="checkpoint", from_offset=80, training=5, request="", generation=3),
)
EXAMPLES: Final[dict[type[ShardFact], ShardFact]] = {type(fact): fact for fact in _ALL}
