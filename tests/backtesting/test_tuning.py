"""Settings are ranked on the training part alone, and judged on the later part."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from river import drift, linear_model, metrics, preprocessing

import stream_retrain
from stream_retrain import On, Pipeline, Reset, Schema, Watch, backtest
from stream_retrain.backtesting.backtest_result import BacktestResult
from stream_retrain.backtesting.report.verdict import verdict
from stream_retrain.backtesting.run import Options, Ran
from stream_retrain.backtesting.tuning.candidates import Candidate
from stream_retrain.backtesting.tuning.grid import load_grid
from stream_retrain.backtesting.tuning.result import Score, Tuning
from stream_retrain.backtesting.tuning.search import order, round_records, successively_halved
from stream_retrain.backtesting.tuning.tuned import run_tuned
from stream_retrain.errors import SettingsError
from tests.backtesting.support import drifting, typed
from tests.backtesting.test_cli import PIPELINES
from tests.core import streams

EVERY = "react[0].trigger.events"
DELTA = "watch[0].detector.delta"


def rows(count: int = 1_000, flipped: range = range(0), *, flip_at: int = 300) -> list[dict[str, Any]]:
    """A concept that turns around, with other labels in a range."""
    made = streams.rows(count, flip_at=flip_at)
    return [{"id": f"e{number}", **x, "y": 1 - int(y) if number in flipped else int(y)} for number, (x, y) in enumerate(made)]


def shop(**changes: Any) -> Pipeline:
    """A pipeline that forgets far too often."""
    parts: dict[str, Any] = {
        "model": preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "watch": [Watch("error", drift.ADWIN())],
        "react": [On.every(events=10, do=Reset()), On.drift("error", Reset())],
    }
    schema = Schema(id="id", label="y", features={"a": float, "b": float, "c": float})
    return Pipeline(name="shop", task="binary", source="shop.events", schema=schema, **{**parts, **changes})


def tuned(given: list[dict[str, Any]], **told: Any) -> BacktestResult:
    return backtest(shop(), given, grid={"grid": {EVERY: [10, 40, 10_000]}} | told, progress=False)


def of(result: BacktestResult) -> Tuning:
    assert result.tuning is not None
    return result.tuning


def test_the_best_on_the_training_part_is_chosen_and_reported_on_the_later_part(here: None) -> None:
    result = tuned(rows())
    tuning = of(result)
    assert tuning.chosen == {EVERY: 10_000}
    assert tuning.training_records == 600
    assert [each.rank for each in tuning.trials] == [1, 2, 3, 4]
    losses = [each.score.loss for each in tuning.trials if each.score is not None and each.score.loss is not None]
    assert losses == sorted(losses)
    assert {each.score.records for each in tuning.trials if each.score is not None} == {600}
    assert "events=10000" in tuning.snippet
    assert [each.name for each in result.summary.variants] == ["shop", "shop_tuned"]
    assert [each.labelled for each in [*result.summary.variants, *result.summary.controls]] == [400] * 4
    assert min(each.position for each in result.intervals) == result.summary.from_position == 600
    assert all(mark.position >= 600 for mark in result.curves.marks)
    assert tuning.comparison is not None
    assert (tuning.comparison.better, tuning.comparison.is_shown) == ("shop_tuned", True)


@pytest.mark.slow
def test_later_figures_are_those_of_the_whole_run_without_the_first_part(here: None) -> None:
    """The lane is the one that a backtest of everything has: it is not begun anew."""
    whole = backtest(shop(), rows(), variants=[], progress=False)
    part = tuned(rows())
    expected = [each for each in whole.intervals if each.variant == "shop" and each.position >= 600]
    assert [each for each in part.intervals if each.variant == "shop"] == expected
    labels = sum(each.labelled for each in expected if each.partition is None)
    missed = sum((each.loss or 0) * each.labelled for each in expected if each.partition is None)
    as_it_is = part.summary.variants[0]
    assert as_it_is.loss == pytest.approx(missed / labels)
    assert as_it_is.quality == pytest.approx(1 - missed / labels)
    resets = [mark for mark in whole.curves.marks if mark.variant == "shop" and mark.kind == "reset" and mark.position >= 600]
    assert as_it_is.replacements == len(resets) >= 40
    [trial] = [each for each in of(part).trials if each.number == 0]
    assert trial.score is not None
    assert trial.score.replacements + as_it_is.replacements == whole.summary.variants[0].replacements


@pytest.mark.parametrize("strategy", ["grid", *(pytest.param(each, marks=pytest.mark.slow) for each in ("halving", "optuna"))])
def test_other_labels_in_the_later_part_change_nothing_of_the_choice(here: None, strategy: str) -> None:
    told = {"strategy": strategy, "trials_max": 10}
    first, other = (of(tuned(rows(flipped=flipped), **told)) for flipped in (range(0), range(600, 1_000)))
    assert (first.trials, first.chosen, first.snippet) == (other.trials, other.chosen, other.snippet)
    assert first.comparison != other.comparison, "the later part was changed"
    earlier = of(tuned(rows(flipped=range(500, 600)), **told))
    assert earlier.trials != first.trials, "labels of the training part make a difference"


@pytest.mark.slow
def test_settings_that_change_nothing_are_not_chosen(here: None) -> None:
    result = backtest(shop(), rows(), grid={"grid": {"react[1].cooldown_events": [0, 1]}}, progress=False)
    assert of(result).chosen == {}
    assert of(result).snippet == ""
    assert [each.name for each in result.summary.variants] == ["shop"]
    assert "Nothing was better" in repr(result)


def test_a_trial_that_is_no_pipeline_is_refused_alone(here: None) -> None:
    tuning = of(tuned(rows(300), grid={EVERY: [-5, 50]}))
    [refused] = [each for each in tuning.trials if each.refused]
    assert refused.rank is None
    assert refused.settings == {EVERY: -5}
    assert tuning.trials[0].settings == {EVERY: 50}


def test_where_every_trial_is_refused_it_is_not_run(here: None) -> None:
    with pytest.raises(SettingsError, match="none of the 2 combinations is a pipeline; the first: "):
        tuned(rows(300), grid={EVERY: [-5, -6]})


def test_a_source_without_room_for_two_parts_is_refused(here: None) -> None:
    with pytest.raises(SettingsError, match=r"no room for a training part of 0\.6"):
        tuned(rows(20))


@pytest.mark.parametrize("more", [{"variants": ["none"]}, {"pipeline": {"a": shop(), "b": shop()}}])
def test_a_grid_has_no_variants_beside_it(more: dict[str, Any]) -> None:
    given = {"pipeline": shop()} | more
    with pytest.raises(SettingsError, match="a grid makes variants of its own"):
        backtest(given.pop("pipeline"), rows(50), grid={"grid": {EVERY: [1]}}, **given)


def test_partitions_are_cut_at_the_same_position_and_trials_leave_no_decisions(here: None, tmp_path: Path) -> None:
    own = streams.pipeline(watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Reset())])
    grid = load_grid({"grid": {DELTA: [0.002, 0.5]}}, own)
    ran = run_tuned(own, "own", grid, drifting(900, 200, partitions=3), Options(decisions=tmp_path, controls=False))
    assert ran.tuning is not None
    assert {each.score.labelled for each in ran.tuning.trials if each.score is not None} == {ran.tuning.training_records}
    assert ran.summary.variants[0].labelled == 900 - ran.tuning.training_records
    assert {each.name.split(".")[0] for each in tmp_path.iterdir()} == {each.name for each in ran.summary.variants}


def test_halving_gives_up_the_worse_half_and_doubles_the_records() -> None:
    """Losses are those of a table, so what is asked for can be seen."""
    made = [Candidate(number=number, settings={}, pipeline=None, digest=str(number)) for number in range(8)]
    asked: list[tuple[list[int], int]] = []

    def scores(candidates: Any, records: int) -> list[Score | None]:
        asked.append(([each.number for each in candidates], records))
        return [
            Score(records=records, loss=abs(each.number - 5) / 10, labelled=1, drifts=0, replacements=each.number) for each in candidates
        ]

    found = successively_halved(made, round_records(8, 40, 25), scores)
    assert asked == [([0, 1, 2, 3, 4, 5, 6, 7], 250), ([3, 4, 5, 6], 500), ([4, 5], 1_000)]
    assert [each.candidate.number for each in found] == [5, 4, 6, 3, 7, 2, 1, 0]


@pytest.mark.parametrize(
    ("candidates", "intervals", "expected"),
    [(1, 40, [40]), (2, 40, [40]), (3, 40, [20, 40]), (8, 40, [10, 20, 40]), (500, 40, [5, 10, 20, 40]), (500, 4, [4]), (9, 1, [1])],
)
def test_rounds_of_halving_end_with_the_whole_training_part(candidates: int, intervals: int, expected: list[int]) -> None:
    assert round_records(candidates, intervals, 1) == expected


def test_order_is_by_loss_then_replacements_then_number() -> None:
    from stream_retrain.backtesting.tuning.search import Scored

    def scored(number: int, loss: float | None, replacements: int = 0, records: int = 100) -> Scored:
        made = Candidate(number=number, settings={}, pipeline=None, digest="")
        return Scored(made, Score(records=records, loss=loss, labelled=1, drifts=0, replacements=replacements))

    expected = [scored(4, 0.1), scored(1, 0.2, 1), scored(2, 0.2, 1), scored(0, 0.2, 3), scored(3, None), scored(5, 0.0, 0, 50)]
    none = Scored(Candidate(number=6, settings={}, pipeline=None, digest=""), None)
    given = [*expected, none]
    random.Random(1).shuffle(given)
    assert order(given) == [*expected, none]


def test_optuna_that_is_not_installed_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(SettingsError, match=r"pip install 'stream_retrain\[tune\]'"):
        tuned(rows(100), strategy="optuna")


@pytest.mark.slow
def test_optuna_suggests_within_ranges_and_the_same_for_the_same_seed(here: None) -> None:
    told = {"strategy": "optuna", "trials_max": 12, "grid": {EVERY: {"low": 5, "high": 500, "log": True}}}
    tuning = of(tuned(rows(400), **told))
    values = [each.settings[EVERY] for each in tuning.trials if each.number > 0]
    assert len(values) == 12
    assert all(isinstance(value, int) and 5 <= value <= 500 for value in values)
    assert of(tuned(rows(400), **told)).trials == tuning.trials
    assert of(tuned(rows(400), **told, seed=2)).trials != tuning.trials


@pytest.mark.slow
def test_the_number_of_processes_makes_no_difference() -> None:
    told: dict[str, Any] = {"grid": {"grid": {EVERY: [10, 40, 10_000]}}, "progress": False}
    one, two = (backtest(shop(), rows(), processes=count, **told) for count in (1, 2))
    assert of(one) == of(two)
    assert one.curves == two.curves


class Interrupting:
    """Sends Ctrl-C to this process when the first variants have come so far."""

    def __init__(self, after: int) -> None:
        self._after = after

    def reading(self, records: int, about: int | None) -> None: ...

    def running(self, lane_records: int, total: int) -> None:
        if min(lane_records, total) > self._after:
            self._after = sys.maxsize
            signal.raise_signal(signal.SIGINT)


def test_interrupted_while_candidates_run_it_has_no_choice_and_says_so(here: None) -> None:
    own = streams.pipeline(watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Reset())])
    grid = load_grid({"grid": {DELTA: [0.002, 0.5]}}, own)
    ran = run_tuned(own, "own", grid, drifting(900, 200), Options(), Interrupting(100))
    assert ran.summary.partial
    assert ran.tuning is not None
    assert (ran.tuning.chosen, ran.tuning.comparison) == (None, None)
    assert [each.score for each in ran.tuning.trials] == [None] * 3


def final_run(share: float) -> Ran:
    """A tuning that is interrupted when the two that are compared, and two controls, have come to this share of all records."""
    own, count = shop(react=[On.every(events=10, do=Reset())]), 900
    grid = load_grid({"grid": {EVERY: [10_000]}}, own)
    trials = 2 * round(grid.training_part * count)
    return run_tuned(own, "own", grid, drifting(count, 200), Options(), Interrupting(int(trials + share * 4 * count)))


def test_interrupted_in_the_later_part_it_compares_on_what_both_have_of_it_and_says_so(here: None) -> None:
    ran = final_run(0.9)
    assert ran.tuning is not None
    assert ran.tuning.chosen == {EVERY: 10_000}
    assert [each.name for each in ran.summary.variants] == ["own", "own_tuned"]
    assert ran.summary.partial
    [note] = [note for note in ran.summary.notes if note.startswith("It was interrupted.")]
    assert all(200 < each.labelled < 360 for each in [*ran.summary.variants, *ran.summary.controls])
    assert f"are of the {ran.summary.variants[0].labelled:,} events" in note
    assert ran.tuning.comparison is not None
    assert ran.tuning.comparison.better == "own_tuned"


def test_interrupted_before_the_later_part_there_is_a_choice_and_no_figure(here: None) -> None:
    ran = final_run(0.3)
    assert ran.tuning is not None
    assert (ran.tuning.chosen, ran.tuning.comparison) == ({EVERY: 10_000}, None)
    assert ran.summary.partial
    assert [(each.labelled, each.loss) for each in ran.summary.variants] == [(0, None)] * 2
    assert any(note.startswith("It was interrupted.") for note in ran.summary.notes)
    assert not any("o label" in note for note in ran.summary.notes), "labels came, and were of the training part"
    assert verdict(ran.summary).headline.endswith("it was interrupted before there were labels to judge by.")


def test_a_regression_is_tuned_by_its_absolute_error(here: None) -> None:
    draw = random.Random(3)
    given = [{"id": f"e{number}", "a": (a := draw.gauss(0, 1)), "y": 50 + (3 if number < 300 else -3) * a} for number in range(1_000)]
    own = Pipeline(
        name="prices",
        task="regression",
        source="prices.events",
        schema=Schema(id="id", label="y", features={"a": float}),
        model=preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1),
        metrics=[metrics.RMSE(), metrics.MAE()],
        react=[On.every(events=10, do=Reset())],
    )
    result = backtest(own, given, grid={"grid": {EVERY: [10, 10_000]}}, progress=False)
    tuning, summary = of(result), result.summary
    assert tuning.chosen == {EVERY: 10_000}
    [best, *_] = tuning.trials
    whole = backtest(dataclasses.replace(own, react=[On.every(events=10_000, do=Reset())]), given[:600], variants=[], progress=False)
    assert best.score is not None
    assert best.score.loss == pytest.approx(whole.summary.variants[0].metrics["MAE"])
    assert [each.name for each in summary.controls] == ["last value", "blind reset"]
    assert [each.metrics.keys() for each in summary.variants] == [{"MAE"}] * 2, "the RMSE of a part is not known"
    assert summary.variants[1].metrics["MAE"] == pytest.approx(summary.variants[1].loss)
    assert "On the records after them prices_tuned had an error that is lower by " in repr(result)


PAGE = (Path(stream_retrain.__file__).parent.parent / "docs" / "tuning.md").read_text()
COMMANDS = re.findall(r"^\$ stream-retrain (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page speaks of."""
    (tmp_path / "shop.py").write_text(PIPELINES)
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(600, flip_at=150)))
    [grid] = re.findall(r"```toml\n(.+?)```", PAGE, re.DOTALL)
    (tmp_path / "grid.toml").write_text(grid)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", [pytest.param(each, marks=[pytest.mark.slow] if "--report" in each else []) for each in COMMANDS])
def test_the_commands_of_the_page_run(here: None, folder: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = typed(capsys, *command.split())
    assert code == 0
    if "--json" in command:
        tuning = json.loads(out)["tuning"]
        assert len(tuning["trials"]) == 7
        assert tuning["training_records"] == 350
    else:
        assert "(as it is)" in out
        assert "on the first 350 records" in out
    assert (folder / "tuned.html").exists() == ("--report" in command)


def test_the_page_has_all_commands_and_its_python_runs(here: None, folder: Path) -> None:
    assert len(COMMANDS) == 3
    [code] = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {"stream_retrain": stream_retrain, "shop": shop()}
    names["shop"] = dataclasses.replace(shop(), react=[On.drift("error", Reset())])
    exec(code, names)
    assert isinstance(names["result"].tuning, Tuning)


def test_a_grid_and_a_variant_do_not_go_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ("backtest", "shop.py:shop", "--source", "log.jsonl", "--grid", "grid.toml", "--variant", "none")
    code, out, err = typed(capsys, *told)
    assert (code, out) == (2, "")
    assert "--grid makes variants of its own: leave --variant out" in " ".join(err.split())
