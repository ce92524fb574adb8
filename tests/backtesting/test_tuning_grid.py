"""A grid is read with every fault named; settings are found and changed by path; what is chosen can be pasted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from river import compose, drift, linear_model, preprocessing

import stream_retrain
from stream_retrain import Pipeline
from stream_retrain.backtesting.tuning.candidates import candidate
from stream_retrain.backtesting.tuning.grid import Grid, Range, load_grid
from stream_retrain.backtesting.tuning.paths import changed, path_of, setting_at
from stream_retrain.backtesting.tuning.written import snippet
from stream_retrain.errors import SettingsError
from tests.backtesting.support import trains

DELTA = "watch[0].detector.delta"


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return trains()


def faults_of(told: dict[str, Any], pipeline: Pipeline) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load_grid(told, pipeline)
    return str(raised.value).splitlines()[1:] or [str(raised.value)]


def with_settings(pipeline: Pipeline, **settings: Any) -> Pipeline:
    made = candidate(1, settings, pipeline).pipeline
    assert made is not None
    return made


def test_a_file_says_what_a_mapping_says(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text(f'strategy = "halving"\ntraining_part = 0.5\ntrials_max = 6\nseed = 3\n[grid]\n"{DELTA}" = [0.1, 0.2]\n')
    told = {"strategy": "halving", "training_part": 0.5, "trials_max": 6, "seed": 3, "grid": {DELTA: [0.1, 0.2]}}
    expected = Grid(settings={DELTA: (0.1, 0.2)}, strategy="halving", training_part=0.5, trials_max=6, seed=3)
    assert load_grid(file, pipeline) == load_grid(told, pipeline) == expected


def test_every_combination_is_made_once(pipeline: Pipeline) -> None:
    grid = load_grid({"grid": {DELTA: [0.1, 0.2], "react[0].cooldown_events": [1, 2]}}, pipeline)
    assert [tuple(each.values()) for each in grid.combinations()] == [(0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"watch[1].signal": ["loss"]}, "watch has no [1]; there is [0]"),
        ({"watch[0].detector.dleta": [0.1]}, "watch[0].detector has no dleta (did you mean 'delta'?); there is delta, clock, max_buckets"),
        ({"watch[0].every.more": [1]}, "watch[0].every is not set, which has no settings of its own"),
        ({"name": ["other"]}, "the pipeline has no name"),
        ({"seed": [1]}, "the option 'seed' stands above [grid]"),
        ({"watch[0": [1]}, "'[0' cannot be read"),
        ({"": [1]}, "it is empty"),
        ({DELTA: []}, "the list is empty"),
        ({DELTA: 0.1}, "0.1 is not a list of values to try; write [0.1]"),
        ({DELTA: ["much"]}, "'much' is of the wrong type; it is 0.002 now"),
        ({DELTA: [True]}, "True is of the wrong type"),
        ({DELTA: [float("nan")]}, "nan is not a number that can be tried"),
        ({DELTA: [0.1, 0.2, 0.1]}, "0.1 stands there twice"),
        ({"react[0].cooldown_events": [1.5]}, "1.5 is of the wrong type; it is 100 now, declared as int"),
        ({"watch[0].detector": [1]}, "1 is of the wrong type; it is ADWIN, of which single settings can be tried"),
        ({"react[0].do.evidence.bets": [0.1]}, "0.1 is of the wrong type"),
        ({DELTA: [0.1], "watch[0].detector": [drift.PageHinkley()]}, "change the same setting"),
        ({DELTA: {"low": 0.1, "high": 0.2}}, 'a range is for strategy = "optuna"'),
    ],
)
def test_faults_of_settings_are_named(pipeline: Pipeline, settings: dict[str, Any], said: str) -> None:
    [fault] = faults_of({"grid": settings}, pipeline)
    assert said in fault


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"strategy": "random"}, "strategy is 'random'; use one of grid, halving, optuna"),
        ({"training_part": 1.0}, "training_part is 1.0"),
        ({"training_part": True}, "training_part is True"),
        ({"trials_max": 0}, "trials_max is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"traning_part": 0.5}, "unknown option 'traning_part' (did you mean 'training_part'?)"),
        ({"grid": {}}, "it has no table [grid]"),
        ({"strategy": "optuna", "grid": {DELTA: {"low": 2, "high": 1}}}, "low is 2 and high is 1"),
        ({"strategy": "optuna", "grid": {DELTA: {"low": 0, "high": 1, "log": True}}}, "with log = true use numbers above 0"),
        ({"strategy": "optuna", "grid": {DELTA: {"low": 0, "high": 1, "step": 1}}}, "and no 'step'"),
        ({"strategy": "optuna", "grid": {"react[0].do.rematch": {"low": 0, "high": 1}}}, "a range of numbers is of the wrong type"),
    ],
)
def test_faults_of_options_are_named(pipeline: Pipeline, told: dict[str, Any], said: str) -> None:
    faults = faults_of({"grid": {DELTA: [0.1]}} | told, pipeline)
    assert any(said in fault for fault in faults)


def test_all_faults_are_told_at_once(pipeline: Pipeline) -> None:
    assert len(faults_of({"seed": -1, "trials_max": 0, "grid": {DELTA: [], "watch[7]": [1]}}, pipeline)) == 4


def test_more_combinations_than_allowed_are_counted_and_refused(pipeline: Pipeline) -> None:
    rows = {f"react[0].do.evidence.{name}": list(range(100, 200)) for name in ("events_max", "events_min", "rarest_min")}
    [fault] = faults_of({"trials_max": 500, "grid": rows}, pipeline)
    assert "1,000,000 combinations, more than trials_max = 500" in fault


@pytest.mark.parametrize(("content", "said"), [(b"[grid", "it is not TOML"), (b"\xff", "it is not TOML"), (None, "it cannot be read")])
def test_a_file_that_is_none_is_refused(pipeline: Pipeline, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "grid.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        load_grid(file, pipeline)


def test_ranges_are_for_optuna(pipeline: Pipeline) -> None:
    grid = load_grid({"strategy": "optuna", "grid": {DELTA: {"low": 0.001, "high": 0.1, "log": True}}}, pipeline)
    assert grid.settings == {DELTA: Range(low=0.001, high=0.1, log=True)}


def test_settings_are_changed_in_a_copy_and_nothing_else_is(pipeline: Pipeline) -> None:
    settings = {DELTA: 0.3, "react[0].do.evidence.alpha": 0.05, "react[0].cooldown_events": 7, "model.grace_period": 70}
    before = pipeline.digest()
    made = with_settings(pipeline, **settings)
    assert pipeline.digest() == before
    assert {path: setting_at(made, path_of(path))[0] for path in settings} == settings
    back = with_settings(made, **{path: setting_at(pipeline, path_of(path))[0] for path in settings})
    assert back.digest() == before


def test_steps_of_a_model_have_settings(pipeline: Pipeline) -> None:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    made = changed(model, {path_of("LogisticRegression.l2"): 0.25})
    assert isinstance(made, compose.Pipeline)
    assert (made["LogisticRegression"].l2, model["LogisticRegression"].l2) == (0.25, 0.0)


def test_settings_that_need_each_other_are_changed_together(pipeline: Pipeline) -> None:
    """Each of the two alone would be refused."""
    both = {"react[0].do.evidence.events_min": 400, "react[0].do.evidence.events_max": 500}
    assert candidate(1, {"react[0].do.evidence.events_min": 400}, pipeline).refused
    assert with_settings(pipeline, **both).react[0].do.evidence.events_max == 500  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"react[0].cooldown_events": -1}, "cooldown_events is -1; use 0 or more"),
        ({"watch[0].signal": "nothing"}, "no such signal"),
        ({"react[0].do": "anything"}, "is not a reaction"),
    ],
)
def test_what_is_no_pipeline_is_refused_with_its_fault(pipeline: Pipeline, settings: dict[str, Any], said: str) -> None:
    made = candidate(1, settings, pipeline)
    assert made.pipeline is None
    assert said in (made.refused or "")


@pytest.mark.parametrize(
    "settings",
    [
        {DELTA: 0.3},
        {"watch[0].detector": drift.binary.DDM(warm_start=50)},
        {"react[0].cooldown_events": 7, "react[0].do.evidence.alpha": 0.05, "react[0].do.evidence.bets": [0.1, 0.4]},
        {"model.grace_period": 70},
        {"model": preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1)},
    ],
)
def test_what_is_chosen_can_be_pasted(pipeline: Pipeline, settings: dict[str, Any]) -> None:
    import dataclasses

    import river
    import river.compose
    import river.drift.binary
    import river.optim
    import river.preprocessing
    import river.tree

    made = with_settings(pipeline, **settings)
    text = snippet(pipeline, made)
    names = {**vars(river), **{name: getattr(stream_retrain, name) for name in stream_retrain.__all__}}
    pasted = eval(f"dict({text})", names)
    assert dataclasses.replace(pipeline, **pasted).digest() == made.digest()
    assert snippet(pipeline, pipeline) == ""
