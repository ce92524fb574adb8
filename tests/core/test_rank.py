"""The signal `rank`: what raises an alarm, what must not, and that it goes on as it was."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from river import drift

from stream_retrain import On, Pipeline, PipelineError, Reset, Watch, detector_for
from stream_retrain.core.state import Saved
from stream_retrain.core.watch.rank import YOUNG_EVENTS, RankDetector, RankGuard
from stream_retrain.core.watch.watch import reading
from stream_retrain.core.watch.watches import Watches
from tests.core import streams

Shown = tuple[Any, dict[Any, float]]


def shown(count: int, seed: int, *, positives: float = 0.02, skill: float = 2.0, start: int = 0) -> Iterator[Shown]:
    """Labels with the probabilities of a model that tells positives apart by so many standard deviations."""
    rng = random.Random(seed)
    for _ in range(start, count):
        y = rng.random() < positives
        p = 1 / (1 + math.exp(3 - rng.gauss(skill if y else 0, 1)))
        yield y, {False: 1 - p, True: p}


def guard(every: float = 100_000, saved: Saved | None = None, share_max: float = 0.2) -> RankGuard:
    return RankGuard(RankDetector(every, share_max), saved)


def alarms(running: RankGuard, values: Iterator[Shown]) -> list[int]:
    return [number for number, value in enumerate(values) if running.update(value)]


def test_it_sees_that_a_rare_class_is_no_longer_ranked() -> None:
    running = guard()
    assert alarms(running, shown(10_000, 1)) == []
    [first, *_] = alarms(running, shown(10_000, 2, skill=0.0))
    assert first < 1_500, "some twenty positives"
    assert running.value is not None


def test_a_change_that_is_not_dealt_with_raises_it_again() -> None:
    running = guard()
    alarms(running, shown(10_000, 1))
    assert len(alarms(running, shown(5_000, 2, skill=0.0))) >= 2


@pytest.mark.parametrize("positives", [0.01, 0.1, 0.4])
def test_false_alarms_are_rare_at_any_share(positives: float) -> None:
    """On 200,000 events; a Poisson count of mean 2 that exceeds this once in a thousand."""
    assert len(alarms(guard(share_max=1.0), shown(200_000, 7, positives=positives, skill=1.0))) <= 8


def test_of_a_class_that_is_not_rare_the_error_tells() -> None:
    """Its ranks are its past all the same: once it is rare, it is compared with them."""
    for share_max, positives, told in ((0.2, 0.1, True), (0.2, 0.4, False), (1.0, 0.4, True)):
        running = guard(share_max=share_max)
        alarms(running, shown(10_000, 1, positives=positives))
        assert bool(alarms(running, shown(3_000, 2, positives=positives, skill=0.0))) is told
    running = guard()
    alarms(running, shown(10_000, 1, positives=0.3))
    assert alarms(running, shown(6_000, 2, positives=0.05)) == [], "the same ranks, of fewer"
    assert alarms(running, shown(3_000, 3, positives=0.05, skill=0.0))


def test_what_is_not_a_change_of_ranks_is_not_seen() -> None:
    running = guard()
    alarms(running, shown(10_000, 1))
    assert alarms(running, shown(10_000, 3, positives=0.06)) == [], "more positives"
    assert alarms(running, shown(10_000, 3, skill=4.0)) == [], "better ranks"


def test_a_young_model_raises_none() -> None:
    running = guard(every=1, share_max=1.0)
    found = alarms(running, shown(YOUNG_EVENTS * 3, 4, positives=0.3, skill=0.2))
    assert found
    assert all(number >= YOUNG_EVENTS - 1 for number in found)


def test_of_several_classes_each_but_the_most_frequent_is_ranked() -> None:
    def three(count: int, lost: str | None, seed: int) -> Iterator[Shown]:
        rng = random.Random(seed)
        for _ in range(count):
            y = rng.choices(["often", "some", "rare"], [0.85, 0.1, 0.05])[0]
            raised = {name: rng.random() + (1.5 if name == y and name != lost else 0.0) for name in ("often", "some", "rare")}
            yield y, {name: value / sum(raised.values()) for name, value in raised.items()}

    running = guard()
    assert alarms(running, three(8_000, None, 1)) == []
    assert {label for label, *_ in running.snapshot()["classes"]} == {"some", "rare"}
    assert alarms(running, three(4_000, "rare", 2))


def test_the_most_frequent_class_is_told_by_the_labels() -> None:
    running = guard()
    running.update((True, {True: 0.5}))
    alarms(running, shown(500, 1))
    assert running.snapshot()["frequent"] is False
    assert [label for label, *_ in running.snapshot()["classes"]] == [True]


def test_restored_and_gone_on_is_never_stopped() -> None:
    values = [*shown(5_000, 1), *shown(3_000, 2, skill=0.0)]
    whole, cut = guard(), guard()
    expected = alarms(whole, iter(values))
    told: list[int] = []
    for start in range(0, 8_000, 500):
        cut = guard(saved=pickle.loads(pickle.dumps(cut.snapshot())))
        told += [start + number for number in alarms(cut, iter(values[start : start + 500]))]
    assert told == expected != []
    assert cut.snapshot() == whole.snapshot()


def test_a_probability_that_is_no_number_does_no_harm() -> None:
    running = guard()
    alarms(running, shown(3_000, 1))
    for _ in range(100):
        running.update((False, {True: math.nan}))
        running.update((True, {}))
    assert math.isfinite(reading(running.detector).statistic or 0.0)


def test_it_is_declared_without_a_detector_or_with_its_own() -> None:
    assert isinstance(Watch("rank").detector, RankDetector)
    assert Watch("rank").wanted == "down"
    declared = streams.pipeline(watch=[Watch("rank", RankDetector(20_000))], react=[On.drift("rank", Reset())])
    assert declared.needs_proba
    assert isinstance(detector_for("rank", false_alarm_every_events=5_000), RankDetector)
    with pytest.raises(ValueError, match="ADWIN was not measured on rank"):
        detector_for("rank", kind="ADWIN")


@pytest.mark.parametrize(
    ("watch", "fault"),
    [
        (Watch("rank", drift.ADWIN()), "its detector is a RankDetector"),
        (Watch("rank", RankDetector(0)), "use events above 0"),
        (Watch("rank", RankDetector(share_max=0)), "share_max is 0; use a share above 0"),
        (Watch("rank", direction="both"), "leave the direction out"),
        (Watch("rank", every=2), "leave `every` out"),
        (Watch("rank", warning=drift.ADWIN()), "leave `warning` out"),
        (Watch("error", RankDetector()), "watches the signal 'rank' and no other"),
        (Watch("error"), "None is not a River drift detector"),
    ],
)
def test_faults_name_the_remedy(watch: Watch, fault: str) -> None:
    with pytest.raises(PipelineError, match=fault):
        streams.pipeline(watch=[watch], react=[])


def test_numbers_are_not_ranked() -> None:
    assert "numbers have no classes" in next(Watch("rank").faults("regression", streams.pipeline().schema))


def ranked() -> Pipeline:
    return streams.pipeline(watch=[Watch("rank"), Watch("error", drift.ADWIN())], react=[])


def see(watches: Watches, generation: int, values: Iterator[Shown]) -> list[Any]:
    told: list[Any] = []
    for number, (y, proba) in enumerate(values):
        told += watches.see(number, 0.0, y, (proba[True] > 0.5, proba), generation)
    return told


def test_a_duel_that_the_champion_wins_does_not_cost_what_is_known_of_it() -> None:
    watches = Watches(ranked())
    see(watches, 0, shown(4_000, 1))
    before = watches.snapshot()["watches"][0]
    watches.begin_afresh()
    see(watches, 0, shown(1, 2))
    assert watches.snapshot()["watches"][0]["guard"]["labels"] == before["guard"]["labels"] + 1
    assert watches.snapshot()["watches"][1]["guard"]["count"] == 1
    see(watches, 1, shown(1, 2))
    assert watches.snapshot()["watches"][0]["guard"]["labels"] == 1, "another generation is another model"


def test_an_alarm_tells_the_rank() -> None:
    watches = Watches(ranked())
    see(watches, 0, shown(6_000, 1))
    told = [fact for fact in see(watches, 0, shown(6_000, 2, skill=-1.0)) if fact.signal == "rank"]
    assert told[0].direction == "down"
    assert 0.0 <= told[0].value < 1.0
    assert told[0].sentence == "RankDetector detected that rank went down"
