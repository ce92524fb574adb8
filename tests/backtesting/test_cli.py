"""`stream-retrain backtest` as a person or a script uses it: output, files, exit codes, and errors without a traceback."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.backtesting.support import Ended, typed
from tests.core import streams

PIPELINES = """
from river import drift, linear_model, preprocessing, tree
from stream_retrain import On, Pipeline, Reset, Schema, Watch

print("the module prints")
schema = Schema(id="id", label="y", features={"a": float, "b": float, "c": float})
shop = Pipeline(
    name="shop", task="binary", source="shop.events", schema=schema,
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Reset())],
)
trees = Pipeline(name="shop", task="binary", source="shop.events", schema=schema, model=tree.HoeffdingTreeClassifier())
"""
SLOW = """
import itertools, os, pathlib, time
from river import linear_model
from stream_retrain import Pipeline, Schema

class Slow(linear_model.LogisticRegression):
    learned = itertools.count(1)

    def learn_one(self, x, y, w=1.0):
        super().learn_one(x, y, w)
        number = next(Slow.learned)
        if number == 200:
            pathlib.Path(__file__).with_name(f"learned.{os.getpid()}").touch()
        if number > 200:
            time.sleep(0.05)

schema = Schema(id="id", label="y", features={"a": float, "b": float, "c": float})
shop = Pipeline(name="shop", task="binary", source="shop.events", schema=schema, model=Slow())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline and a log; jobs run in this process, which is quicker."""
    made = tmp_path_factory.mktemp("cli")
    (made / "backtested_shop.py").write_text(PIPELINES)
    rows = [{"id": f"e{number}", "k": number % 7, **x, "y": y} for number, (x, y) in enumerate(streams.rows(1_000, flip_at=500))]
    (made / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return made


class Here:
    """The program in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def __call__(self, *options: str, source: str = "log.jsonl") -> Ended:
        place = f"{self._folder / 'backtested_shop.py'}:shop"
        return typed(self._capsys, "backtest", place, "--source", str(self._folder / source), *options)


