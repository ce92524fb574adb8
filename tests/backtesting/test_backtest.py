"""`stream_retrain.backtest` as an analyst uses it: in a script, in a notebook, with frames and files."""

from __future__ import annotations

import ast
import gc
import json
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from river import base

import stream_retrain
from stream_retrain import backtest
from stream_retrain.backtesting import workplace
from stream_retrain.backtesting.backtest_result import BacktestResult
from stream_retrain.backtesting.files import check_intervals_path, interval_rows, write_intervals
from stream_retrain.errors import PipelineError, SettingsError
from tests.backtesting.support import retrains
from tests.core import streams

ROWS = [{"id": f"e{number}", **x, "y": y} for number, (x, y) in enumerate(streams.rows(1_200, flip_at=600))]
OWN = retrains()


@pytest.fixture(scope="module")
def result() -> Any:
    """Run in this process, which is quicker: what is shown does not depend on it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(workplace, "unsendable", lambda _: "a test wants it so")
        yield backtest(OWN, ROWS, variants=["none"], joins_after_events=100, incidents={"turned around": 600}, progress=False)


@pytest.mark.slow
def test_it_is_public_and_costs_a_worker_nothing() -> None:
    loaded = "import sys, stream_retrain; print([name for name in sys.modules if 'backtesting' in name or name in ('rich', 'pyarrow')])"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert ast.literal_eval(ran.stdout) == []
    assert stream_retrain.backtest is backtest
    assert stream_retrain.BacktestResult is BacktestResult
    with pytest.raises(AttributeError, match="no attribute 'backtst'"):
        _ = stream_retrain.backtst  # type: ignore[attr-defined]


def test_summary_intervals_and_decisions_are_of_the_run(result: BacktestResult) -> None:
    summary = result.summary
    assert [each.name for each in summary.variants] == ["test", "none"]
    assert (summary.events, summary.source) == (1_200, "rows of the program")
    assert summary.incidents[0].position == 600
    assert summary.command == "stream_retrain.backtest(test, 'rows of the program', variants=['none'], joins_after_events=100)"
    assert len(result.intervals) == 4 * 2 * 48
    own = [event for event in result.decisions if event["variant"] == "test"]
    assert {event["partition"] for event in own} == {0}
    kinds = {event["type"] for event in own}
    assert {"io.streamretrain.drift.detected.v1", "io.streamretrain.training.joined.v1"} <= kinds
    assert {event["variant"] for event in result.decisions} == {"test", "blind reset"}


def test_frames_have_a_row_for_each_value(result: BacktestResult) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    for frame in (result.to_pandas(), result.to_polars()):
        assert len(frame) == len(result.intervals)
        assert list(frame.columns)[:4] == ["variant", "partition", "number", "position"]
        assert "Accuracy" in frame.columns
    variants = result.to_polars("variants")
    assert variants["name"].to_list() == ["test", "none", "previous label", "blind reset"]
    assert variants["Accuracy"].to_list() == variants["quality"].to_list()
    assert result.to_pandas("ranking")["is_shown"].dtype == bool
    for what, values in (("marks", result.curves.marks), ("readings", result.curves.readings), ("generations", result.curves.generations)):
        assert len(result.to_pandas(what)) == len(result.to_polars(what)) == len(values) > 0
    with pytest.raises(SettingsError, match="there is no table 'interval'; use one of intervals, variants"):
        result.to_pandas("interval")


def test_without_polars_it_says_what_to_install(result: BacktestResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(SettingsError, match="polars is not installed: pip install polars"):
        result.to_polars()


def test_it_reads_well_as_text_and_in_a_notebook(result: BacktestResult) -> None:
    text = repr(result)
    lines = text.splitlines()
    header = next(index for index, line in enumerate(lines) if "lead, 95 %" in line)
    assert [line.split("  ")[0] for line in lines[header + 1 : header + 5]] == sorted(
        ["test", "none", "previous label", "blind reset"], key=lambda name: _loss(result, name)
    )
    assert max(map(len, lines[header : header + 5])) <= 100
    assert "1,200 events" in text
    page = result._repr_html_()
    assert page.count("<tr") == 5
    assert "<td" in page
    assert "previous label" in page


def _loss(result: BacktestResult, name: str) -> float:
    [loss] = [each.loss for each in [*result.summary.variants, *result.summary.controls] if each.name == name]
    assert loss is not None
    return loss


def test_names_are_escaped_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "unsendable", lambda _: "a test wants it so")
    page = backtest({"a<script>": OWN}, ROWS[:100], progress=False)._repr_html_()
    assert "<script>" not in page
    assert "a&lt;script&gt;" in page


@pytest.mark.slow
def test_the_report_is_a_file(result: BacktestResult, tmp_path: Path) -> None:
    written = result.report(tmp_path / "report.html")
    text = written.read_text()
    assert text.startswith("<!")
    assert "turned around" in text
    with pytest.raises(SettingsError, match="does not exist"):
        result.report(tmp_path / "no" / "report.html")


def test_its_decisions_go_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "unsendable", lambda _: "a test wants it so")
    short_lived = backtest(OWN, ROWS[:200], progress=False)
    folder = short_lived._folder
    assert folder.is_dir()
    del short_lived
    gc.collect()
    assert not folder.exists()


def test_several_pipelines_run_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "unsendable", lambda _: "a test wants it so")
    pipelines = {"eager": OWN, "calm": streams.pipeline(react=())}
    assert [each.name for each in backtest(pipelines, ROWS[:100], progress=False).summary.variants] == ["eager", "calm"]
    more = backtest(pipelines, ROWS[:100], variants=["calm", "adaptive"], progress=False).summary.variants
    assert [each.name for each in more] == ["eager", "calm", "adaptive"]


@pytest.mark.parametrize(
    ("pipeline", "options", "words"),
    [
        ({}, {}, "there is no pipeline"),
        (OWN, {"variants": ["nothing"]}, "'nothing' is unknown"),
        (OWN, {"partitions": 3}, "need partition_by"),
        (OWN, {"label_delay": "a while"}, "a while"),
        (OWN, {"processes": 0}, "processes is 0"),
    ],
)
def test_what_is_wrong_is_said(pipeline: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        backtest(pipeline, ROWS[:100], progress=False, **options)


class Getter(base.Classifier):
    """Keeps, when it has learned, what a checkpoint may not name."""

    def __init__(self) -> None:
        self.kept: Any = None

    def learn_one(self, *_: Any) -> None:
        self.kept = operator.itemgetter("a")

    def predict_one(self, *_: Any) -> bool:
        return self.kept is not None


@pytest.mark.slow
def test_a_pipeline_whose_challengers_could_not_be_written_is_refused_and_one_that_writes_none_is_not() -> None:
    with pytest.raises(PipelineError, match="a checkpoint with it could not be opened"):
        backtest(retrains(model=Getter()), ROWS[:60], variants=[], progress=False)
    summary = backtest(streams.pipeline(model=Getter(), watch=(), react=()), ROWS[:60], variants=[], progress=False).summary
    assert summary.variants[0].labelled == 60


class TestFiles:
    def test_intervals_are_the_same_in_both_formats(self, result: BacktestResult, tmp_path: Path) -> None:
        from pyarrow import parquet

        lines, table = tmp_path / "i.jsonl", tmp_path / "i.parquet"
        write_intervals(result.curves, lines)
        write_intervals(result.curves, table)
        rows = interval_rows(result.curves)
        assert [json.loads(line) for line in lines.read_text().splitlines()] == rows
        assert parquet.read_table(table).to_pylist() == rows
        assert rows[0]["partition"] is None

    @pytest.mark.parametrize(
        ("name", "words"), [("i.csv", "written to a file"), ("no/i.jsonl", "cannot be written"), ("", "written to a file")]
    )
    def test_a_path_that_will_not_do_is_refused_before_the_run(self, name: str, words: str, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=words):
            check_intervals_path(tmp_path / name)

    def test_parquet_without_pyarrow_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(SettingsError, match=r"stream_retrain\[backtest\]"):
            check_intervals_path(tmp_path / "i.parquet")


_SCRIPT = """
from river import linear_model, preprocessing
from stream_retrain import Pipeline, Schema, backtest
from tests.core import streams

rows = [{"id": f"e{number}", **x, "y": y} for number, (x, y) in enumerate(streams.rows(300))]
pipeline = Pipeline(
    name="script", task="binary", source="s", schema=Schema(id="id", label="y", features=dict.fromkeys(streams.FEATURES, float)),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
)
print("once")
result = backtest(pipeline, rows, processes=2)
print(result.summary.variants[0].labelled, [note for note in result.summary.notes if "this process" in note])
"""


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once_and_in_other_processes(tmp_path: Path) -> None:
    script = tmp_path / "analysis.py"
    script.write_text(_SCRIPT)
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split("\n")[:2] == ["once", "300 []"]
