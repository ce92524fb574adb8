"""The benchmark of rare classes: its streams are what they say, and its tables can be printed."""

from __future__ import annotations

import pytest

from benchmarks import rare
from benchmarks.rare import Alarm, Run, made

RUN = Run("swap", 0.05, "logistic", False, 0, 2_000)


def test_a_stream_is_the_same_every_time_and_another_with_another_seed() -> None:
    assert made(RUN) == made(RUN) != made(RUN._replace(seed=1))


@pytest.mark.parametrize("late", [False, True])
def test_every_question_has_its_label_and_late_ones_come_later(late: bool) -> None:
    log, truth = made(RUN._replace(late=late))
    asked = {event.id: event.offset for event in log if event.x is not None}
    labels = {event.id: (event.offset, event.y) for event in log if event.y is not None}
    assert [event.offset for event in log] == list(range(len(log)))
    assert asked.keys() == labels.keys()
    assert [labels[str(number)][1] for number in range(RUN.events)] == truth
    assert all((labels[id_][0] > offset) is late for id_, offset in asked.items())


@pytest.mark.parametrize(("kind", "before", "after"), [("swap", "a", "c"), ("flip", "a", "a"), ("none", "a", "a")])
def test_the_positives_differ_where_the_kind_says(kind: str, before: str, after: str) -> None:
    log, truth = made(RUN._replace(kind=kind, positives=0.3))

    def mean(name: str, numbers: range) -> float:
        values = [(log[number].x or {})[name] for number in numbers if truth[number]]
        return sum(map(float, values)) / len(values)

    assert mean(before, range(1_000)) == pytest.approx(rare.SHIFT, abs=0.3)
    assert mean(after, range(1_000, 2_000)) == pytest.approx(-rare.SHIFT if kind == "flip" else rare.SHIFT, abs=0.3)


def test_there_are_three_times_as_many_where_only_that_changes() -> None:
    truth = made(RUN._replace(kind="prevalence")).truth
    assert sum(truth[1_000:]) == pytest.approx(3 * sum(truth[:1_000]), rel=0.4)


def test_an_alarm_before_the_change_is_a_false_one() -> None:
    told = [Alarm("rank", 900, 40), Alarm("rank", 1_200, 60)]
    assert rare.first_after(RUN, told) == told[1]
    assert rare.first_after(RUN._replace(kind="gradual"), told) == told[0]
    assert rare.false([(RUN._replace(kind="none"), told)], "none") == "100.00"
    assert rare.false([(RUN._replace(kind="prevalence"), told)], "prevalence") == "100.00"


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert rare.main(["--seeds", "1", "--events", "300", "--positives", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("| at once") for line in lines) == 2 + len(rare.MODELS) * len(rare.POLICIES)
    assert len({line.count("|") for line in lines if line}) == 2, "each table has as many cells in every row"
