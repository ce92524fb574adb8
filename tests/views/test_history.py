"""What is kept for a page that is opened late: bounded, thinned with age, and of the shards that are here."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import msgspec
import pytest

from stream_retrain.facts.shard import DriftDetected, DuelEnded, ModelReset, Rejected
from stream_retrain.facts.worker import Assigned, Released, Retrying, WorkerFact
from stream_retrain.views.history import MARKS, POINTS, History
from tests.facts.examples import EXAMPLES
from tests.views.support import DUEL, OTHER, SHARD, observed, processed

PLACE = "flights.events/3"


class Told:
    """A history whose clock the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.history = History(lambda: self.now_s)
        self.tell(Assigned(shard=SHARD, offset=0, live_from=0))

    def tell(self, *facts: WorkerFact, after_s: float = 0.0) -> None:
        self.now_s += after_s
        for fact in facts:
            self.history(fact)

    def shown(self) -> dict[str, Any]:
        read: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.history.snapshot()))["shards"]
        return read


@pytest.fixture
def told() -> Told:
    return Told()


def test_scores_are_columns_by_time(told: Told) -> None:
    told.tell(observed(rolling={"Accuracy": 0.5, "LogLoss": float("nan")}), after_s=1)
    told.tell(observed(rolling={"Accuracy": 0.123456789, "LogLoss": 0.25}), after_s=1)
    past = told.shown()[PLACE]
    assert (past["t"], past["metrics"]) == ([1_001.0, 1_002.0], {"Accuracy": [0.5, 0.12346], "LogLoss": [None, 0.25]})


def test_before_the_first_label_there_is_no_score(told: Told) -> None:
    told.tell(observed(events_seen=0, duel=None))
    assert told.shown()[PLACE] == {"t": [], "metrics": {"Accuracy": []}, "marks": [], "duel": None}


def test_a_day_takes_as_much_room_as_an_hour_and_its_last_minutes_are_whole(told: Told) -> None:
    seen = observed(duel=None)
    for _ in range(90_000):
        told.tell(seen, after_s=1)
    times = told.shown()[PLACE]["t"]
    assert len(times) <= 3 * POINTS
    assert times == sorted(set(times))
    steps = [after - before for before, after in itertools.pairwise(times)]
    assert steps[-POINTS + 1 :] == [1.0] * (POINTS - 1)
    assert max(steps) <= 360
    assert times[-1] - times[0] > 85_000
    assert len([at for at in times if at > times[-1] - 3_600]) >= 440


def test_marks_are_what_a_chart_shows_and_no_more_of_a_kind_than_fits(told: Told) -> None:
    told.tell(processed(EXAMPLES[Rejected], EXAMPLES[ModelReset], dataclasses.replace(EXAMPLES[DuelEnded], result="kept")), after_s=1)
    for offset in range(MARKS + 5):
        told.tell(processed(dataclasses.replace(EXAMPLES[DriftDetected], offset=offset)), after_s=1)
    marks = told.shown()[PLACE]["marks"]
    assert [mark["kind"] for mark in marks[:2]] == ["model.reset", "duel.ended"], "many drifts do not drive out one reset"
    assert (marks[1]["result"], marks[1]["duel"]) == ("kept", EXAMPLES[DuelEnded].duel)
    assert [mark["offset"] for mark in marks[2:]] == list(range(5, MARKS + 5))
    assert marks[-1] == {
        "at_s": told.now_s,
        "kind": "drift.detected",
        "offset": MARKS + 4,
        "text": "ADWIN detected that error went up",
        "signal": "error",
    }


def test_many_drifts_of_a_feature_do_not_drive_out_one_of_the_error(told: Told) -> None:
    told.tell(processed(EXAMPLES[DriftDetected]))
    season = dataclasses.replace(EXAMPLES[DriftDetected], signal="feature:month")
    for _ in range(MARKS + 5):
        told.tell(processed(season), after_s=1)
    assert [mark["signal"] for mark in told.shown()[PLACE]["marks"]] == ["error", *["feature:month"] * MARKS]


def test_a_replay_leaves_no_mark_because_nobody_noted_when_it_was(told: Told) -> None:
    told.tell(processed(EXAMPLES[DriftDetected], replayed=True))
    assert told.shown()[PLACE]["marks"] == []


def test_the_evidence_of_the_last_duel_is_kept_in_bounded_room(told: Told) -> None:
    for _ in range(2_000):
        told.tell(observed(), after_s=1)
    race = told.shown()[PLACE]["duel"]
    assert (race["number"], race["e"]["fresh"][-1], race["e"]["champion"][-1]) == (1, 8.0, 1.0)
    assert POINTS / 2 <= len(race["t"]) <= POINTS
    assert race["t"][-1] - race["t"][0] > 1_900
    told.tell(observed(duel=DUEL._replace(number=2)), after_s=1)
    assert told.shown()[PLACE]["duel"]["t"] == [told.now_s]
    told.tell(observed(duel=None), after_s=1)
    assert told.shown()[PLACE]["duel"]["number"] == 2


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_a_shard_that_went_is_gone_with_its_past(told: Told, how: Any) -> None:
    told.tell(Assigned(shard=OTHER, offset=0, live_from=0), observed(), observed(OTHER), Released(shard=SHARD, how=how))
    assert list(told.shown()) == ["flights.events/4"]
    told.tell(observed(), processed(EXAMPLES[DriftDetected]))
    assert list(told.shown()) == ["flights.events/4"], "what is told too late does not bring it back"
    told.tell(Assigned(shard=SHARD, offset=0, live_from=0))
    assert told.shown()[PLACE]["t"] == []


def test_shards_that_are_opened_again_have_their_past_and_others_are_forgotten(told: Told) -> None:
    again = Retrying(error="Kafka is away", wait_s=1.0)
    told.tell(Assigned(shard=OTHER, offset=0, live_from=0), observed(), observed(OTHER), again)
    assert told.shown() == {}
    told.tell(Assigned(shard=SHARD, offset=0, live_from=0), again, Assigned(shard=SHARD, offset=0, live_from=0))
    assert len(told.shown()[PLACE]["t"]) == 1
    told.tell(Assigned(shard=OTHER, offset=0, live_from=0))
    assert told.shown()["flights.events/4"]["t"] == []
