"""The units: systemd takes them, and what they name is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stream_retrain.cli import app
from stream_retrain.settings import Settings, load_settings
from tests.deploy.compose import ROOT, seconds

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
PROGRAM = "/opt/stream_retrain/bin/stream-retrain"
units = pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])


def options(unit: Path) -> dict[str, list[str]]:
    """The options of a unit; one may be given several times."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@units
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: units are only read")
    copy = tmp_path / unit.name  # with a program that is there
    copy.write_text(unit.read_text().replace(PROGRAM, sys.executable))
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    mine = [line for line in ran.stderr.splitlines() if unit.stem.rstrip("@") in line]
    assert (ran.returncode, mine) == (0, [])


@units
def test_it_runs_a_command_that_there_is(unit: Path) -> None:
    [command] = options(unit)["ExecStart"]
    program, name, pipeline, option, settings = command.split()
    assert (program, option) == (PROGRAM, "--settings")
    assert {pipeline, settings} == {"/etc/stream_retrain/%i.py", "/etc/stream_retrain/%i.toml"}
    assert CliRunner().invoke(app(), [name, "--help"]).exit_code == 0


@units
def test_every_variable_is_a_setting(unit: Path) -> None:
    given = dict(pair.split("=", 1) for line in options(unit)["Environment"] for pair in line.split())
    given = {name: value.replace("%H-%i", "host-orders") for name, value in given.items()}
    assert isinstance(load_settings(None, given), Settings)
    named = re.findall(r"(STREAM_RETRAIN_\w+)=", unit.read_text())
    assert "STREAM_RETRAIN_SIGNING_KEY_FILE" in named


@units
def test_it_may_do_little_and_is_given_the_time_to_stop(unit: Path) -> None:
    found = options(unit)
    assert found["DynamicUser"] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["LoadCredential"] == ["signing.key:/etc/stream_retrain/signing.key"]
    assert found["Restart"] == ["on-failure"]
    assert seconds(f"{found['TimeoutStopSec'][0]}s") > Settings().shutdown_timeout_s + 2
    assert "ProcSubset" not in found, "/proc/stat tells when the process started, for an alert"
