"""A state that names anything but models and plain values is not built, even under a good signature."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import pickle
import subprocess
from typing import Any

import numpy as np
import pytest
from river import drift, ensemble, forest, linear_model, metrics, naive_bayes, neighbors, preprocessing, tree
from river.datasets import synth
from river.drift import binary

from stream_retrain.codec.allowlist import modules_of
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.core.digest import digest
from stream_retrain.models import FastADWIN, FastHDDMA, adaptive_classifier, adaptive_regressor


class Mine(linear_model.LogisticRegression):  # type: ignore[misc]
    """A user's own model."""


class Deaf:
    """Calls what it is given, and passes over what it raises."""

    def __init__(self, function: Any) -> None:
        with contextlib.suppress(Exception):
            function()


CALLED: list[str] = []


def helper(*_: Any) -> None:
    CALLED.append("helper")


MODELS: dict[str, Any] = {
    "linear": preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "tree": tree.HoeffdingTreeClassifier(grace_period=50),
    "adaptive tree": tree.HoeffdingAdaptiveTreeClassifier(grace_period=50, seed=1),
    "forest": forest.ARFClassifier(n_models=3, seed=1),
    "mondrian": forest.AMFClassifier(n_estimators=2, seed=1),
    "bagging": ensemble.LeveragingBaggingClassifier(tree.HoeffdingTreeClassifier(), n_models=2, seed=1),
    "patches": ensemble.SRPClassifier(n_models=2, seed=1),
    "bayes": naive_bayes.GaussianNB(),
    "neighbours": neighbors.KNNClassifier(),
    "recommended": adaptive_classifier(),
    "a user's": Mine(),
}
DETECTORS = [drift.ADWIN(), drift.PageHinkley(), drift.KSWIN(seed=1), binary.DDM(), binary.EDDM(), binary.HDDMA(), binary.HDDMW()]
DETECTORS += [FastADWIN(), FastHDDMA()]


@pytest.mark.parametrize("name", MODELS)
def test_what_models_are_made_of_comes_back(name: str) -> None:
    model = MODELS[name].clone()
    for x, y in synth.SEA(seed=1).take(400):
        model.predict_one(x)
        model.learn_one(x, y)
    again = load_state(dump_state(model), modules_of([MODELS[name]]))
    assert digest(again) == digest(model)


def test_regressors_detectors_metrics_and_numbers_come_back() -> None:
    regressor = adaptive_regressor()
    for x, y in synth.Friedman(seed=1).take(300):
        regressor.learn_one({str(key): value for key, value in x.items()}, y)
    for detector in DETECTORS:
        for value in range(200):
            detector.update(value > 100)
    state = {
        "regressor": regressor,
        "detectors": DETECTORS,
        "metrics": [metrics.ROCAUC(), metrics.R2()],
        "number": np.float64(0.5),
        "array": np.arange(3),
    }
    assert digest(load_state(dump_state(state))) == digest(state)


class Evil:
    """Pickles as a call of something."""

    def __init__(self, *called: Any) -> None:
        self.called = called

    def __reduce__(self) -> Any:
        return self.called[0], self.called[1:]


@pytest.mark.parametrize(
    "payload",
    [
        pickle.dumps(Evil(os.getpid)),
        pickle.dumps(Evil(subprocess.run, ["true"])),
        pickle.dumps(Evil(eval, "1")),
        pickle.dumps(Evil(getattr, dict, "__subclasses__")),
        b"\x80\x04cposix\ngetpid\n)R.",
        b"\x80\x04\x8c\x13river.datasets.base\x94\x8c\tos.getpid\x94\x93)R.",
        b"\x80\x04\x8c\x13river.datasets.base\x94\x8c\x02os\x94\x93.",
        b"\x80\x04\x8c\x13river.datasets.base\x94\x8c\x06shutil\x94\x93.",
        pickle.dumps(Evil(functools.partial, os.getpid)),
    ],
)
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError):
        load_state(payload, modules_of([Mine()]))


def call(module: str, name: str, *arguments: Any) -> bytes:
    """A pickle that calls what it names."""
    named = b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode() + b"\x93"
    given = b"".join(pickle.dumps(argument, protocol=0)[:-1] for argument in arguments)
    return b"\x80\x05" + named + b"(" + given + b"tR."


@pytest.mark.parametrize(
    ("module", "name", "arguments"),
    [
        ("stream_retrain.loading", "load_pipeline", ["/tmp/evil.py"]),
        ("stream_retrain.core.contest.training", "copy_of", [1]),
        ("stream_retrain.engines.fleet", "_start", [1]),
        ("stream_retrain.engines.channel", "Channel", [1]),
        ("stream_retrain.local.process", "Process", []),
        ("stream_retrain.codec.state", "load_state", [b"N."]),
        ("stream_retrain.codec.state", "_gaussian", [dict, {}]),
        ("river.datasets.base", "get_data_home", []),
        ("river.datasets.beth", "BETH", []),
        ("river.bandit.datasets.news", "NewsArticles", []),
        ("river.stream.iter_csv", "iter_csv", ["/etc/passwd"]),
        ("river.evaluate", "progressive_val_score", []),
        ("math", "log1p", [1.0]),
        ("numpy", "log1p", [1.0]),
        ("copy", "deepcopy", [1]),
        ("river.feature_extraction.vectorize", "strip_accents_unicode", ["a"]),
        ("builtins", "iter", [int, 0]),
        ("river.naive_bayes.gaussian", "GaussianNB._make_gaussian", []),
        (__name__, "helper", []),
        ("numpy", "fromfile", ["/etc/passwd"]),
        ("no.such", "module", []),
    ],
)
def test_functions_are_never_called_and_what_has_to_do_with_the_world_is_not_named(module: str, name: str, arguments: list[Any]) -> None:
    CALLED.clear()
    with pytest.raises(pickle.UnpicklingError):
        load_state(call(module, name, *arguments), modules_of([Mine(), helper]))
    assert not CALLED


def test_functions_are_values() -> None:
    state = [np.log1p, math.expm1, helper, functools.partial(helper, 1), str.lower, preprocessing.StandardScaler().learn_one]
    again = load_state(dump_state(state), modules_of([helper, Mine()]))
    assert again[:3] == state[:3]
    assert again[3].func is helper
    assert again[4] is str.lower
    assert type(again[5].__self__) is preprocessing.StandardScaler


def test_an_exception_that_is_passed_over_does_not_hide_a_call() -> None:
    with pytest.raises(pickle.UnpicklingError, match="which a state may hold but not call"):
        load_state(pickle.dumps(Evil(Deaf, helper)), modules_of([Deaf(len), helper]))


def test_a_damaged_state_is_one_kind_of_error() -> None:
    state = dump_state(metrics.Accuracy())
    for cut in range(len(state)):
        with pytest.raises(pickle.UnpicklingError):
            load_state(state[:cut])


def test_a_bound_method_is_no_way_out() -> None:
    with pytest.raises(pickle.UnpicklingError, match="it asks for"):
        load_state(pickle.dumps(Evil(getattr, drift.ADWIN(), "__class__")))


def test_a_class_of_another_module_is_none_of_the_pipeline_s() -> None:
    with pytest.raises(pickle.UnpicklingError, match="no use for"):
        load_state(dump_state(Mine()))
