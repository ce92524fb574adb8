"""Packed models: equal bytes for equal models, nothing named in them, and a measure of memory that is near what Python takes."""

from __future__ import annotations

import gc
import math
import pickle
import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, feature_extraction, forest, linear_model, naive_bayes, neighbors, preprocessing, tree

from stream_retrain.core.digest import digest
from stream_retrain.core.inside import computing_in
from stream_retrain.models import AdditiveClassifier, QuickTree, adaptive_classifier
from stream_retrain.models.packing import NAMES_MAX, Names, memory_bytes_of
from tests.models import streams

MODELS = {
    "linear": lambda: compose.SelectType(int, float) | preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "additive": AdditiveClassifier,
    "bayes": lambda: compose.SelectType(int, float) | naive_bayes.GaussianNB(),
    "tree": QuickTree,
    "adaptive": adaptive_classifier,
    "forest": lambda: forest.ARFClassifier(n_models=2, seed=1),
}


def trained(name: str, count: int = 200) -> Any:
    model = MODELS[name]()
    for x, y in streams.binary(count):
        model.predict_proba_one(x)
        model.learn_one(x, y)
    return model


@pytest.mark.parametrize("name", MODELS)
def test_a_packed_model_is_the_same_model_and_goes_on_to_the_same_bytes(name: str) -> None:
    names, model = Names(), trained(name)
    packed = names.pack(model)
    again = names.unpack(packed)
    assert digest(again) == digest(model)
    assert names.pack(again) == packed
    for x, y in streams.binary(40, seed=8):
        fresh = {"".join(feature): value for feature, value in x.items()}
        assert model.predict_proba_one(x) == again.predict_proba_one(fresh)
        model.learn_one(x, y)
        again.learn_one(fresh, y)
    assert names.pack(again) == names.pack(model)
    assert memory_bytes_of(again) == memory_bytes_of(model)


@pytest.mark.parametrize("name", MODELS)
def test_a_table_that_was_saved_opens_what_was_packed_before_and_goes_on_with_the_same_numbers(name: str) -> None:
    names, model = Names(), trained(name, 60)
    packed = names.pack(model)
    restored: Names = pickle.loads(pickle.dumps(names))
    assert len(restored) == len(names)
    assert digest(restored.unpack(packed)) == digest(model)
    assert restored.pack(model) == packed


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.one_of(st.text(), st.integers(), st.tuples(st.text())), inner)
    ),
    max_leaves=12,
)


@given(values)
@settings(max_examples=150, deadline=None)
def test_bytes_do_not_depend_on_which_equal_values_are_one_object(value: Any) -> None:
    names = Names()
    packed = names.pack([value, value, {"a": value}])
    assert names.unpack(packed) == [value, value, {"a": value}]
    apart = pickle.loads(pickle.dumps([value, pickle.loads(pickle.dumps(value)), {"a": value}]))
    if not has_list_or_dict(value):  # of those, which is one object with which is behaviour
        assert names.pack(apart) == packed
        assert memory_bytes_of(apart) == memory_bytes_of([value, value, {"a": value}])
    assert names.pack(names.unpack(packed)) == packed


def has_list_or_dict(value: Any) -> bool:
    return isinstance(value, list | dict) or (isinstance(value, tuple) and any(map(has_list_or_dict, value)))


def test_arrays_seeded_generators_and_functions_come_back() -> None:
    names = Names()
    packed = names.pack([np.arange(3.0), random.Random(4), math.log1p, np.exp, np.dtype("f4")])
    array, rng, *rest = names.unpack(packed)
    assert array.tolist() == [0.0, 1.0, 2.0]
    assert rng.random() == random.Random(4).random()
    assert rest == [math.log1p, np.exp, np.dtype("f4")]
    assert names.pack([array, rng, *rest]) != packed  # the generator went on
    assert names.pack([np.arange(3.0), random.Random(4), *rest]) == packed


def test_strings_beyond_the_table_are_written_where_they_stand() -> None:
    names = Names()
    many = [f"category {number}" for number in range(NAMES_MAX + 50)] + ["long" * 100, "\ud800"]
    packed = names.pack(many)
    assert len(names) <= NAMES_MAX
    assert names.unpack(packed) == many
    assert names.pack([*many[:-1], "".join("\ud800")]) == packed


class Calls:
    """A pickle that calls what it names."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made_of = function, arguments

    def __reduce__(self) -> Any:
        return self.made_of


def told(text: str) -> str:
    raise AssertionError("it was called")


def test_packed_bytes_name_nothing() -> None:
    with pytest.raises(pickle.UnpicklingError, match="names nothing"):
        Names().unpack(pickle.dumps(AdditiveClassifier(), protocol=5))


def test_a_function_in_the_table_is_a_value_and_is_not_called() -> None:
    names = Names()
    with pytest.raises(pickle.UnpicklingError, match="may hold but not call"):
        names.unpack(names.pack(Calls(told, "x")))
    assert names.unpack(names.pack([told])) == [told]
    assert names.unpack(names.pack(Calls(math.sqrt, 16.0))) == 4.0


def test_a_bound_method_is_one_of_the_same_object_again_and_is_not_called() -> None:
    names, words = Names(), feature_extraction.BagOfWords(on="t")
    again, method = names.unpack(names.pack([words, words.process_text]))
    assert method.__self__ is again
    assert method.__func__ is feature_extraction.BagOfWords.process_text
    with pytest.raises(pickle.UnpicklingError, match="may hold but not call"):
        names.unpack(names.pack(Calls(words.process_text, {"t": "a"})))


@pytest.mark.parametrize("held", [iter([1, 2]), print])
def test_iterators_and_built_in_functions_cannot_be_packed(held: Any) -> None:
    with pytest.raises(pickle.PicklingError, match="no packed model may hold"):
        Names().pack([held])


@pytest.mark.parametrize("name", MODELS)
def test_the_measure_of_memory_is_near_what_is_allocated(name: str) -> None:
    model = trained(name, 600)
    packed = pickle.dumps(model)
    gc.collect()
    tracemalloc.start()
    again = pickle.loads(packed)
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    where = computing_in(again)  # the project's are measured as if they were compiled, because equal models measure equal
    unseen = len(packed) if where == "compiled" else 0  # what compiled models allocate, Python does not see
    assert (0.14 if where == "Python" else 0.55) * allocated <= memory_bytes_of(again) <= 1.7 * (allocated + unseen)


def test_memory_grows_with_a_model_that_keeps_events() -> None:
    model, seen = neighbors.KNNClassifier(engine=neighbors.LazySearch(window_size=500)), []
    for number, (x, y) in enumerate(streams.multiclass(400)):
        model.learn_one(x, y)
        if number % 100 == 99:
            seen.append(memory_bytes_of(model))
    assert seen == sorted(seen)
    assert seen[-1] > 2.5 * seen[0]


def test_a_tree_in_the_memory_measure_is_no_larger_for_a_generator_that_only_samples() -> None:
    model = tree.HoeffdingTreeClassifier(grace_period=50)
    for x, y in streams.binary(300):
        model.learn_one(x, y)
    assert memory_bytes_of(model) == memory_bytes_of(pickle.loads(pickle.dumps(model)))
