"""The alerts as promtool sees them: each fires when it should and is silent when it should, and each has its page."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream_retrain
from stream_retrain.ops import RULES, rules_text
from stream_retrain.views.catalogue import CATALOGUE, PREFIX
from tests.ops.alerts import CASES, Case
from tests.ops.support import debian

ROOT = Path(stream_retrain.__file__).parent.parent
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(rules_text("docs/runbooks"))["groups"] for rule in group["rules"]
}
OURS = {family.name + {"counter": "_total"}.get(family.kind, "") for family in CATALOGUE}


def promtool_test(alert: str, case: Case) -> dict[str, Any]:
    """One case as a test of promtool; other alerts may fire on the same series."""

    def named(series: str) -> str:
        name = series.partition("{")[0]
        return series if name not in OURS | {f"{each}_count" for each in OURS} else PREFIX + series

    severity = ALERTS[alert]["labels"]["severity"]
    firing = [f'ALERTS{{alertname="{alert}",alertstate="firing",severity="{severity}",{labels}}}' for labels in case.fires]
    return {
        "interval": "1m",
        "input_series": [{"series": named(series), "values": values} for series, values in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{alert}",alertstate="firing"}}',
                "eval_time": f"{case.at}m",
                "exp_samples": [{"labels": labels, "value": 1} for labels in firing],
            }
        ],
    }


@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_is_silent_when_it_should(alert: str, tmp_path: Path) -> None:
    tool = debian("promtool")
    (tmp_path / "rules.yml").write_text(rules_text("docs/runbooks"))
    tests = [promtool_test(alert, case) for case in CASES[alert]]
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    done = subprocess.run([tool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, f"{[case.what for case in CASES[alert]]}: {done.stdout}{done.stderr}"


def test_each_alert_has_cases_of_both_kinds() -> None:
    assert CASES.keys() == ALERTS.keys()
    for alert, cases in CASES.items():
        assert {bool(case.fires) for case in cases} == {True, False}, alert


def test_promtool_finds_no_fault(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rules_text("https://example.org/runbooks/"))
    done = subprocess.run([debian("promtool"), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page = ROOT / rule["annotations"]["runbook_url"]
    assert page.name == f"{alert}.md"
    text = page.read_text()
    assert text.startswith(f"# {alert}\n")
    for heading in ("## What it means", "## What to look at", "## What to do"):
        assert f"\n{heading}\n" in text
    assert "```" in text, "with commands to copy"


def test_there_is_no_page_of_an_alert_that_is_gone() -> None:
    assert {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"} == ALERTS.keys()


def test_each_alert_waits_unless_its_expression_does() -> None:
    for alert, rule in ALERTS.items():
        assert "for" in rule or re.search(r"\[\d+m\]", rule["expr"]), alert


def test_the_address_of_the_runbooks_is_the_one_asked_for() -> None:
    assert "RUNBOOKS" in RULES.read_text()
    text = rules_text("https://example.org/runbooks/")
    assert "RUNBOOKS" not in text
    assert text.count("runbook_url: https://example.org/runbooks/StreamRetrain") == len(ALERTS)


def test_every_metric_of_an_alert_is_in_the_catalogue() -> None:
    exposed = {family.exposed for family in CATALOGUE} | {f"{family.exposed}_count" for family in CATALOGUE if family.kind == "histogram"}
    for alert, rule in ALERTS.items():
        assert set(re.findall(r"stream_retrain_[a-z_]+", rule["expr"])) <= exposed, alert
