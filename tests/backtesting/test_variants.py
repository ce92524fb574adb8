"""Which variants a backtest has: names, what the built-in ones are, what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from river import dummy, linear_model, metrics, preprocessing, stats

from stream_retrain import On, Pipeline, PipelineError, Reset, Schema
from stream_retrain.backtesting.variants import (
    BLIND_RESET,
    BLIND_RESET_EVERY_EVENTS,
    BUILT_IN,
    LAST_VALUE,
    PREVIOUS_LABEL,
    built_in,
    choose,
    controls_of,
    described,
)
from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.react.reactions import Challenge
from stream_retrain.core.react.triggers import Every
from stream_retrain.errors import SettingsError
from stream_retrain.models import FixedShareClassifier, FixedShareRegressor, adaptive_classifier
from tests.core import streams

OWN = streams.pipeline()


def regression(**changes: Any) -> Pipeline:
    return streams.pipeline(**{"task": "regression", "model": linear_model.LinearRegression(), "watch": (), "react": (), **changes})


def names(chosen: Any) -> list[str]:
    return [variant.name for variant in chosen.variants]


class TestBuiltIn:
    def test_none_is_the_model_alone(self) -> None:
        made = built_in("none", OWN)
        assert (made.watch, made.react, made.model) == ((), (), OWN.model)

    def test_reset_and_challenge_watch_as_recommended(self) -> None:
        reset, challenge = built_in("reset", OWN), built_in("challenge", OWN)
        assert [watch.signal for watch in reset.watch] == [watch.signal for watch in challenge.watch] == ["error", "rank"]
        assert [type(rule.do) for rule in reset.react] == [Reset, Reset]
        assert [type(rule.do) for rule in challenge.react] == [Challenge, Challenge]

    def test_adaptive_is_the_recommended_model_of_the_task(self) -> None:
        assert isinstance(built_in("adaptive", OWN).model, FixedShareClassifier)
        assert isinstance(built_in("adaptive", regression()).model, FixedShareRegressor)

    @pytest.mark.parametrize("name", BUILT_IN)
    @pytest.mark.parametrize("own", [OWN, regression()], ids=["binary", "regression"])
    def test_each_keeps_source_schema_and_metrics_and_could_run_live(self, name: str, own: Pipeline) -> None:
        made = checkpointable(built_in(name, own))
        assert (made.name, made.source, made.schema, made.metrics) == (own.name, own.source, own.schema, own.metrics)

    def test_nulls_that_were_kept_for_the_pipeline_s_imputer_are_not_for_the_adaptive_model(self) -> None:
        schema = Schema(id="id", label="y", features={"a": float | None})
        own = streams.pipeline(schema=schema, model=preprocessing.StatImputer(("a", stats.Mean())) | linear_model.LogisticRegression())
        assert own.schema.keep_null
        assert not built_in("adaptive", own).schema.keep_null


class TestChoose:
    def test_by_default_it_is_the_pipeline_without_reaction_and_the_adaptive_model(self) -> None:
        assert names(choose({"shop": OWN}, "shop")) == ["shop", "none", "adaptive"]

    def test_what_would_be_the_same_is_left_out_by_default(self) -> None:
        assert names(choose({"shop": built_in("none", OWN)}, "shop")) == ["shop", "adaptive"]
        assert names(choose({"shop": built_in("adaptive", OWN)}, "shop")) == ["shop"]

    def test_the_pipeline_itself_is_first_unless_it_is_named(self) -> None:
        declared = {"shop": OWN, "other": built_in("reset", OWN)}
        assert names(choose(declared, "shop", ["other", "none"])) == ["shop", "other", "none"]
        turned = choose(declared, "shop", ["other", "shop"])
        assert names(turned) == ["other", "shop"]
        assert turned.own is OWN, "controls are of the pipeline itself, wherever it stands"

    def test_declared_ones_are_as_they_are(self) -> None:
        other = dataclasses.replace(OWN, react=())
        assert choose({"shop": OWN, "other": other}, "shop", ["other"]).variants[1].pipeline is other

    @pytest.mark.parametrize(
        ("wanted", "words"),
        [
            (["adaptve"], "did you mean 'adaptive'?"),
            (["what"], "known are shop, other, none, reset, challenge, adaptive"),
            (["none", "none"], "more than once"),
            (["shop", "shop"], "more than once"),
            (["reset"], "built in as well"),
            ([PREVIOUS_LABEL], "name of a control"),
            (["a/b"], "no slash"),
            ([""], "begins with a letter"),
        ],
    )
    def test_bad_names_are_refused(self, wanted: list[str], words: str) -> None:
        declared = {"shop": OWN, "other": OWN} | ({"reset": OWN} if wanted == ["reset"] else {})
        with pytest.raises(SettingsError, match="variant") as refused:
            choose(declared, "shop", wanted)
        assert words in str(refused.value)

    def test_what_learns_another_label_cannot_be_compared(self) -> None:
        other = streams.pipeline(schema=Schema(id="id", label="z", features={"a": float}))
        with pytest.raises(SettingsError, match="labels are 'y' and 'z'"):
            choose({"shop": OWN, "other": other}, "shop", ["other"])
        with pytest.raises(SettingsError, match="tasks are 'binary' and 'regression'"):
            choose({"shop": OWN, "other": regression()}, "shop", ["other"])

    def test_a_built_in_one_that_does_not_suit_is_left_out_by_default_and_refused_where_it_is_wanted(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from stream_retrain.backtesting import variants

        def refuses(_: Pipeline) -> Pipeline:
            raise PipelineError(["too wide"])

        monkeypatch.setitem(variants._BUILT_IN, "adaptive", refuses)
        chosen = choose({"shop": OWN}, "shop")
        assert names(chosen) == ["shop", "none"]
        assert chosen.notes == ["The variant 'adaptive' is left out: too wide."]
        with pytest.raises(PipelineError, match="variant 'adaptive' of pipeline 'test'"):
            choose({"shop": OWN}, "shop", ["adaptive"])


class TestControls:
    def test_of_a_classifier_they_are_the_previous_label_and_a_blind_reset(self) -> None:
        previous, blind = controls_of(OWN).variants
        assert (previous.name, blind.name) == (PREVIOUS_LABEL, BLIND_RESET)
        assert previous.control
        assert blind.control
        assert isinstance(previous.pipeline.model, dummy.NoChangeClassifier)
        [rule] = blind.pipeline.react
        assert rule.trigger == Every(events=BLIND_RESET_EVERY_EVENTS)
        assert isinstance(rule.do, Reset)
        assert blind.pipeline.model is OWN.model

    def test_of_a_regression_the_first_is_the_last_value(self) -> None:
        last, _ = controls_of(regression()).variants
        model = last.pipeline.model.clone()
        assert last.name == LAST_VALUE
        assert model.predict_one({}) == 0.0
        model.learn_one({}, 3.5)
        assert model.predict_one({}) == 3.5

    @pytest.mark.parametrize("own", [OWN, regression()], ids=["binary", "regression"])
    def test_they_are_scored_by_the_pipeline_s_metrics_and_could_run_live(self, own: Pipeline) -> None:
        for control in controls_of(own).variants:
            assert checkpointable(control.pipeline).metrics == own.metrics
            assert not controls_of(own).notes

    def test_metrics_of_probabilities_do_not_exclude_them(self) -> None:
        own = streams.pipeline(metrics=[metrics.LogLoss(), metrics.ROCAUC()])
        assert [each.name for each in controls_of(own).variants] == [PREVIOUS_LABEL, BLIND_RESET]


def test_a_pipeline_is_described_in_one_line() -> None:
    rules = [On.drift("error", Reset()), On.every(events=500, do=Reset())]
    described_ = described(streams.pipeline(react=rules))
    assert (
        described_ == "StandardScaler | LogisticRegression; watches ADWIN on error; reacts drift:error -> Reset, every:500_events -> Reset"
    )
    assert described(streams.pipeline(model=adaptive_classifier(), watch=(), react=())) == "FixedShareClassifier"
