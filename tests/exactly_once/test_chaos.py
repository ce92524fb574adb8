"""Ladder (c): a short chaos run, as `make chaos` does it for longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.services

SECONDS = 25
FAULTS_MIN = 5


def test_a_short_storm_is_exactly_once() -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--seconds", str(SECONDS), "--seed", "11", "--rate", "300"]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    shown = json.loads(ended.stdout.splitlines()[-1])
    figures = ["seed", "faults", "events", "lost", "duplicated", "different", "state_equal", "standstill_s", "moved_again_s", "stop_s"]
    assert list(shown) == figures
    assert shown["faults"] >= FAULTS_MIN
    assert (shown["lost"], shown["duplicated"], shown["different"], shown["state_equal"]) == (0, 0, 0, True)
