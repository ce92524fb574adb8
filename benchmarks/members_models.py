"""The models that `benchmarks.members` measures, by name: for each task, an expression in which all of this project's models and River
are known. A new member or mixture is one line; `--maker` takes any other expression.

An expression whose names are not there is a model that is passed over, aloud.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import pkgutil
from pathlib import Path
from typing import Any, Final

import river
from river import base, compose, preprocessing

import stream_retrain
from benchmarks.members_peers import PEERS
from stream_retrain import models

__all__ = ["MODELS", "Model", "named", "of_expression", "scope"]

CLASSIFICATION: Final = "classification"
REGRESSION: Final = "regression"
SOURCES: Final = ("stream_retrain/models/*.py", "native/src/**/*.rs")

MODELS: Final[dict[str, dict[str, str]]] = {
    CLASSIFICATION: {
        "recommended": "adaptive_classifier()",
        "light": "adaptive_classifier('light')",
        "rich": "adaptive_classifier('rich')",
        "first": "adaptive_classifier('first')",
        "tree": "QuickTree()",
        "restarting tree": "RestartingClassifier(QuickTree())",
        "additive": "AdditiveClassifier()",
        "pairs": "AdditiveClassifier(pairs=40)",
        "linear": "LinearClassifier()",
        "nearest": "NearestClassifier()",
        "forest": "RestartingForest()",
        "HoeffdingTree": "river.tree.HoeffdingTreeClassifier()",
        "ARF10": "river.forest.ARFClassifier(n_models=10, seed=1)",
    },
    REGRESSION: {
        "recommended": "adaptive_regressor()",
        "light": "adaptive_regressor('light')",
        "rich": "adaptive_regressor('rich')",
        "first": "adaptive_regressor('first')",
        "tree": "QuickTreeRegressor()",
        "restarting tree": "RestartingRegressor(QuickTreeRegressor())",
        "additive": "AdditiveRegressor()",
        "pairs": "AdditiveRegressor(pairs=40)",
        "linear": "LinearRegressor()",
        "nearest": "NearestRegressor()",
        "forest": "RestartingForestRegressor()",
        "HoeffdingTree": "encoded(river.tree.HoeffdingTreeRegressor())",
        "ARF10": "encoded(river.forest.ARFRegressor(n_models=10, seed=1))",
    },
}


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A model of a task: an expression, or a peer's name where it is run in an environment of its own."""

    name: str
    task: str
    expression: str
    peer: bool = False

    def make(self, *, strings: bool = False) -> Any:
        """A new model, for a stream with strings or without.

        It raises what the expression raises, a `NameError` where the model is not there.
        """
        return eval(self.expression, scope() | {"encoded": one_hot if strings else as_it_is})

    @property
    def release(self) -> str:
        """Of what a row was measured: a digest of the expression, and one of the code of the models where they are this project's."""
        if self.peer:
            return self.expression
        code = "river" if self.expression.removeprefix("encoded(").startswith("river.") else of_sources()
        return f"{digest(self.expression.encode())}-{code}"


def one_hot(model: Any) -> Any:
    """For River's regressors, which take no strings: a column for each value."""
    strings = compose.SelectType(str) | preprocessing.OneHotEncoder()
    return (compose.SelectType((int, float)) + strings) | model


def as_it_is(model: Any) -> Any:
    return model


@functools.cache
def scope() -> dict[str, Any]:
    """The models and constants of every module of `stream_retrain.models`, and River."""
    for module in ("forest", "tree", "linear_model", "naive_bayes", "neighbors", "ensemble", "dummy", "drift"):
        importlib.import_module(f"river.{module}")
    found: dict[str, Any] = {"river": river}
    for module in pkgutil.iter_modules(models.__path__):
        held = importlib.import_module(f"{models.__name__}.{module.name}")
        public = {name: getattr(held, name) for name in getattr(held, "__all__", ())}
        found |= {
            name: value for name, value in public.items() if name.isupper() or (isinstance(value, type) and issubclass(value, base.Base))
        }
    return found | {name: getattr(models, name) for name in models.__all__}


@functools.cache
def of_sources() -> str:
    root = Path(stream_retrain.__file__).parent.parent
    held = hashlib.sha256()
    for path in sorted(path for pattern in SOURCES for path in root.glob(pattern)):
        held.update(path.read_bytes())
    return held.hexdigest()[:12]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]


def of_expression(expression: str, task: str) -> Model:
    """A model of which no more is known; its name is the expression, or what stands before a `=` that follows a name of one word."""
    name, equals, rest = expression.partition("=")
    if equals and name.strip().replace("-", "_").replace(" ", "_").replace("+", "_").isidentifier():
        return Model(name.strip(), task, rest.strip())
    return Model(expression, task, expression)


def named(task: str) -> dict[str, Model]:
    """The models of a task by name, this project's and River's first, then the peers."""
    ours = {name: Model(name, task, expression) for name, expression in MODELS[task].items()}
    return ours | {peer.name: Model(peer.name, task, peer.release, peer=True) for peer in PEERS if peer.task == task}
