"""River's private members that the project touches: listed here, and nowhere else. `river` has an upper bound for their sake.

A release of River may rename them without a word; then a line of this list fails, and not a worker.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiokafka.consumer.consumer
import aiokafka.consumer.group_coordinator
import pytest
from river import compose, drift, imblearn, linear_model, preprocessing, proba, tree
from river.tree.splitter import GaussianSplitter

import stream_retrain

ROOT = Path(stream_retrain.__file__).parent
X, SCALED = {"a": 0.5, "b": 1.5}, preprocessing.StandardScaler() | linear_model.LogisticRegression()


def grown_tree() -> Any:
    model = tree.HoeffdingTreeClassifier(grace_period=20)
    for number in range(400):
        model.learn_one({"a": number % 10, "b": number % 7}, number % 10 > 4)
    return model


def page_hinkley() -> Any:
    detector = drift.PageHinkley()
    detector.update(1.0)
    return detector


def splitter() -> Any:
    found = GaussianSplitter()
    found.update(1.0, True, 1.0)
    return found


TOUCHED: list[tuple[str, Callable[[], Any], str]] = [
    ("_last_step", lambda: SCALED, "the model at the end of a pipeline"),
    ("_multiclass", lambda: SCALED, "whether a classifier takes more than two classes"),
    (
        "_wrapped_model",
        lambda: imblearn.RandomUnderSampler(SCALED, {True: 1.0}, seed=1),
        "whether what a wrapper wraps gives probabilities",
    ),
    ("_helper", drift.ADWIN, "ADWIN's window, fed without two calls an event"),
    ("_reset", drift.ADWIN, "ADWIN begins afresh after an alarm that counted"),
    ("_sum_increase", page_hinkley, "Page-Hinkley's statistics, for readings and the side that crossed"),
    ("_min_increase", page_hinkley, "the same"),
    ("_sum_decrease", page_hinkley, "the same"),
    ("_max_decrease", page_hinkley, "the same"),
    ("_rng", proba.Gaussian, "an unseeded generator that is left out of states"),
    ("_find_leaves", grown_tree, "a tree's leaves, to make the largest smaller"),
    ("_get_params", lambda: SCALED, "the parameters in which two versions differ"),
]
OTHERS = {
    *("_ALL_BROKERS_DOWN", "_AUTO_OFFSET_RESET", "_FATAL", "_FENCED", "_MAX_POLL_EXCEEDED", "_PARTITION_EOF", "_MSG_TIMED_OUT", "_NOENT"),
    *("_RESOLVE", "_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC"),
    *("_TIMED_OUT", "_TIMED_OUT_QUEUE", "_TRANSPORT", "_asdict", "_current_frames", "_exit", "_fields", "_make", "_replace"),
}
"""Names with an underscore that are public: error codes of confluent-kafka, of namedtuples, `os._exit`, `sys._current_frames`."""

OWN = {"_core"}
"""Of the project's models, whose base is in another file (`models.implementation.Cored`)."""
OF_AIOKAFKA = {"_coordinator": "a member's coordinator", "_pending_exception": "why a group refuses a member"}


@pytest.mark.parametrize(("name", "made", "why"), TOUCHED, ids=[f"{name}-{why}" for name, _, why in TOUCHED])
def test_a_private_member_is_there(name: str, made: Callable[[], Any], why: str) -> None:
    assert hasattr(made(), name), f"River has no {name} any more, which gave us {why}"


def test_the_private_members_of_the_client_under_faust_are_there() -> None:
    consumer = inspect.getsource(aiokafka.consumer.consumer)
    coordinator = inspect.getsource(aiokafka.consumer.group_coordinator)
    assert {name for name in OF_AIOKAFKA if f"self.{name} = " in consumer + coordinator} == OF_AIOKAFKA.keys()
    assert "self._isolation_level" in consumer
    assert "self._group_instance_id" in coordinator


def test_nothing_else_of_another_project_s_is_touched() -> None:
    listed = {name for name, _, _ in TOUCHED} | OTHERS | OWN | OF_AIOKAFKA.keys()
    found = {(name, str(file.relative_to(ROOT))) for file in ROOT.rglob("*.py") for name in foreign(file)}
    assert not {each for each in found if each[0] not in listed}
    assert {name for name, _, _ in TOUCHED} <= {name for name, _ in found} | {"_rng"}


def foreign(file: Path) -> Iterator[str]:
    """The private attributes a file reads that nothing in it defines."""
    code = ast.parse(file.read_text())
    own = {node.attr for node in ast.walk(code) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    own |= {node.name for node in ast.walk(code) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own |= {node.target.id for node in ast.walk(code) if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    for node in ast.walk(code):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and len(node.args) > 1
        ):
            name = str(node.args[1].value) if isinstance(node.args[1], ast.Constant) else ""
        if name.startswith("_") and not name.startswith("__") and name not in own:
            yield name


def test_the_last_step_of_a_pipeline_is_river_s() -> None:
    nested = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    assert type(nested._last_step) is linear_model.LogisticRegression
