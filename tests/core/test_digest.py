"""Equal state, equal digest, whatever is shared; different state, different digest."""

from __future__ import annotations

import collections
import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift, forest, tree

from stream_retrain.core.digest import digest
from tests.core import streams

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.sets(st.text() | st.integers()),
    max_leaves=20,
)


@given(values)
def test_a_copy_has_the_same_digest(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(pickle.loads(pickle.dumps(value))) == digest(value)


DIFFERENT: list[tuple[Any, Any]] = [
    (1, 1.0),
    (1, True),
    (0.0, -0.0),
    ("1", b"1"),
    ([1, 2], (1, 2)),
    ([[1], [2]], [[1, 2]]),
    ([1, [2]], [[1], 2]),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({1: "a"}, {"1": "a"}),
    ({1, 2}, {1, 3}),
    (collections.deque([1], 5), collections.deque([1], 6)),
    (collections.Counter("a"), {"a": 1}),
    (0.1 + 0.2, 0.3),
    ("ab", ["a", "b"]),
    (drift.ADWIN(), drift.ADWIN(delta=0.1)),
    (float | None, int | None),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=str)
def test_what_would_behave_differently_digests_differently(one: Any, other: Any) -> None:
    assert digest(one) != digest(other)


def test_sharing_is_not_state() -> None:
    shared = [1, 2]
    assert digest([shared, shared]) == digest([[1, 2], [1, 2]])


def test_what_contains_itself_has_a_digest() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    other: list[Any] = [1]
    other.append(other)
    assert digest(loop) == digest(other)
    assert digest(drift.PageHinkley()) == digest(pickle.loads(pickle.dumps(drift.PageHinkley())))


def test_depth_is_no_limit() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert len(digest(deep)) == 64


@pytest.mark.parametrize("model", [tree.HoeffdingTreeClassifier(grace_period=20), forest.ARFClassifier(n_models=3, seed=2)], ids=str)
def test_a_restored_model_has_the_digest_it_had_and_goes_on_alike(model: Any) -> None:
    model = model.clone()
    pairs = streams.rows(1_200, flip_at=600)
    for x, y in pairs[:800]:
        model.learn_one(x, y)
    restored = pickle.loads(pickle.dumps(model))
    assert digest(restored) == digest(model)
    for x, y in pairs[800:]:
        model.learn_one(x, y)
        restored.learn_one(x, y)
    assert digest(restored) == digest(model)
