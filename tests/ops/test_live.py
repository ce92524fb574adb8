"""What Debian's Prometheus sees of live workers: every panel has data, every alert's metrics are there. The pictures are not Grafana's.

STREAM_RETRAIN_PICTURES names a folder to keep the pictures in, to look at.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_retrain.ops import rules_text
from tests.conftest import Services
from tests.ops.boards import BOARDS, Query, filled, queries
from tests.ops.drive import Driven, driven
from tests.ops.render import pictures

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
ALERTS = {rule["alert"]: rule["expr"] for group in yaml.safe_load(rules_text("x"))["groups"] for rule in group["rules"]}
MUST_BE_TRUE = {"StreamRetrainDeadLetters", "StreamRetrainLabelsMissing"}
"""Alerts whose expression holds in this run; the others need hours, or what promtool shows them."""


@pytest.fixture(scope="module")
def run(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    with driven(services, tmp_path_factory.mktemp("drive")) as happened:
        yield happened


def values(run: Driven, pipeline: str) -> dict[str, str]:
    return {"pipeline": pipeline, "partition": ".*", "metric": "Accuracy"}


def has_data(run: Driven, query: Query) -> bool:
    """Whether a query has a number at some time of the run, for the pipelines that the board would show."""
    chosen = [f"{run.shop}|{run.adaptive}"] if query.board.endswith("overview") else [run.shop, run.adaptive]
    for pipeline in chosen:
        expression = filled(query.expression, values(run, pipeline), interval="10s", span="3m")
        found = run.prometheus.range(expression, run.start_s, run.end_s, 1.0)
        if any(math.isfinite(float(value)) for series in found for _, value in series["values"]):
            return True
    return False


@pytest.mark.parametrize("name", BOARDS)
def test_every_query_of_every_panel_has_data(run: Driven, name: str) -> None:
    every = list(queries(name))
    assert [query for query in every if not has_data(run, query)] == []
    assert len(every) > 40


@pytest.mark.parametrize("alert", ALERTS)
def test_every_metric_of_every_alert_has_data(run: Driven, alert: str) -> None:
    """Each selector by itself: most alerts need longer than a test lasts, and promtool shows that they fire."""
    selectors = re.findall(r"((?:stream_retrain_|process_|up)[a-z_]*(?:\{[^}]*\})?)", ALERTS[alert])
    assert selectors
    for selector in selectors:
        found: list[Any] = run.prometheus.range(selector, run.start_s, run.end_s, 1.0)
        assert found, selector
    if alert in MUST_BE_TRUE:
        assert run.prometheus.query(ALERTS[alert])


def test_prometheus_takes_every_rule(run: Driven) -> None:
    found = run.prometheus.rules()
    assert {rule["name"] for rule in found} == ALERTS.keys()
    assert {rule["health"] for rule in found} == {"ok"}, [rule.get("lastError") for rule in found]


def test_one_target_has_both_workers_of_the_shop(run: Driven) -> None:
    found = run.prometheus.query(f'count by (instance) (stream_retrain_worker_state{{pipeline="{run.shop}"}})')
    assert [each["value"][1] for each in found] == ["2"]


def test_the_panels_can_be_looked_at(run: Driven, tmp_path: Path) -> None:
    folder = Path(os.environ.get("STREAM_RETRAIN_PICTURES") or tmp_path)
    for name in BOARDS:
        chosen = f"{run.shop}|{run.adaptive}" if name.endswith("overview") else run.shop
        for picture in pictures(name, run.prometheus, values(run, chosen), run.start_s, run.end_s, folder):
            assert picture.read_bytes().startswith(b"\x89PNG")
            assert picture.stat().st_size > 5_000
