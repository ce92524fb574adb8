"""Several worker processes: restarted after a pause, stopped together, not restarted if that would not help. Real processes, no Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stream_retrain.engines.fleet import WorkerCommand, run_fleet

pytestmark = pytest.mark.slow

LIVE = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).open('a').write('x'); time.sleep(60)"
DIE = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write('x'); sys.exit(int(sys.argv[2]))"


def command(code: str, *arguments: str) -> WorkerCommand:
    return WorkerCommand([sys.executable, "-c", code, *arguments], dict(os.environ))


# It runs for as long as a worker takes to start at least, and ends as a worker does that was told to stop.
OBEY = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).open('a').write('x'); time.sleep(1.2); sys.exit(0)"


def starts(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


def test_one_that_dies_is_started_again_and_the_others_stay(tmp_path: Path) -> None:
    dying, living = tmp_path / "dying", tmp_path / "living"
    until_s = time.monotonic() + 30

    def enough() -> bool:
        return starts(dying) >= 3 or time.monotonic() > until_s

    started_s, told = time.monotonic(), list[int]()
    assert run_fleet([command(DIE, str(dying), "1"), command(LIVE, str(living))], enough, 5.0, told.append) == 0
    assert told == [0, 1, 0, 0], "who was started, each time"
    assert starts(dying) == 3
    assert starts(living) == 1
    assert 1.4 < time.monotonic() - started_s < 30, "pauses of a half and of one second"


def test_one_that_was_told_to_stop_is_started_again_at_once_and_one_that_just_ends_is_not(tmp_path: Path) -> None:
    told, ending = tmp_path / "told", tmp_path / "ending"
    started_s = time.monotonic()

    def enough() -> bool:
        return (starts(told) >= 4 and starts(ending) >= 2) or time.monotonic() - started_s > 30

    assert run_fleet([command(OBEY, str(told)), command(DIE, str(ending), "0")], enough, 5.0) == 0
    assert starts(told) >= 4
    assert 2 <= starts(ending) < 10, "with pauses of half a second, one, two and so on"


def test_all_stop_if_starting_again_would_not_help(tmp_path: Path) -> None:
    wrong, living = tmp_path / "wrong", tmp_path / "living"
    assert run_fleet([command(DIE, str(wrong), "2"), command(LIVE, str(living))], lambda: False, 5.0) == 2
    assert starts(wrong) == 1


PARENT = """
import os, sys
from stream_retrain.engines.fleet import WorkerCommand, run_fleet
child = (
    "import os, signal, sys, time; from stream_retrain.engines.fleet import PARENT_VARIABLE; from stream_retrain.engines.parent import"
    " end_with_parent; end_with_parent(int(os.environ[PARENT_VARIABLE]), signal.SIGTERM);"
    " os.write(1, b'%d%c' % (os.getpid(), 10)); time.sleep(60)"  # a line at once: the other writes there too
)
run_fleet([WorkerCommand([sys.executable, "-c", child], dict(os.environ))] * 2, lambda: False, 5.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux alone tells a child of its parent's end")
def test_worker_processes_end_with_a_parent_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        children = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
    gone, left = psutil.wait_procs(children, timeout=5)
    assert (len(gone), left) == (2, [])
