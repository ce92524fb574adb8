"""The recommended models: their forms, that the first ones stay what they were, and what the members bring."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from stream_retrain.core.digest import digest
from stream_retrain.models import adaptive_classifier, adaptive_regressor
from stream_retrain.models.implementation import is_compiled, steps
from stream_retrain.models.recommended import FORMS
from stream_retrain.native import extension
from tests.models import streams

FIRST = {
    adaptive_classifier: "90279bf93cc1dc32f2e4647762f09b0025e6da93ef264d79a0161f7ebf39875c",
    adaptive_regressor: "7cf0abf0a1042aa1e1a6494ca638ba35e2cc37b73805d7505424fa2e71427325",
}
"""What pipelines with them wrote into their checkpoints before there were others."""


@pytest.mark.parametrize("make", FIRST)
def test_the_first_form_is_what_it_was(make: Any) -> None:
    assert digest(make("first")) == FIRST[make]
    assert make("first").stackings is None


@pytest.mark.parametrize("make", FIRST)
def test_every_form_is_another_model_and_all_in_one_core(make: Any) -> None:
    models = {form: make(form) for form in FORMS}
    assert len({digest(model) for model in models.values()}) == len(FORMS)
    sizes = [len(models[form].members) for form in ("first", "light", "recommended", "rich")]
    assert sizes == sorted(sizes)
    if extension() is not None:
        assert all(is_compiled(model._core) and steps(model) for model in models.values())


@pytest.mark.parametrize("make", FIRST)
def test_another_form_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="members is 'heavy'; use one of 'recommended', 'light', 'rich', 'first'"):
        make("heavy")


def right(model: Any, rows: list[tuple[dict[str, Any], Any]]) -> float:
    hits = 0
    for x, y in rows:
        hits += model.predict_one(x) == y
        model.learn_one(x, y)
    return hits / len(rows)


def test_more_members_see_what_the_first_ones_do_not() -> None:
    """Whether two numbers have the same sign, turned round in the middle."""
    rng = random.Random(4)
    events = [{"a": rng.gauss(0, 1), "b": rng.gauss(0, 1), "c": rng.gauss(0, 1)} for _ in range(3_000)]
    rows = [(x, ((x["a"] > 0) == (x["b"] > 0)) == (number < 1_500)) for number, x in enumerate(events)]
    assert (
        right(adaptive_classifier(), rows)
        > right(adaptive_classifier("light"), rows) - 0.01
        > right(adaptive_classifier("first"), rows) + 0.03
    )


def test_a_pickle_goes_on_with_all_its_members() -> None:
    for make, rows in ((adaptive_classifier, streams.binary(400)), (adaptive_regressor, streams.regression(400))):
        model = make("rich")
        for x, y in rows[:200]:
            model.learn_one(x, y)
        other = pickle.loads(pickle.dumps(model))
        for x, y in rows[200:]:
            assert model.predict_one(x) == other.predict_one(x)
            model.learn_one(x, y)
            other.learn_one(x, y)
        assert digest(model) == digest(other)
