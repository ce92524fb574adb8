"""The benchmark of flatness: its stream is what it says, and growth shows in its figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from river import base

from benchmarks import flatness
from benchmarks.flatness import MODELS, Line, run
from benchmarks.flatness_stream import BATCH, KINDS, Stream
from stream_retrain.engines.driver import DriverLimits

OFTEN = DriverLimits(checkpoint_events=1_000)


def rows_of(stream: Stream, batches: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(batches):
        records, labels = stream.take()
        rows = [json.loads(value or b"") for value in records.values]
        assert [row["y"] for row in rows] == labels
        found += rows
    return found


def lines_of(model: str, events: int, every: int) -> tuple[list[Line], list[float]]:
    told: list[Line] = []
    return told, run(model, events, 2_000, every, told.append, OFTEN)


def test_a_stream_is_the_same_every_time_and_another_with_another_seed() -> None:
    assert rows_of(Stream("binary", 1_000), 4) == rows_of(Stream("binary", 1_000), 4) != rows_of(Stream("binary", 1_000, seed=2), 4)


def test_its_labels_are_balanced_and_mean_something_else_after_a_turn() -> None:
    rows = rows_of(Stream("binary", 5_000), 20)
    halves = [rows[:5_000], rows[5_000:]]
    for half in halves:
        assert sum(row["y"] for row in half) / len(half) == pytest.approx(0.5, abs=0.05)
    high = [[row["y"] for row in half if row["a"] > 0.8] for half in halves]
    shares = [sum(labels) / len(labels) for labels in high]
    assert abs(shares[0] - shares[1]) > 0.1


def test_without_turns_the_concept_stays() -> None:
    stream = Stream("binary", 0)
    rows_of(stream, 1)
    weights = stream._weights
    rows_of(stream, 20)
    assert stream._weights == weights


def test_its_categories_never_end() -> None:
    rows = rows_of(Stream("regression", 1_000), 20)
    assert len({row["kind"] for row in rows} - set(KINDS)) == pytest.approx(20, abs=15)
    assert all(isinstance(row["y"], float) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["additive", "additive_regressor"])
def test_each_line_is_of_its_own_events(model: str) -> None:
    lines, costs = lines_of(model, 6_000, 2_000)
    assert [line.events for line in lines] == [2_000, 4_000, 6_000]
    assert len(costs) == 3
    assert max(costs) < 3.0 * min(costs), "each from its own state, on the events that came next"
    assert lines[2].state_bytes < 1.1 * lines[1].state_bytes
    for line in lines:
        assert 0.0 < line.us_per_event < 5_000.0
        assert line.batch_ms_max * 1_000 >= line.us_per_event * BATCH * 0.9
        assert line.pause_ms_max >= line.pause_ms > 0.0
        assert 0.0 < line.error < 0.9


class Hoarder(base.Classifier):  # type: ignore[misc]
    """Keeps every event, and goes through all of them at each."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.high = 0

    def learn_one(self, x: Any, y: Any) -> None:
        self.seen.append((x, y))
        self.high = sum(seen["a"] > 0.5 for seen, _ in self.seen[::5])

    def predict_one(self, x: Any) -> bool:
        return len(self.seen) % 2 == len(x) % 2


@pytest.mark.slow
def test_a_model_that_grows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "hoarder", ("binary", Hoarder))
    lines, costs = lines_of("hoarder", 6_000, 2_000)
    assert costs[2] > 1.2 * costs[0]
    assert lines[2].state_bytes > 1.1 * lines[1].state_bytes > 1.1 * 1.3 * lines[0].state_bytes, "by when the last checkpoint was"


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_the_lines(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "lines.json"
    assert flatness.main(["--model", "additive", "--events", "2000", "--every", "900", "--json", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len({line.count("|") for line in printed[:-1]}) == 1
    assert printed[-1].startswith("us_in_turns: ")
    written = json.loads(file.read_text())
    assert (written["model"], [line["events"] for line in written["lines"]]) == ("additive", [500, 1_000, 1_500, 2_000])
    assert len(written["us_in_turns"]) == 4


class Ended(Exception):  # noqa: N818 - it is no error
    """Somebody ended the run."""


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    keep, told = tmp_path / "keep", list[Line]()

    def tell(line: Line) -> None:
        told.append(line)
        if line.events == 4_000 and not keep.exists():
            raise AssertionError("the line before was not kept")
        if line.events == 6_000 and len(told) == 3:
            raise Ended

    with pytest.raises(Ended):
        run("additive", 8_000, 3_000, 2_000, tell, OFTEN, keep)
    told.clear()
    costs = run("additive", 8_000, 3_000, 2_000, told.append, OFTEN, keep)
    whole: list[Line] = []
    run("additive", 8_000, 3_000, 2_000, whole.append, OFTEN)
    assert [(line.events, line.error) for line in told] == [(line.events, line.error) for line in whole]
    sizes = [line.state_bytes for line in whole]  # equal texts that are one object are written once, and a restored state has its own
    assert [line.state_bytes for line in told] == pytest.approx(sizes, abs=16)
    assert len(costs) == 4
