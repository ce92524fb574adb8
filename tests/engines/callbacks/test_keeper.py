"""The process of callbacks beside a worker: what it tells is passed on, it is started again, and it ends with the worker."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from stream_retrain.engines.callbacks import keeper as keeper_module
from stream_retrain.engines.callbacks.keeper import CallbacksKept, fact_line, read_line
from stream_retrain.engines.fleet import PARENT_VARIABLE, WorkerCommand
from stream_retrain.facts.callbacks import CallbackFact, CallbacksChanged, CallbacksTold, HandlerTold
from tests.engines.callbacks.support import until

TOLD = CallbacksTold(
    handlers=(HandlerTold(name="on_drift", called=3, failed=1, retried=1, dead=0, seconds=(0.5, 1.0), waiting=2, error="é"),),
    lag_records=None,
)


def test_a_fact_is_the_same_after_a_line() -> None:
    for fact in (TOLD, CallbacksChanged(state="degraded", detail="Kafka\nis away")):
        line = fact_line(fact)
        assert line.count(b"\n") == 1
        assert read_line(line) == fact


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b'{"Other": {}}\n', b'{"CallbacksTold": {"handlers": 7}}\n', b"\xff\n", b'{"a": 1, "b": 2}\n']
)
def test_a_line_that_holds_no_fact_is_none(line: bytes) -> None:
    assert read_line(line) is None


def command(code: str) -> WorkerCommand:
    return WorkerCommand([sys.executable, "-c", code], dict(os.environ))


def test_what_it_tells_is_passed_on_when_the_worker_looks(tmp_path: Path) -> None:
    (tmp_path / "line").write_bytes(fact_line(TOLD))
    told: list[CallbackFact] = []
    code = f"import os, shutil, sys, time; assert os.environ['{PARENT_VARIABLE}'] == str(os.getppid()); print('no fact', flush=True)\n"
    code += f"sys.stdout.write(open({str(tmp_path / 'line')!r}).read()); sys.stdout.flush(); time.sleep(600)"
    with CallbacksKept(command(code), told.append, 5) as kept:
        until(lambda: bool(told), lambda: kept.look(0.0))
        pid = kept.pid
    assert told == [TOLD]
    assert pid is not None
    until(lambda: not Path(f"/proc/{pid}").exists(), seconds=10)


def test_one_that_ends_is_started_again_after_a_pause_and_that_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper_module, "WAIT_MAX_S", 0.5)
    told: list[CallbackFact] = []
    began = tmp_path / "began"
    with CallbacksKept(command(f"open({str(began)!r}, 'a').write('x'); raise SystemExit(2)"), told.append, 5) as kept:
        until(lambda: began.exists() and len(began.read_text()) >= 3, lambda: kept.look(0.0))
    assert told[0] == CallbacksChanged(state="degraded", detail="its process ended with exit code 2")


def test_one_that_does_not_end_when_it_is_told_to_is_killed(tmp_path: Path) -> None:
    code = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(tmp_path / 'up')!r}, 'w'); time.sleep(600)"
    with CallbacksKept(command(code), lambda _: None, 0.5) as kept:
        until((tmp_path / "up").exists)
        began_s, pid = time.monotonic(), kept.pid
    assert time.monotonic() - began_s < 10
    assert not Path(f"/proc/{pid}").exists()
