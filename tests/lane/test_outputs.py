"""What a pipeline asks of its predictions: event time and model version always; probabilities by class and a threshold where asked."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import evaluate, linear_model, metrics, naive_bayes, preprocessing, rules, tree

from stream_retrain import Challenge, On, Pipeline, PipelineError, Reset, Schema, Shard
from stream_retrain.facts.values import Event, Predicted
from stream_retrain.lane.class_probabilities import BYTES_MAX, CLASSES_MAX, class_probabilities
from stream_retrain.lane.encoder import encode_predictions
from tests.lane.support import restored

LABELS = ("red", "green", "blue")


def pipeline(task: Any = "binary", **fields: Any) -> Pipeline:
    model = linear_model.LogisticRegression() if task == "binary" else naive_bayes.GaussianNB()
    declared = {"model": model} | fields
    return Pipeline(name="p", task=task, source="s", schema=Schema(id="id", label="y", features={"a": float}), **declared)


def events(count: int, task: str = "binary") -> list[Event]:
    return [
        Event(at, f"e{at}", 100.5 + at, {"a": float(at % 3)}, at % 3 > 0 if task == "binary" else LABELS[at % 3]) for at in range(count)
    ]


def predicted(of: Pipeline, given_: list[Event]) -> list[Predicted]:
    return Shard(of).process(given_).predicted


def shown(of: Pipeline, given_: list[Event]) -> list[dict[str, Any]]:
    return [json.loads(value) for value in encode_predictions(predicted(of, given_))]


def test_a_prediction_has_its_event_time_and_the_version_of_its_model() -> None:
    of = pipeline()
    last = shown(of, events(5))[-1]
    assert list(last) == ["id", "offset", "time_s", "prediction", "probability", "generation", "model"]
    assert (last["time_s"], last["model"]) == (104.5, f"{of.model_digest()}-0")


def test_the_version_goes_with_the_generation_whatever_begins_one() -> None:
    of = pipeline(react=[On.every(events=10, do=Reset())])
    assert [(each.generation, each.model) for each in predicted(of, events(30))[9::10]] == [
        (number, f"{of.model_digest()}-{number}") for number in (0, 1, 2)
    ]


def test_in_a_duel_too_and_after_a_contestant_that_served_has_failed() -> None:
    of = pipeline(react=[On.every(events=20, do=Challenge())], model=preprocessing.StandardScaler() | linear_model.LogisticRegression())
    made = predicted(of, events(400))
    assert all(each.model == f"{of.model_digest()}-{each.generation}" for each in made)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({}, True),
        ({"rolling_events": 10, "metrics": [metrics.F1()]}, True),
        ({"model": linear_model.LogisticRegression(l2=0.1)}, False),
        ({"schema": Schema(id="id", label="y", features={"a": float, "b": float | None})}, False),
        ({"threshold": 0.3}, False),
        ({"threshold": 0.4}, False),
    ],
)
def test_the_version_is_that_of_what_the_model_is_declared_by(changed: dict[str, Any], same: bool) -> None:
    of = pipeline()
    assert (dataclasses.replace(of, **changed).model_digest() == of.model_digest()) is same


def test_the_probability_of_each_class_where_asked() -> None:
    binary = shown(pipeline(probabilities=True), events(50))
    assert binary[0]["probabilities"] == {"false": 0.5, "true": 0.5}
    assert all(list(each["probabilities"]) == ["false", "true"] for each in binary)
    assert all(each["probabilities"]["true"] == each["probability"] for each in binary)
    several = shown(pipeline("multiclass", probabilities=True), events(50, "multiclass"))
    assert several[0]["probabilities"] is None, "no class is known yet"
    last = several[-1]
    assert list(last["probabilities"]) == sorted(LABELS)
    assert last["probabilities"][last["prediction"]] == last["probability"] == max(last["probabilities"].values())


def test_nobody_who_did_not_ask_is_shown_them() -> None:
    assert "probabilities" not in shown(pipeline(), events(1))[0]


@given(st.dictionaries(st.one_of(st.text(max_size=300), st.integers()), st.floats(0, 1), min_size=1, max_size=300))
def test_they_are_bounded_and_the_most_probable_ones_are_those_that_are_kept(proba: dict[Any, float]) -> None:
    kept = class_probabilities(proba) or {}
    by_text = {str(label): p for label, p in proba.items()}
    assert len(json.dumps(kept, ensure_ascii=False).encode("utf-8", "surrogatepass")) <= BYTES_MAX + 2
    assert len(kept) <= CLASSES_MAX
    assert kept.items() <= by_text.items()
    left_out = [by_text[text] for text in by_text.keys() - kept.keys()]
    assert not kept or not left_out or max(left_out) <= max(kept.values())
    if len(by_text) <= 10 and all(len(text) < 40 for text in by_text):
        assert kept == by_text


class TestThreshold:
    def test_the_label_is_true_from_the_threshold_on(self) -> None:
        for threshold in (0.05, 0.5, 0.95):
            made = predicted(pipeline(threshold=threshold), events(200))
            assert all(each.prediction is ((each.probability or 0.0) >= threshold) for each in made)

    def test_it_is_what_is_scored(self) -> None:
        """The oracle: River's own score of a model whose label is drawn at the threshold."""

        class Drawn(linear_model.LogisticRegression):  # type: ignore[misc]
            def predict_one(self, x: dict[str, float], **_: Any) -> bool:
                return bool(self.predict_proba_one(x)[True] >= 0.8)

        rows = [(each.x, each.y) for each in events(300)]
        score = evaluate.progressive_val_score(rows, Drawn(), metrics.Accuracy())
        shard = Shard(pipeline(threshold=0.8, metrics=[metrics.Accuracy()]))
        shard.process(events(300))
        assert shard.observe().running["Accuracy"] == score.get()
        plain = Shard(pipeline(metrics=[metrics.Accuracy()]))
        plain.process(events(300))
        assert plain.observe().running["Accuracy"] != score.get(), "on this stream the threshold makes a difference"

    def test_it_holds_for_every_contestant_of_a_duel(self) -> None:
        made = predicted(pipeline(threshold=0.9, react=[On.every(events=20, do=Challenge())]), events(400))
        assert all(each.prediction is ((each.probability or 0.0) >= 0.9) for each in made)

    def test_a_restored_shard_draws_it_too(self) -> None:
        of, all_of_them = pipeline(threshold=0.7, probabilities=True), events(100)
        first = Shard(of)
        first.process(all_of_them[:50])
        assert restored(of, first).process(all_of_them[50:]).predicted == predicted(of, all_of_them)[50:]

    def test_a_model_that_cannot_predict_yet_predicts_nothing(self) -> None:
        assert predicted(pipeline(threshold=0.7, model=tree.HoeffdingTreeClassifier()), events(1))[0].prediction is None


