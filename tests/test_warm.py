"""Programs that are forked from a process that has imported River are processes like any other."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import warm

pytestmark = pytest.mark.slow

FILE = """
import json, os, sys, time
from river import linear_model
from stream_retrain import Pipeline, Schema
schema = Schema(id="id", label="y", features={"a": float})
p = Pipeline(name="p", task="binary", source="s", schema=schema, model=linear_model.LogisticRegression())
variables = sorted(each for each in os.environ.items() if not each[0].startswith("KMP_"))  # scikit-learn sets those when it is imported
print(json.dumps([os.getcwd(), hash("text"), variables, sys.path[:4]]), file=sys.stderr, flush=True)
if "WAIT" in os.environ:
    time.sleep(60)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "p.py").write_text(FILE)
    return tmp_path / "p.py"


@pytest.mark.parametrize("arguments", ["check p.py --json", "check p.py --no-such", "check none.py", "--version"])
def test_it_prints_and_ends_as_one_that_was_started_anew(file: Path, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    monkeypatch.chdir(file.parent)
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "NAME": "a \N{SNOWMAN}",
        "PYTHONPATH": "/nowhere",
    }
    command = [sys.executable, "-m", "stream_retrain", *arguments.split()]
    anew = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    forked = warm.run(arguments.split(), environment)
    assert (forked.returncode, forked.stdout, forked.stderr) == (anew.returncode, anew.stdout, anew.stderr)
    assert forked.stdout or forked.stderr


def test_signals_reach_it_and_are_told(file: Path) -> None:
    for number in (signal.SIGKILL, signal.SIGTERM):
        with warm.start(["check", str(file)], {**os.environ, "WAIT": "yes"}) as process:
            assert json.loads(process.stderr.readline())[0] == str(Path.cwd())
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.1)
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(10) == process.poll() == -number
            assert not psutil.pid_exists(process.pid)


def test_many_at_once_are_told_apart(file: Path) -> None:
    assert psutil.Process(warm.parent().pid).num_threads() == 1, "with more, a fork would not be sound"
    with contextlib.ExitStack() as stack:
        asked = [file if number % 2 else "none.py" for number in range(6)]
        processes = [stack.enter_context(warm.start(["check", str(each)], os.environ)) for each in asked]
        assert len({process.pid for process in processes}) == 6
        assert [process.wait(60) for process in processes] == [2, 0, 2, 0, 2, 0]
