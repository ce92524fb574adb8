"""A worker made by hand whose page can be looked at: its shards learn, drift, duel and are promoted, second by second, by one seed."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Any, Final

from stream_retrain.facts.duel import ContestantStanding, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.observation import DuelStanding, Observation, Reading
from stream_retrain.facts.shard import ChallengerJoined, DriftDetected, Rejected, ShardFact, TrainingRequested, Unmatched
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    Committed,
    GroupSeen,
    Lagging,
    Observed,
    Processed,
    Restored,
    TrainerTold,
    WentLive,
    WindowSeen,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.views.history import History
from stream_retrain.views.http import Health, Pages
from stream_retrain.views.models import Models
from stream_retrain.views.status import Status
from tests.views.versions import generations

__all__ = ["NASTY", "MadeWorker"]

NASTY: Final = '<img src=x onerror="window.pwned=1">'
EVENTS_A_SECOND: Final = 180


@dataclasses.dataclass
class _Shard:
    id: ShardId
    drift_at: int
    """The second at which its concept changes."""
    score: float = 0.91
    offset: int = 0
    generation: int = 1
    duel_since: int | None = None
    e_value: float = 1.0


class MadeWorker:
    """Facts by the second, folded by the status and the history that a real worker has. `second` may be called while it is served."""

    def __init__(self, partitions: int = 3, *, first: int = 0, total: int | None = None, seconds_ago: float = 0.0) -> None:
        self.now_s = time.time() - seconds_ago
        self.second_number = 0
        self.history = History(lambda: self.now_s)
        self.status = Status(
            "flights", f"host-{first}", metrics=[("Accuracy", True), ("LogLoss", False)], version="0.2.0", clock_s=lambda: self.now_s
        )
        self.models = Models("flights")
        self._random = random.Random(first)
        shards = range(first, first + partitions)
        self.shards = [_Shard(ShardId("flights", "flights.events", each), drift_at=60 + 70 * (each - first)) for each in shards]
        for shard in self.shards:
            self.tell(Restored(shard=shard.id, offset=None, generation=0, how="new"))
            self.tell(WentLive(shard=shard.id, offset=0))
            self.tell(Assigned(shard=shard.id, offset=0, live_from=0))
        self.tell(WorkerStateChanged(state="running", detail=f"partitions {list(shards)}"))
        self.tell(GroupSeen(partitions=total or partitions, unowned=(total or partitions) - partitions))

    def tell(self, fact: WorkerFact) -> None:
        self.status(fact)
        self.history(fact)
        self.models(fact)

    def pages(self, **others: Any) -> Pages:
        healthy = Health(ok=True)
        shown = {"status": self.status.snapshot, "history": self.history.snapshot, "models": self.models.snapshot}
        given: dict[str, Any] = {"metrics": lambda _: ("text/plain", b""), "healthy": lambda: healthy, "ready": lambda: healthy}
        return Pages(**(given | shown | others))

    def know(self, generations_each: int, *, reason: str = "", unwritten: int = 0) -> None:
        """Its shards have changed their models every 20 seconds until now."""
        for shard in self.shards:
            shard.generation = generations_each - 1
            began_s = self.now_s - 20.0 * (generations_each - 1)
            versions = generations(shard.id, generations_each, began_s=began_s, every_s=20.0, reason=reason)
            self.tell(VersionsKnown(shard=shard.id, versions=tuple(versions), whole=True, unwritten=unwritten))

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()

    def second(self) -> None:
        """What happens within a second."""
        self.now_s += 1.0
        self.second_number += 1
        for shard in self.shards:
            self._second_of(shard)
        self.tell(Committed(outputs=10, offsets={shard.id: shard.offset for shard in self.shards}, seconds=0.01))

    def _second_of(self, shard: _Shard) -> None:
        at, shard.offset = self.second_number, shard.offset + EVENTS_A_SECOND
        facts = list(self._happens(shard, at))
        goal = 0.91 if at < shard.drift_at or (shard.duel_since is None and shard.generation > 1) else 0.62
        shard.score += (goal - shard.score) * 0.12 + self._random.gauss(0, 0.004)
        self.tell(
            Processed(
                shard=shard.id,
                records=EVENTS_A_SECOND,
                predicted=EVENTS_A_SECOND - 1,
                learned=EVENTS_A_SECOND - 3,
                facts=facts,
                replayed=False,
                newest_time_s=self.now_s - 2,
                seconds=0.1,
                stamped_s=self.now_s - 0.5,
            )
        )
        self.tell(Observed(shard=shard.id, offset=shard.offset, observation=self._stands(shard), replay_debt=900, window=WINDOW))
        self.tell(Lagging(shard=shard.id, records=self._random.randrange(40)))
        if at % 20 == 1:
            self.tell(Checkpointed(shard=shard.id, offset=shard.offset, bytes=64_000, seconds=0.01, at_s=self.now_s))

    def _happens(self, shard: _Shard, at: int) -> list[ShardFact]:
        told: dict[str, Any] = {"offset": shard.offset, "time_s": self.now_s}
        happened: list[ShardFact] = []
        if at % 31 == 0:
            happened.append(Rejected(offset=shard.offset, reason="schema", detail="no number", field="a"))
            happened.append(Unmatched(offset=shard.offset, id="e1", reason="expired_age"))
        if at == shard.drift_at + 12:
            drift = DriftDetected(**told, signal="error", detector="PageHinkley", direction="up", value=1.0, generation=shard.generation)
            names = ("champion", "fresh", NASTY if shard.id.partition == 2 else "since_change")
            asked = TrainingRequested(**told, training=1, challenger=names[2], cause="drift:error", generation=shard.generation)
            began = DuelStarted(
                **told, duel=1, contestants=names, trained_on=(0, 0, 400), generation=shard.generation, cause="drift:error", loss="log"
            )
            shard.duel_since, happened = at, [*happened, drift, asked, began]
        if shard.duel_since is not None and at == shard.duel_since + 30:
            joined: dict[str, Any] = {"training": 1, "duel": 1, "challenger": "since_change", "lessons": 12_000, "generation": 1}
            happened.append(ChallengerJoined(**told, **joined, learned_through=1, caught_up=4, gap=False, digest="5e1f"))
        if shard.duel_since is not None and at == shard.duel_since + 40:
            standings = self._contestants(shard)
            lead: dict[str, Any] = {"duel": 1, "events": 7_200, "standings": standings, "generation": 2, "loss": "log"}
            happened.append(LeadChanged(**told, **lead, before="champion", now="fresh", cause="evidence"))
            happened.append(DuelEnded(**told, **lead, result="promoted", winner="fresh", changes=1, held_by=None))
            shard.generation, shard.duel_since = 2, None
        return happened

    def _contestants(self, shard: _Shard) -> tuple[ContestantStanding, ...]:
        since = self.second_number - (shard.duel_since or self.second_number)
        loss, events = 0.25 + 0.004 * since, since * EVENTS_A_SECOND
        other = NASTY if shard.id.partition == 2 else "since_change"
        return (
            ContestantStanding(name="champion", loss_mean=loss, events=events, e_value=1.0, e_value_against=1.0),
            ContestantStanding(name="fresh", loss_mean=loss * 0.6, events=events, e_value=1.06**since, e_value_against=0.97**since),
            ContestantStanding(name=other, loss_mean=loss * 0.8, events=events, e_value=1.03**since, e_value_against=0.98**since),
        )

    def _stands(self, shard: _Shard) -> Observation:
        duel, since = None, shard.duel_since
        if since is not None:
            events = (self.second_number - since) * EVENTS_A_SECOND
            duel = DuelStanding(number=1, leader="champion", events=events, passes_at=10.0, contestants=self._contestants(shard))
        if since is not None and self.second_number < since + 30:
            rows = (self.second_number - since) * 400
            self.tell(TrainerTold(shard=shard.id, training=1, rows=rows, rows_total=12_000))
        statistic = max(1.0, 30 * min(1.0, (self.second_number - shard.drift_at) / 12)) if shard.generation == 1 else 2.0
        return Observation(
            generation=shard.generation,
            events_seen=shard.offset,
            questions_seen=shard.offset,
            pending=self._random.randrange(90, 120),
            newest_time_s=self.now_s,
            running={"Accuracy": 0.9, "LogLoss": 0.3},
            rolling={"Accuracy": min(1.0, shard.score), "LogLoss": 1.2 - shard.score},
            readings={
                ("error", "PageHinkley"): Reading(statistic=statistic, threshold=30.0),
                ("feature:distance", "ADWIN"): Reading(estimate=410.5, width=2_048),
            },
            duel=duel,
            training=1 if since is not None and self.second_number < since + 30 else None,
        )


WINDOW: Final = WindowSeen(rows=10_000, waiting_rows=0, oldest_time_s=1.0)
