"""A set of labels iterates after a restore as it did before: some of River's classifiers add up probabilities in its order."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
from typing import Any

import pytest
from river import dummy, forest, multiclass, neighbors, tree

from stream_retrain.codec.state import LABELLED, dump_state, load_state

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MODELS: list[Any] = [
    dummy.NoChangeClassifier(),
    forest.AMFClassifier(n_estimators=1, seed=1),
    multiclass.OneVsOneClassifier(tree.HoeffdingTreeClassifier()),
    neighbors.KNNClassifier(),
    tree.HoeffdingAdaptiveTreeClassifier(seed=1),
]


def reordered(count: int, chance: random.Random) -> list[str]:
    """Labels in an order in which a set of them comes out of a plain pickle in another one, whatever the hash seed of this process."""
    while True:
        labels = ["".join(chance.choices(LETTERS, k=4)) for _ in range(count)]
        added = _added(labels)
        if len(added) == count and list(pickle.loads(pickle.dumps(added))) != list(added):
            return labels


def _added(labels: list[str]) -> set[str]:
    added: set[str] = set()
    for label in labels:
        added.add(label)
    return added


def test_each_classifier_with_such_a_set_is_known() -> None:
    assert {type(model) for model in MODELS} == set(LABELLED)
    assert all(type(getattr(model, LABELLED[type(model)])) is set for model in MODELS), "River keeps its labels otherwise"


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("count", [2, 3, 5, 7])
def test_up_to_seven_labels_keep_their_order(model: Any, count: int) -> None:
    chance = random.Random(count)
    for _ in range(20):
        labels = _added(reordered(count, chance))
        made = model.clone()
        setattr(made, LABELLED[type(made)], labels)
        again = getattr(load_state(dump_state({"a part": [made]}))["a part"][0], LABELLED[type(made)])
        assert type(again) is set
        assert list(again) == list(labels)
        assert getattr(made, LABELLED[type(made)]) is labels, "what is written is not touched"


@pytest.mark.parametrize("count", [12, 25])
def test_most_of_more_labels_do(count: int) -> None:
    chance, kept = random.Random(count), 0
    for _ in range(20):
        made, labels = tree.HoeffdingAdaptiveTreeClassifier(seed=1), _added(reordered(count, chance))
        made.classes = labels
        again = load_state(dump_state(made)).classes
        assert again == labels
        kept += list(again) == list(labels)
    assert kept >= 15


def test_very_many_labels_cost_no_time_and_are_all_there() -> None:
    made = tree.HoeffdingAdaptiveTreeClassifier(seed=1)
    made.classes = _added(reordered(500, random.Random(1)))
    assert load_state(dump_state(made)).classes == made.classes


PROGRAM = """
import random
from river import tree
from stream_retrain.codec.state import dump_state, load_state
chance = random.Random(5)
model, labels = tree.HoeffdingAdaptiveTreeClassifier(seed=1), ["dp", "jo", "gm", "fk"]
rows = [({"a": chance.random(), "b": chance.random()}, chance.choice(labels)) for _ in range(600)]
for x, y in rows[:300]:
    model.learn_one(x, y)
again, told = load_state(dump_state(model)), []
for x, y in rows[300:]:
    assert list(again.predict_proba_one(x).items()) == list(model.predict_proba_one(x).items())
    again.learn_one(x, y), model.learn_one(x, y)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1"])
def test_a_tree_with_text_labels_goes_on_to_the_last_digit(seed: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONHASHSEED": seed}, check=True, timeout=60)
