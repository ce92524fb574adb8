"""What is known of versions, from facts alone: the same facts again change nothing, and another history ends the one before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stream_retrain import Challenge, Evidence, FineTune, On, Retrain, Window
from stream_retrain.engines.driver.versions import ShardVersions
from stream_retrain.facts.duel import ContestantStanding, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.policy import ModelReset
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits, TrainingFailed, TrainingRequested
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Software, Version, aliases_of
from tests.core import streams

PIPELINE = streams.pipeline(
    react=[
        On.drift("error", Challenge(evidence=Evidence(events_max=400)), cooldown_events=200),
        On.every(events=700, do=Retrain(window=Window(rows=5_000))),
        On.every(events=900, do=FineTune(window=Window(seconds=60.0))),
    ]
)
SHARD = ShardId(PIPELINE.name, PIPELINE.source, 3)
STANDINGS = (ContestantStanding(name="champion", loss_mean=0.5, events=9, e_value=1.0, e_value_against=1.0),)
GIVEN = ("training", "lessons", "learned_through", "caught_up", "gap", "digest")


class Shard:
    """A fold with a clock of its own; `begin` opens it on what was written down."""

    def __init__(self) -> None:
        self.written: dict[str, Version] = {}
        self.now_s = 1_000.0
        self.begin("new", 0, 0)

    def begin(self, how: Any, generation: int, offset: int) -> None:
        self.versions = ShardVersions(PIPELINE, SHARD, list(self.written.values()), Software(river="0.26.1"), lambda: self.now_s)
        self.versions.began(how, generation, offset)

    def take(self, *facts: Any) -> None:
        self.now_s += 10
        self.versions.take(facts)

    def write(self) -> dict[str, Version]:
        changed = self.versions.changed(all_of_it=True)
        self.versions.written(changed)
        assert self.versions.changed(all_of_it=True) == []
        self.written.update({version.id: version for version in changed})
        return {version.id: version for version in changed}

    def __getitem__(self, id_: str) -> Version:
        found = self.versions.get(id_)
        assert found is not None
        return found


def requested(offset: int, number: int, challenger: str = "retrained") -> TrainingRequested:
    return TrainingRequested(offset=offset, time_s=1.0, training=number, challenger=challenger, cause="every:700_events", generation=0)


def came(offset: int, number: int, duel: int | None, challenger: str = "retrained") -> ChallengerJoined | ChallengerWaits:
    told: dict[str, Any] = {"offset": offset, "time_s": 1.0, "training": number, "challenger": challenger, "generation": 0, "digest": "d"}
    told |= {"lessons": 500, "learned_through": 90, "caught_up": 4, "gap": False}
    return ChallengerWaits(**told) if duel is None else ChallengerJoined(duel=duel, **told)


def started(offset: int, duel: int, *names: str, cause: str = "drift:error") -> DuelStarted:
    told: dict[str, Any] = {"contestants": ("champion", *names), "trained_on": (0,), "generation": 0, "loss": "log"}
    return DuelStarted(offset=offset, time_s=1.0, duel=duel, cause=cause, **told)


def led(offset: int, duel: int, generation: int, now: str, before: str = "champion", cause: Any = "evidence") -> LeadChanged:
    told: dict[str, Any] = {"events": 40, "standings": STANDINGS, "loss": "log"}
    return LeadChanged(offset=offset, time_s=1.0, duel=duel, before=before, now=now, cause=cause, generation=generation, **told)


def ended(offset: int, duel: int, result: Any, winner: str, generation: int) -> DuelEnded:
    told: dict[str, Any] = {"events": 400, "changes": 1, "standings": STANDINGS, "loss": "log", "held_by": None}
    return DuelEnded(offset=offset, time_s=1.0, duel=duel, result=result, winner=winner, generation=generation, **told)


def reset(offset: int, generation: int) -> ModelReset:
    return ModelReset(offset=offset, time_s=1.0, generation=generation, cause="every:900_events")


def promoted(offset: int, generation: int, version: str, how: str = "promote") -> Any:
    told = {"family": "", "digest": "d", "reason": "it was better", "by": "cli:ann", "token": "t1"}
    return SimpleNamespace(kind="model.promoted", offset=offset, time_s=1.0, generation=generation, version=version, how=how, **told)


@pytest.fixture
def shard() -> Shard:
    return Shard()


class TestLineage:
    def test_a_training_that_wins(self, shard: Shard) -> None:
        shard.take(requested(99, 0))
        shard.versions.taught(0, 2.5)
        shard.take(started(120, 0, "retrained", cause="every:700_events"), came(120, 0, 0))
        assert aliases_of(shard.versions) == {"champion": "3-g0", "challenger": "3-t0"}
        shard.take(led(160, 0, 1, "retrained"), ended(520, 0, "promoted", "retrained", 1))
        first, second, training = shard["3-g0"], shard["3-g1"], shard["3-t0"]
        assert first.ended is not None
        assert (first.ended.offset, first.ended_by, first.ended.wall_s) == (160, "lead", 1_030.0)
        assert (second.came, second.parent, second.replaced, second.training) == ("lead", "3-t0", "3-g0", 0)
        assert (second.duel, second.duel_events, second.loss, second.serves) == (0, 400, "log", True)
        assert (training.ended_by, training.parent) == ("promoted", "")
        assert training.trained_on is not None
        assert (training.trained_on.window, training.trained_on.seconds, training.trained_on.lessons) == ("the last 5000 rows", 2.5, 500)
        assert aliases_of(shard.versions) == {"champion": "3-g1", "previous": "3-g0"}

    def test_one_that_goes_on_from_the_champion_has_it_for_a_parent(self, shard: Shard) -> None:
        shard.take(requested(99, 0, "fine_tuned"))
        assert (shard["3-t0"].parent, shard["3-t0"].trained_on and shard["3-t0"].trained_on.window) == ("3-g0", "the last 60 s")

    @pytest.mark.parametrize(
        ("result", "winner", "said"),
        [
            ("kept", "champion", "rejected"),
            ("undecided", "champion", "undecided"),
            ("promoted", "other", "rejected"),
            ("superseded", "", "superseded"),
        ],
    )
    def test_a_training_that_does_not(self, shard: Shard, result: str, winner: str, said: str) -> None:
        shard.take(requested(99, 0), started(120, 0, "retrained"), came(120, 0, 0), ended(520, 0, result, winner, 0))
        assert (shard["3-t0"].ended_by, shard["3-g0"].serves) == (said, True)
        assert "challenger" not in aliases_of(shard.versions)

    def test_one_that_waits_races_later_and_one_that_fails_says_why(self, shard: Shard) -> None:
        shard.take(requested(99, 0), came(130, 0, None))
        assert (shard["3-t0"].duel, shard["3-t0"].ended) == (None, None)
        shard.take(
            came(530, 0, 4), requested(600, 1), TrainingFailed(offset=610, time_s=1.0, training=1, challenger="r", error="no memory")
        )
        assert (shard["3-t0"].duel, shard["3-t1"].ended_by, shard["3-t1"].error) == (4, "failed", "no memory")

    def test_one_trained_on_the_spot_and_one_that_wins_its_place_back(self, shard: Shard) -> None:
        shard.take(started(100, 2, "fresh", "additive"), led(140, 2, 1, "additive"), led(180, 2, 2, "champion", "additive"))
        shard.take(led(220, 2, 3, "additive", "champion", "failure"))
        assert [(shard[f"3-g{number}"].parent, shard[f"3-g{number}"].family) for number in range(4)] == [
            *(("", ""), ("", "additive"), ("3-g0", ""), ("3-g1", "additive"))
        ]
        assert (shard["3-g1"].cause, shard["3-g3"].reason) == ("drift:error", "champion raised")

    def test_by_hand(self, shard: Shard) -> None:
        shard.take(reset(100, 1), promoted(200, 2, "3-g0"), promoted(300, 3, "3-g1", "rollback"))
        assert [shard[f"3-g{number}"].came for number in range(4)] == ["new", "reset", "promoted", "rolled_back"]
        assert [shard[f"3-g{number}"].ended_by for number in range(4)] == ["reset", "promoted", "rolled_back", None]
        version = shard["3-g2"]
        assert (version.parent, version.replaced, version.by, version.reason, version.token) == (
            "3-g0",
            "3-g1",
            "cli:ann",
            "it was better",
            "t1",
        )
        assert aliases_of(shard.versions) == {"champion": "3-g3", "previous": "3-g2"}


class TestAgain:
    FACTS = (requested(99, 0), started(120, 0, "retrained"), came(120, 0, 0), led(160, 0, 1, "retrained"), reset(400, 2))

    def test_a_replay_changes_nothing(self, shard: Shard) -> None:
        shard.take(*self.FACTS)
        shard.write()
        before = dict(shard.written)
        shard.begin("checkpoint", 0, 90)
        assert shard.versions.serving == "3-g0"
        shard.take(*self.FACTS)
        assert (shard.write(), shard.written) == ({}, before)

    @pytest.mark.parametrize("at", range(1, 5))
    def test_wherever_it_was_written_down(self, shard: Shard, at: int) -> None:
        shard.take(*self.FACTS[:at])
        shard.write()
        shard.begin("checkpoint", 0, 90)
        shard.take(*self.FACTS)
        shard.write()
        other = Shard()
        other.take(*self.FACTS)
        other.write()
        timeless = [{id_: (v.came, v.parent, v.replaced, v.ended_by, v.duel) for id_, v in each.written.items()} for each in (shard, other)]
        assert timeless[0] == timeless[1]

    def test_from_the_checkpoint_before_the_newest_what_came_after_it_is_no_more(self, shard: Shard) -> None:
        shard.take(*self.FACTS)
        shard.write()
        shard.begin("previous", 0, 90)
        assert {version.id for version in shard.versions if version.ended is None} == {"3-g0"}
        assert (shard["3-g2"].ended_by, shard["3-t0"].ended_by) == ("begun_anew", "begun_anew")
        shard.take(reset(300, 1))
        assert (shard["3-g1"].came, shard["3-g1"].ended) == ("reset", None)

    @pytest.mark.parametrize("how", ["earliest", "latest", "window", "new", "warm"])
    def test_a_shard_that_lost_its_state_begins_anew(self, shard: Shard, how: Any) -> None:
        shard.take(*self.FACTS)
        shard.write()
        shard.begin(how, 0, 450)
        assert {version.id for version in shard.versions if version.ended is None} == {"3-g0"}
        assert (shard["3-g0"].came, shard["3-g0"].began and shard["3-g0"].began.offset) == ("warm" if how == "warm" else "new", 450)
        assert shard["3-g2"].ended_by == "begun_anew"

    def test_one_that_served_before_anybody_kept_versions(self, shard: Shard) -> None:
        shard.begin("checkpoint", 14, 5_000)
        assert (shard["3-g14"].came, shard["3-g14"].serves) == ("restored", True)
        shard.take(reset(5_100, 15))
        assert shard["3-g15"].replaced == "3-g14"


class TestSeen:
    def test_quality_before_and_since(self, shard: Shard) -> None:
        def seen(generation: int, events: int, value: float) -> None:
            told: dict[str, Any] = {"questions_seen": events, "pending": 0, "newest_time_s": 1.0, "running": {}, "readings": {}}
            shard.versions.seen(Observation(generation=generation, events_seen=events, rolling={"Accuracy": value}, **told))

        seen(0, 90, 0.75)
        assert shard.versions.changed()[0].id == "3-g0"
        shard.write()
        seen(0, 100, 0.5)
        assert shard.versions.changed() == [], "it is written with the next one"
        shard.take(reset(120, 1))
        seen(1, 160, float("nan"))
        seen(7, 170, 0.25)
        assert (shard["3-g0"].quality.since, shard["3-g0"].quality.events) == ({"Accuracy": 0.5}, 100)
        quality = shard["3-g1"].quality
        assert (quality.before, quality.since, quality.events) == ({"Accuracy": 0.5}, {"Accuracy": None}, 60)
        shard.write()
        seen(0, 180, 0.1)
        assert shard.versions.changed(all_of_it=True) == [], "what has ended is over"