@pytest.mark.parametrize(
    ("task", "fields", "fault"),
    [
        ("binary", {"threshold": 0}, "threshold is 0; use a probability above 0 and below 1"),
        ("binary", {"threshold": 1.5}, "threshold is 1.5"),
        ("binary", {"threshold": "a"}, "threshold is 'a'"),
        ("multiclass", {"threshold": 0.5}, "only a binary task has one, and this is a multiclass task"),
        ("binary", {"probabilities": 1}, "probabilities is 1; use True or False"),
        ("binary", {"threshold": 0.3, "model": rules.AMRules()}, "needs a River classifier"),
    ],
)
def test_faults(task: str, fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(PipelineError, match=fault.replace("(", r"\(")):
        pipeline(task, **fields)


class Silent(linear_model.LogisticRegression):  # type: ignore[misc]
    """A classifier of labels alone."""

    def predict_one(self, x: dict[str, float], **_: Any) -> bool:
        return x["a"] > 1

    def predict_proba_one(self, x: dict[str, float]) -> Any:
        raise NotImplementedError(f"none for {x}")


@pytest.mark.parametrize("fields", [{"threshold": 0.3}, {"probabilities": True}])
def test_a_model_without_probabilities_is_refused_where_they_are_asked_for(fields: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=f"gives no probabilities, which {next(iter(fields))}"):
        pipeline(model=Silent(), **fields)


def test_a_regression_has_no_classes() -> None:
    with pytest.raises(PipelineError, match="a regression task has no classes"):
        pipeline("regression", model=linear_model.LinearRegression(), probabilities=True)
