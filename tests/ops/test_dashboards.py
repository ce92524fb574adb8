"""The dashboards: generated and current, whole as Grafana wants them, and in step with the catalogue. No Grafana is to be had here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import generated
from stream_retrain.ops import DASHBOARDS, export_dashboards, export_rules, rules_text
from stream_retrain.views.catalogue import CATALOGUE
from tests.ops.boards import BOARDS, filled, panels, queries
from tests.ops.support import debian

EXPOSED = {family.exposed for family in CATALOGUE}
HISTOGRAMS = {family.exposed: family for family in CATALOGUE if family.kind == "histogram"}
boards = pytest.mark.parametrize("name", BOARDS)

NOT_SHOWN = {
    "stream_retrain_build_info": "for joins, and to see which release runs",
    "stream_retrain_quality_bigger_is_better": "for the alert on quality",
    "stream_retrain_restores_told_total": "for whoever verifies a run: the dashboards count restores",
    "stream_retrain_artifacts_evicted_total": "for whoever wants to verify old runs, which nobody is woken for",
    "stream_retrain_artifacts_evicted_bytes_total": "the same",
    "stream_retrain_memory_max_bytes": "absent until a process comes near it, which the log and an alert say",
    "stream_retrain_schedules_missed_total": "each is a line of the log, and stands in `status`",
    "stream_retrain_merge_seconds": "the scrape's own duration says as much to Prometheus",
}
"""Families that no dashboard shows, and why."""


def names(text: str) -> set[str]:
    """The families that a text of PromQL names."""
    found = set(re.findall(r"stream_retrain_[a-z_]+", text))
    return {
        re.sub(r"_(bucket|sum|count)$", "", name) if re.sub(r"_(bucket|sum|count)$", "", name) in HISTOGRAMS else name for name in found
    }


def test_the_files_are_what_the_code_makes() -> None:
    assert {path.name: path.read_text() for path in DASHBOARDS.iterdir()} == generated(), "run `make dashboards`"


@boards
def test_grafana_s_own_model_reads_it(name: str) -> None:
    read: Any = Dashboard.from_json(BOARDS[name])
    assert (read.uid, read.title) == (BOARDS[name]["uid"], BOARDS[name]["title"])
    assert len(read.panels) == len(BOARDS[name]["panels"])


@boards
def test_panels_have_ids_of_their_own_a_unit_a_sentence_and_a_place_that_is_theirs(name: str) -> None:
    board = BOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, f"{panel['title']} overlaps"
        assert place["x"] + place["w"] <= 24
        taken |= cells
    for panel in panels(board):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith((".", "?")), panel["title"]
        assert panel["targets"], panel["title"]
        assert len(panel["title"]) < 60


@boards
def test_nothing_is_bound_to_a_data_source_of_somebody(name: str) -> None:
    text = json.dumps(BOARDS[name])
    assert set(re.findall(r'"uid": "([^"]+)"', text)) == {"${datasource}", BOARDS[name]["uid"]}
    for panel in panels(BOARDS[name]):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@boards
def test_every_variable_that_is_used_is_there_and_every_one_that_is_there_is_used(name: str) -> None:
    declared = {variable["name"] for variable in BOARDS[name]["templating"]["list"]} - {"datasource"}
    used = {found for query in queries(name) for found in re.findall(r"\$(\w+)", query.expression)}
    assert {each for each in used if not each.startswith("__")} == declared


def test_what_a_row_leads_to_is_the_other_board() -> None:
    [table] = [panel for panel in panels(BOARDS["stream_retrain_overview"]) if panel["type"] == "table"]
    [link] = re.findall(r"/d/([\w-]+)\?", json.dumps(table))
    assert link == BOARDS["stream_retrain_pipeline"]["uid"]


@boards
def test_every_metric_is_in_the_catalogue(name: str) -> None:
    for query in queries(name):
        assert names(query.expression) <= EXPOSED, query


def test_every_family_is_shown_or_has_a_reason_why_not() -> None:
    shown = {each for name in BOARDS for query in queries(name) for each in names(query.expression)}
    assert EXPOSED - shown == NOT_SHOWN.keys()
    assert names(rules_text("x")) <= EXPOSED


def test_variables_are_filled_in_as_grafana_does() -> None:
    assert filled('rate(a{p=~"$pipeline"}[$__rate_interval])', {"pipeline": ".*"}, interval="4m") == 'rate(a{p=~".*"}[4m])'


@pytest.mark.slow
def test_the_export_is_what_grafana_reads(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stream_retrain", "dashboards", "export", str(tmp_path / "new"), "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written = [Path(path) for path in json.loads(done.stdout)["written"]]
    assert {path.relative_to(tmp_path / "new").parts[0] for path in written} == {"dashboards", "provisioning"}
    assert all(path.read_bytes() for path in written)
    assert written == export_dashboards(tmp_path / "new"), "again, over what is there"
    [source] = yaml.safe_load((tmp_path / "new/provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", "15s")
    [provider] = yaml.safe_load((tmp_path / "new/provisioning/dashboards/stream_retrain.yaml").read_text())["providers"]
    assert provider["type"] == "file"


@pytest.mark.slow
def test_the_rules_are_exported_with_a_configuration_that_reads_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stream_retrain", "rules", "export", str(tmp_path), "--runbooks", "https://example.org/r/"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "https://example.org/r/StreamRetrainDown.md" in (tmp_path / "stream_retrain.rules.yml").read_text()
    configuration = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    assert configuration["rule_files"] == ["stream_retrain.rules.yml"]
    assert [job["job_name"] for job in configuration["scrape_configs"]] == ["stream_retrain"]


@pytest.mark.slow
def test_the_configuration_s_lines_for_tls_and_token_are_right_once_uncommented(tmp_path: Path) -> None:
    [_, configuration] = export_rules(tmp_path, "https://example.org/r/")
    for name in ("http.crt", "http.token"):
        (tmp_path / name).write_text("x")
    text = re.sub(r"^    # (?!Where)", "    ", configuration.read_text(), flags=re.MULTILINE)
    configuration.write_text(text)
    [job] = yaml.safe_load(text)["scrape_configs"]
    assert (job["scheme"], job["tls_config"], job["authorization"]) == (
        "https",
        {"ca_file": "http.crt"},
        {"credentials_file": "http.token"},
    )
    done = subprocess.run([debian("promtool"), "check", "config", "--syntax-only", str(configuration)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@boards
def test_bars_count_each_event_once(name: str) -> None:
    """A bar is as wide as the span it counts over: wider than a few scrapes, and next to the one before."""
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            bars = panel["fieldConfig"]["defaults"].get("custom", {}).get("drawStyle") == "bars"
            assert bars == ("[$__interval]" in target["expr"]), panel["title"]
            assert target.get("interval") == ("1m" if bars else None), panel["title"]


@pytest.mark.parametrize(
    ("name", "export"),
    [
        ("prometheus.yml", lambda folder: export_rules(folder, "docs/runbooks")),
        ("provisioning/datasources/prometheus.yaml", export_dashboards),
    ],
)
def test_a_configuration_that_is_not_ours_is_not_overwritten(tmp_path: Path, name: str, export: Callable[[Path], list[Path]]) -> None:
    own = tmp_path / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.write_text("global: {}\n")
    with pytest.raises(FileExistsError, match="choose another folder"):
        export(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
    assert own.read_text() == "global: {}\n"
