"""River's Hoeffding tree computing with the models' own arithmetic: the oracle of `QuickTree`."""

from __future__ import annotations

import math
import types
from typing import Any

import pytest
from river import tree
from river.proba import gaussian
from river.tree import hoeffding_tree, utils
from river.tree.nodes import htc_nodes
from river.tree.split_criterion import info_gain_split_criterion
from river.utils import norm

from stream_retrain.models import arithmetic

HALF_LOG_TAU, ROOT_TWO = 0.9189385332046727, 1.4142135623730951


def rivers_tree(**params: Any) -> tree.HoeffdingTreeClassifier:
    return tree.HoeffdingTreeClassifier(**{"grace_period": 50, "delta": 1e-3, "tau": 0.1, **params})


@pytest.fixture
def our_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """River with our exp, log and so on, with a square as a product, and with floats added one by one."""
    own = types.SimpleNamespace(**{**vars(math), **{name: getattr(arithmetic, name) for name in ("exp", "log", "log2", "erf")}})
    for module in (gaussian, hoeffding_tree, info_gain_split_criterion, utils):
        monkeypatch.setattr(module, "math", own)
    for module in (htc_nodes, info_gain_split_criterion, norm, utils):
        monkeypatch.setattr(module, "sum", added, raising=False)
    monkeypatch.setattr(gaussian.Gaussian, "log_pdf", log_density)
    monkeypatch.setattr(gaussian.Gaussian, "cdf", part_below)


def added(values: Any) -> Any:
    total = 0
    for value in values:
        total += value
    return total


def log_density(normal: Any, x: float) -> float:
    variance = normal._var.get()
    if not variance > 0.0:
        return -math.inf
    off = x - normal.mu
    return off * off / (-2.0 * variance) - HALF_LOG_TAU - 0.5 * arithmetic.log(variance)


def part_below(normal: Any, x: float) -> float:
    deviation = math.sqrt(normal._var.get())
    return 0.5 * (1.0 + arithmetic.erf((x - normal.mu) / deviation / ROOT_TWO)) if deviation else 0.0
