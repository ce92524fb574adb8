"""Ladder (c): a short chaos run, as `make chaos` does it for longer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.services

SECONDS = 25
FAULTS_MIN = 5


def storm(*options: str) -> tuple[dict[str, Any], str]:
    """What it came to, and what it said meanwhile."""
    command = [sys.executable, "-m", "benchmarks.chaos", "--seed", "11", "--rate", "300", *options]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    shown = json.loads(ended.stdout.splitlines()[-1])
    assert (shown["lost"], shown["duplicated"], shown["different"], shown["state_equal"]) == (0, 0, 0, True)
    return shown, ended.stderr


def test_a_short_storm_is_exactly_once() -> None:
    shown, _ = storm("--seconds", str(SECONDS))
    figures = ["seed", "faults", "events", "lost", "duplicated", "different", "state_equal", "standstill_s", "moved_again_s", "stop_s"]
    assert list(shown) == figures
    assert shown["faults"] >= FAULTS_MIN


def test_so_is_one_in_which_kafka_forgets_the_offsets() -> None:
    shown, said = storm("--seconds", "12", "--brokers", "1", "--faults", "offsets_expire")
    assert shown["faults"] >= 1
    assert "the group's offsets are gone" in said
