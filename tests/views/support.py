"""Facts of a worker made by hand, for the views that fold them."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.observation import DuelStanding, KeysHeld, LabelCounts, MemorySeen, Observation, Reading, Standing
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Observed, Processed, WindowSeen

__all__ = ["DUEL", "OTHER", "SHARD", "observation", "observed", "processed"]

SHARD: Final = ShardId("flights", "flights.events", 3)
OTHER: Final = ShardId("flights", "flights.events", 4)
DUEL: Final = DuelStanding(
    number=1,
    leader="champion",
    events=300,
    passes_at=10.0,
    contestants=(
        ContestantStanding(name="champion", loss_mean=0.5, events=300, e_value=1.0, e_value_against=1.0),
        ContestantStanding(name="fresh", loss_mean=0.25, events=300, e_value=8.0, e_value_against=0.125),
    ),
)


def processed(*facts: ShardFact, shard: ShardId = SHARD, **changes: Any) -> Processed:
    """A batch of ten records, with these rare facts."""
    batch = Processed(
        shard=shard,
        records=10,
        predicted=8,
        learned=7,
        facts=list(facts),
        replayed=False,
        newest_time_s=1_000.0,
        seconds=0.25,
        stamped_s=1_000.0,
        delays_s=(5.0, 20.0),
    )
    return dataclasses.replace(batch, **changes)


def observation(**changes: Any) -> Observation:
    """How a shard stands: a drift detector and a test statistic, two members, a duel."""
    seen = Observation(
        generation=2,
        events_seen=700,
        questions_seen=800,
        pending=5,
        labels=LabelCounts(joined=90, unjoined=10, expired=3, early=2),
        newest_time_s=1_000.0,
        running={"Accuracy": 0.75},
        rolling={"Accuracy": 0.5},
        readings={
            ("error", "ADWIN"): Reading(estimate=0.25, width=64, warning=True),
            ("feature:a", "PageHinkley"): Reading(statistic=12.0, threshold=50.0),
        },
        duel=DUEL,
        training=None,
        members=Standing(members=("tree", "linear"), weights=(0.25, 0.75), restarts=(1, 0), failures=(0, 0), leader="linear", changes=2),
        memory=MemorySeen(model_bytes=48_000_000, shard_bytes=52_000_000, model_bytes_max=64_000_000, shard_bytes_max=90_000_000),
        keys=KeysHeld(
            hot=1_000,
            cold=99_000,
            hot_bytes=5_000_000,
            cold_bytes=80_000_000,
            put_away=120_000,
            taken_back=21_000,
            dropped=7,
            shared_answers=400,
        ),
    )
    return dataclasses.replace(seen, **changes)


def observed(shard: ShardId = SHARD, offset: int = 110, replay_debt: int = 30, **changes: Any) -> Observed:
    """How a shard stands, as a worker tells it."""
    window = WindowSeen(rows=400, waiting_rows=20, oldest_time_s=900.0)
    return Observed(shard=shard, offset=offset, observation=observation(**changes), replay_debt=replay_debt, window=window)