@pytest.fixture
def run(here: None, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("COLUMNS", "80")
    return Here(folder, capsys)


def test_json_is_one_object_with_the_promised_keys(run: Here) -> None:
    ended = run("--json", "--variant", "none", "--variant", "trees")
    assert ended.code == 0
    found = json.loads(ended.out)
    assert (found["events"], found["rejected"], found["partial"]) == (1_000, 0, False)
    assert [each["name"] for each in found["variants"]] == ["shop", "none", "trees"]
    assert [each["name"] for each in found["controls"]] == ["previous label", "blind reset"]
    for each in [*found["variants"], *found["controls"]]:
        assert {"name", "quality", "kappa_temporal", "drifts", "replacements", "events_per_s", "loss", "metrics"} <= each.keys()
    assert {"better", "worse", "difference", "low", "high", "intervals"} == found["ranking"][0].keys()


def test_a_person_gets_a_table_with_the_best_first_and_the_verdict_in_words(run: Here) -> None:
    ended = run("--variant", "none")
    assert ended.code == 0
    lines = ended.out.splitlines()
    header = next(number for number, line in enumerate(lines) if "lead, 95 %" in line)
    names = [line[:14].strip() for line in lines[header + 1 : header + 5]]
    assert sorted(names) == ["blind reset", "none", "previous label", "shop"]
    assert names[0] in ended.out.split("\n", 2)[1], "the headline names it"
    assert "1,000 events, from log.jsonl" in ended.out
    assert "…" not in ended.out, "nothing is cut at eighty columns"


def test_files_are_written_where_they_were_asked_for(run: Here, tmp_path: Path) -> None:
    report, intervals, decisions = tmp_path / "r.html", tmp_path / "i.jsonl", tmp_path / "new" / "decisions"
    ended = run(
        *("--report", str(report), "--intervals", str(intervals), "--decisions", str(decisions), "--partition-by", "k"),
        *("--partitions", "2", "--variant", "adaptive"),
    )
    assert ended.code == 0
    assert report.read_text().startswith("<!")
    rows = [json.loads(line) for line in intervals.read_text().splitlines()]
    assert {row["partition"] for row in rows} == {None, 0, 1}
    assert len(list(decisions.iterdir())) == 4 * 2
    kinds = {json.loads(line)["type"] for file in decisions.glob("shop.*.jsonl") for line in file.read_text().splitlines()}
    assert "io.streamretrain.model.reset.v1" in kinds
    assert all(f"{what}: {path}" in ended.out for what, path in (("report", report), ("intervals", intervals), ("decisions", decisions)))


def test_labels_can_be_let_come_late(run: Here) -> None:
    at_once, late = (json.loads(run("--json", "--variant", "none", *delay).out) for delay in ((), ("--label-delay", "events=50")))
    assert late["events"] > at_once["events"], "a question and its answer are two records"
    assert late["variants"][1]["quality"] != at_once["variants"][1]["quality"]


def test_records_that_are_none_are_counted(run: Here, folder: Path) -> None:
    lines = (folder / "log.jsonl").read_text().splitlines()
    (folder / "spoiled.jsonl").write_text("\n".join(["{" if number % 100 == 5 else line for number, line in enumerate(lines)]))
    found = json.loads(run("--json", "--variant", "none", source="spoiled.jsonl").out)
    assert (found["events"], found["rejected"]) == (990, 10)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--variant", "nine"), 2, "'nine' is unknown (did you mean 'none'?); known are shop, trees, none, reset, challenge, adaptive"),
        (("--variant", "none", "--variant", "none"), 2, "more than once"),
        (("--report", "/nowhere/at/all/r.html"), 2, "does not exist"),
        (("--intervals", "i.csv"), 2, "are written to a file .parquet"),
        (("--partitions", "3"), 2, "partition_by"),
        (("--spool", "/nowhere/at/all"), 2, "there is no such folder"),
        (("--decisions", "/proc/decisions"), 2, "nothing can be written there"),
        (("--label-delay", "soon"), 2, "soon"),
        (("--processes", "0"), 2, "--processes"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(run: Here, options: tuple[str, ...], code: int, words: str) -> None:
    ended = run(*options, source="log.jsonl")
    assert ended.code == code
    assert words in " ".join(ended.err.split()).replace("│ ", "")
    assert "Traceback" not in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(("source", "words"), [("none.jsonl", "none.jsonl"), ("backtested_shop.py", "cannot tell what it is")])
def test_a_source_that_is_none_is_named(run: Here, source: str, words: str) -> None:
    ended = run(source=source)
    assert ended.code == 2
    assert words in ended.err


@pytest.fixture
def no_room() -> Iterator[Callable[[int], None]]:
    """Files of this process can have so many bytes: what a full disk does, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("option", "name"), [("--report", "r.html"), ("--intervals", "i.jsonl")])
def test_a_file_that_finds_no_room_costs_nothing_but_itself(
    run: Here, no_room: Callable[[int], None], tmp_path: Path, option: str, name: str
) -> None:
    """What the run came to is shown all the same."""
    no_room(150_000)  # the records of each partition have room
    cut = ("--partition-by", "k", "--partitions", "7")
    ended = run("--variant", "adaptive", "--variant", "none", "--variant", "reset", "--json", option, str(tmp_path / name), *cut)
    assert ended.code == 1
    assert json.loads(ended.out)["events"] == 1_000
    assert f"{name}: it cannot be written: File too large" in ended.err


def test_records_that_find_no_room_are_told_with_the_folder_and_the_remedy(
    run: Here, no_room: Callable[[int], None], tmp_path: Path
) -> None:
    no_room(20_000)
    ended = run("--spool", str(tmp_path))
    assert (ended.code, ended.out) == (1, "")
    assert f"{tmp_path}: the records cannot be kept there: File too large; name a folder with room with --spool" in ended.err
    assert list(tmp_path.iterdir()) == []


def environment(folder: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("STREAM_RETRAIN_", "PYTHONHASHSEED"))}
    return {**clean, "COLUMNS": "100"}


def command(folder: Path, *options: str) -> list[str]:
    place = f"{folder / 'backtested_shop.py'}:shop"
    return [sys.executable, "-m", "stream_retrain", "backtest", place, "--source", str(folder / "log.jsonl"), *options]


@pytest.mark.slow
def test_as_a_program_it_uses_processes_and_prints_nothing_but_the_result(folder: Path) -> None:
    ran = subprocess.run(command(folder, "--json"), env=environment(folder), capture_output=True, text=True, timeout=200)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert [each["name"] for each in found["variants"]] == ["shop", "none", "adaptive"]
    assert not any("this process alone" in note for note in found["notes"])
    assert found["command"] == " ".join(["stream-retrain", *command(folder, "--json")[3:]])
    assert "the module prints" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_it_leaves_a_partial_report_that_says_so(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Both jobs are under way when the signal comes, and would be for half a minute yet: their model says so itself, and is slow."""
    (tmp_path / "slow_shop.py").write_text(SLOW)
    report, decisions = tmp_path / "r.html", tmp_path / "decisions"
    files = ("--json", "--report", str(report), "--decisions", str(decisions))
    asked = command(folder, "--partition-by", "k", "--partitions", "2", "--processes", "2", *files)
    asked[asked.index("backtest") + 1] = f"{tmp_path / 'slow_shop.py'}:shop"
    with subprocess.Popen(asked, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        until_s = time.monotonic() + 100
        while len(list(tmp_path.glob("learned.*"))) < 2 and program.poll() is None and time.monotonic() < until_s:
            time.sleep(0.05)
        program.send_signal(number)
        out, err = program.communicate(timeout=100)
    assert program.returncode == 130, err
    found = json.loads(out)
    assert found["partial"]
    assert 0 < found["variants"][0]["labelled"] < 1_000
    assert "interrupted" in report.read_text().lower()
    assert "Traceback" not in err


@pytest.mark.slow
def test_on_a_terminal_it_shows_how_far_it_is(folder: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(folder, "--json"), env=environment(folder), stdout=subprocess.PIPE, stderr=theirs) as program:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 10_000)
            except OSError:  # the other end is closed
                break
        out, _ = program.communicate(timeout=100)
    os.close(ours)
    assert json.loads(out)["events"] == 1_000
    assert b"reading records" in shown
    assert b"running variants" in shown
