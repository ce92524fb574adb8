"""How one shard stands now: what the facts said last, with ages that are counted when it is asked for.

A shard's numbers begin when this worker opened it. What a replay learned again is counted apart, and what was decided before has no
time, because nobody noted when.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any, Final

from stream_retrain.facts.observation import DuelStanding, Observation
from stream_retrain.facts.shard import (
    ChallengerJoined,
    ChallengerWaits,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    ModelPromoted,
    ModelReset,
    Rejected,
    ShardFact,
    TrainingFailed,
    TrainingRequested,
    Unmatched,
)
from stream_retrain.facts.telling import without_values
from stream_retrain.facts.worker import Checkpointed, Observed, Processed, TrainerTold, TrainingWaits
from stream_retrain.views.catalogue import CATALOGUE
from stream_retrain.views.histogram import Histogram
from stream_retrain.views.standing import NAMES_MAX

__all__ = ["EVIDENCE_MAX", "ShardStatus", "age"]

DELAY_BUCKETS_S: Final = next(family.buckets for family in CATALOGUE if family.name == "label_delay_seconds")
EVIDENCE_MAX: Final = 1e9
"""An e-value beyond it is shown as this: it means the same, and infinity cannot be said in JSON."""


class ShardStatus:
    """Folds what is said of one shard. Times are wall clock, seconds since the epoch; durations go by the monotonic clock."""

    def __init__(self, offset: int = 0) -> None:
        self.state = "replaying"
        self.offset = offset
        self.generation = 0
        self.lag_records: int | None = None
        self._stamped_s = math.nan
        self._newest_event_s: float | None = None
        self._counts = dict.fromkeys(
            ("records", "replayed", "predicted", "learned", "rejected", "drifts", "resets", "promotions", "rollbacks"), 0
        )
        self._dead_letters: dict[str, int] = {}
        self._unmatched: dict[str, int] = {}
        self._delays = Histogram(DELAY_BUCKETS_S)
        self._seen: Observed | None = None
        self._checkpoint: Checkpointed | None = None
        self._committed_at_s: float | None = None
        self._uncommitted = 0
        self._uncommitted_since_s: float | None = None
        """Since when something waits to be committed, on the monotonic clock."""
        self._drifts: dict[tuple[str, str], tuple[int, float | None]] = {}
        """By watch: how many drifts, and when the last one was."""
        self._duel_began: tuple[DuelStarted, float | None] | None = None
        self._duel: DuelStanding | None = None
        self._last_duel: dict[str, Any] | None = None
        self._training: dict[str, Any] | None = None

    def processed(self, fact: Processed, now_s: float) -> None:
        """A batch went through."""
        if fact.replayed:
            self._counts["replayed"] += fact.records
        else:
            self._counts["records"] += fact.records
            self._counts["predicted"] += fact.predicted
            self._counts["learned"] += fact.learned
            self._delays.observe_all(fact.delays_s)
            self._uncommitted += fact.records
            if self._uncommitted_since_s is None:
                self._uncommitted_since_s = time.monotonic()
        if math.isfinite(fact.newest_time_s):
            self._newest_event_s = fact.newest_time_s
        if fact.stamped_s >= 0:
            self._stamped_s = fact.stamped_s
        for rare in fact.facts:
            if not fact.replayed:
                self._count(rare)
            self._happened(rare, None if fact.replayed else now_s)

    def observed(self, fact: Observed, now_s: float) -> None:
        """It was observed: what an observation does not say is not so."""
        self._seen, self.offset, self.generation = fact, fact.offset, fact.observation.generation
        self._duel = fact.observation.duel
        number, training = fact.observation.training, self._training
        if number is not None and (training is None or training["number"] != number):
            self._training = _training(number)
        elif number is None and training is not None and training["state"] == "under way":
            training["state"], training["ended_at_s"] = "dropped", now_s

    def checkpointed(self, fact: Checkpointed) -> None:
        """Its state is safe."""
        self._checkpoint = fact

    def committed(self, now_s: float) -> None:
        """What it had put out, and how far it has read, was committed."""
        self._committed_at_s = now_s
        self._uncommitted, self._uncommitted_since_s = 0, None

    def trained(self, fact: TrainerTold) -> None:
        """The trainer said how far it is."""
        if self._training is None or self._training["number"] != fact.training:
            self._training = _training(fact.training)
        self._training |= {"rows": fact.rows, "rows_total": fact.rows_total, "waits_for_trainer_s": None, "trainers": None}
        if fact.seconds is not None:
            self._training["seconds"] = fact.seconds

    def training_waits(self, fact: TrainingWaits) -> None:
        """Nobody has taken the training."""
        if self._training is None or self._training["number"] != fact.training:
            self._training = _training(fact.training)
        self._training["waits_for_trainer_s"], self._training["trainers"] = fact.waited_s, fact.trainers

    @property
    def uncommitted_s(self) -> float:
        """How long something has waited to be committed; 0 where nothing waits."""
        since_s = self._uncommitted_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @property
    def paused(self) -> bool:
        """Whether nothing of it is taken."""
        return self._seen is not None and self._seen.paused

    def shown(self, now_s: float) -> dict[str, Any]:
        """All of it, as values for JSON."""
        seen = self._seen
        found = seen.observation if seen is not None else None
        saved = self._checkpoint
        return {
            "state": "paused" if self.paused else self.state,
            "paused_by": _held(seen),
            "schedules": [dataclasses.asdict(each) for each in seen.schedules] if seen is not None else [],
            "offset": self.offset,
            "lag_records": self.lag_records,
            "lag_s": self._lag_s(now_s),
            **self._counts,
            "dead_letters": dict(self._dead_letters),
            "unmatched": dict(self._unmatched),
            "labels": self._labels(found),
            "generation": self.generation,
            "events_seen": found.events_seen if found else 0,
            "pending": found.pending if found else 0,
            "running": _scores(found.running, found.events_seen) if found else {},
            "rolling": _scores(found.rolling, found.events_seen) if found else {},
            "newest_event_time_s": self._newest_event_s,
            "committed_at_s": self._committed_at_s,
            "commit_age_s": age(self._committed_at_s, now_s),
            "uncommitted_records": self._uncommitted,
            "uncommitted_s": round(self.uncommitted_s, 1),
            "checkpoint_offset": saved.offset if saved else None,
            "checkpoint_at_s": saved.at_s if saved else None,
            "checkpoint_age_s": age(saved.at_s if saved else None, now_s),
            "checkpoint_bytes": saved.bytes if saved else None,
            "replay_debt": seen.replay_debt if seen else 0,
            "watches": self._watches(found),
            "duel": self._duel_shown(),
            "last_duel": self._last_duel,
            "training": dict(self._training) if self._training else None,
            "window": dataclasses.asdict(seen.window) if seen and seen.window else None,
            **_members(found),
            "memory": found.memory._asdict() if found and found.memory else None,
            "keys": found.keys._asdict() if found and found.keys else None,
        }

    def _labels(self, found: Observation | None) -> dict[str, Any] | None:
        """What became of answers since the shard began, and how late they came since this worker opened it."""
        if found is None:
            return None
        delays = {"p50": self._delays.quantile(0.5), "p99": self._delays.quantile(0.99)}
        return {**found.labels._asdict(), "join_rate": found.labels.join_rate, "delay_s": delays}

    def _lag_s(self, now_s: float) -> float | None:
        if self.lag_records == 0:
            return 0.0
        if self.lag_records is None or math.isnan(self._stamped_s):
            return None
        return round(max(0.0, now_s - self._stamped_s), 1)

    def _count(self, rare: ShardFact) -> None:
        match rare:
            case Rejected():
                self._counts["rejected"] += 1
                self._dead_letters[rare.reason] = self._dead_letters.get(rare.reason, 0) + 1
            case Unmatched():
                self._unmatched[rare.reason] = self._unmatched.get(rare.reason, 0) + 1
            case DriftDetected():
                self._counts["drifts"] += 1
            case ModelReset():
                self._counts["resets"] += 1
            case DuelEnded(result="promoted") | ModelPromoted(how="promote"):
                self._counts["promotions"] += 1
            case ModelPromoted():
                self._counts["rollbacks"] += 1

    def _happened(self, rare: ShardFact, at_s: float | None) -> None:
        match rare:
            case DriftDetected():
                count, _ = self._drifts.get((rare.signal, rare.detector), (0, None))
                self._drifts[rare.signal, rare.detector] = count + (at_s is not None), at_s
            case ModelReset() | ModelPromoted():
                self.generation = rare.generation
            case DuelStarted():
                self._duel_began = rare, at_s
            case LeadChanged():
                self.generation = rare.generation
                if self._duel is not None:
                    self._duel = self._duel._replace(leader=rare.now)
            case DuelEnded():
                self._duel = None
                ended = {"number": rare.duel, "result": rare.result, "winner": rare.winner, "events": rare.events, "loss": rare.loss}
                self._last_duel = ended | {"held_by": rare.held_by, "ended_at_s": at_s}
            case TrainingRequested():
                told = {"challenger": rare.challenger, "cause": rare.cause, "requested_at_s": at_s}
                self._training = _training(rare.training) | told
            case ChallengerJoined() | ChallengerWaits() | TrainingFailed():
                self._training_ended(rare, at_s)

    def _training_ended(self, rare: ChallengerJoined | ChallengerWaits | TrainingFailed, at_s: float | None) -> None:
        if self._training is None or self._training["number"] != rare.training:
            self._training = _training(rare.training)
        ended = {"challenger": rare.challenger, "ended_at_s": at_s}
        match rare:
            case ChallengerJoined():
                ended |= {"state": "joined", "lessons": rare.lessons}
            case ChallengerWaits():
                ended |= {"state": "waits", "lessons": rare.lessons}
            case TrainingFailed():
                ended |= {"state": "failed", "error": without_values(rare.error)}
        self._training |= ended

    def _watches(self, found: Observation | None) -> list[dict[str, Any]]:
        shown = []
        for (signal, detector), reading in (found.readings if found else {}).items():
            drifts, last_at_s = self._drifts.get((signal, detector), (0, None))
            counted = {"drifts": drifts, "last_drift_at_s": last_at_s}
            shown.append({"signal": signal, "detector": detector, **dataclasses.asdict(reading), **counted})
        return shown

    def _duel_shown(self) -> dict[str, Any] | None:
        duel = self._duel
        if duel is None:
            return None
        began, at_s = self._duel_began if self._duel_began and self._duel_began[0].duel == duel.number else (None, None)
        contestants = [dataclasses.asdict(each) for each in duel.contestants[:NAMES_MAX]]
        for each in contestants:
            each |= {name: min(each[name], EVIDENCE_MAX) for name in ("e_value", "e_value_against")}
        return {
            "number": duel.number,
            "cause": began.cause if began else None,
            "loss": began.loss if began else None,
            "started_at_s": at_s,
            "leader": duel.leader,
            "events": duel.events,
            "passes_at": duel.passes_at,
            "rematch": duel.rematch,
            "contestants": contestants,
        }


def _held(seen: Observed | None) -> dict[str, str] | None:
    """Who has had it paused, and why; None where nobody has."""
    if seen is None or seen.held is None:
        return None
    return {"by": seen.held.by, "reason": seen.held.reason, "token": seen.held.token}


def _members(found: Observation | None) -> dict[str, Any]:
    """Of a model that adapts: the weights of its members, which of them leads, and how often each began afresh."""
    if found is None or found.members is None:
        return {"members": None, "leader": None, "member_restarts": None}
    standing = found.members
    names = standing.members[:NAMES_MAX]
    return {
        "members": dict(zip(names, standing.weights, strict=False)),
        "leader": standing.leader,
        "member_restarts": dict(zip(names, standing.restarts, strict=False)),
    }


def _training(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "state": "under way",
        "challenger": None,
        "cause": None,
        "requested_at_s": None,
        "rows": 0,
        "rows_total": None,
        "waits_for_trainer_s": None,
        "trainers": None,
        "lessons": None,
        "seconds": None,
        "error": None,
        "ended_at_s": None,
    }


def age(at_s: float | None, now_s: float) -> float | None:
    """Seconds since then; None where it never was."""
    return None if at_s is None else round(max(0.0, now_s - at_s), 1)


def _scores(scores: Mapping[str, float], events_seen: int) -> dict[str, float]:
    """Scores, or none of them before the first label: most of River's metrics say 0.0 then, which would be a very bad score."""
    return {name: score if events_seen else math.nan for name, score in scores.items()}
