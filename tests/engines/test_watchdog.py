"""The watchdog: what it says of a loop that turns, that stands still, and that was told to stop."""

from __future__ import annotations

import io
import logging
import signal
import subprocess
import sys
import threading
import time

import pytest

from stream_retrain.engines import watchdog as watchdog_module
from stream_retrain.engines.watchdog import ENDS_AFTER_S, STOP_GRACE_S, Watchdog

LOOP_S, SHUTDOWN_S = 60.0, 5.0


class Watched:
    """A watchdog whose time is told and whose process does not end."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.told = False
        self.ended: list[int] = []
        self.dog = Watchdog(
            lambda: self.told, loop_timeout_s=LOOP_S, shutdown_timeout_s=SHUTDOWN_S, clock_s=lambda: self.now_s, end=self.ended.append
        )

    def passes(self, seconds: float, *, turning: bool = False) -> None:
        for _ in range(round(seconds)):
            self.now_s += 1.0
            if turning:
                self.dog()
            self.dog.look(1.0)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_loop_that_turns_is_left_alone(watched: Watched) -> None:
    watched.passes(1_000, turning=True)
    assert watched.dog.turning()
    assert not watched.ended


def test_a_loop_that_stands_still_is_unhealthy_and_then_ends(watched: Watched) -> None:
    watched.passes(LOOP_S - 1)
    assert watched.dog.turning()
    watched.passes(1)
    assert not watched.dog.turning()
    assert not watched.ended, "whoever asks /healthz has a moment to see it"
    watched.passes(ENDS_AFTER_S)
    assert watched.ended == [1]


def test_a_loop_that_turns_again_in_time_is_healthy_again(watched: Watched) -> None:
    watched.passes(LOOP_S + 5)
    watched.passes(1, turning=True)
    assert watched.dog.turning()
    watched.passes(LOOP_S - 1)
    assert not watched.ended


def test_told_to_stop_everything_has_one_deadline(watched: Watched) -> None:
    assert watched.dog.deadline_s() == float("inf")
    watched.told = True
    assert watched.dog(), "the loop is told"
    assert watched.dog.deadline_s() == watched.now_s + SHUTDOWN_S
    watched.passes(3, turning=True)
    assert watched.dog.remaining_s() == SHUTDOWN_S - 3


def test_told_to_stop_the_process_ends_whatever_still_turns(watched: Watched) -> None:
    watched.told = True
    watched.passes(SHUTDOWN_S, turning=True)
    assert not watched.ended
    watched.passes(STOP_GRACE_S, turning=True)
    assert watched.ended == [1]


def test_a_log_that_takes_nothing_does_not_keep_the_process(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "SAY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(logging, "shutdown", lambda: None)
    handler = logging.StreamHandler(io.StringIO())
    watchdog_module.LOG.addHandler(handler)
    watching = threading.Thread(target=watched.passes, args=(LOOP_S + ENDS_AFTER_S,), daemon=True)
    handler.acquire()  # as the loop does that hangs in a line of its own
    try:
        watching.start()
        watching.join(10)
        assert watched.ended == [1]
    finally:
        watchdog_module.LOG.removeHandler(handler)
        handler.release()
        for thread in threading.enumerate():
            if thread.name == "last words":
                thread.join()


STUCK = """
import ctypes
from stream_retrain.cli.signals import stop_on_signals
from stream_retrain.engines.watchdog import Watchdog
mutex = ctypes.create_string_buffer(64)
lock = ctypes.CDLL(None).pthread_mutex_lock
with Watchdog(stop_on_signals(), loop_timeout_s=60, shutdown_timeout_s=0.5):
    lock(mutex)
    print("stuck", flush=True)
    lock(mutex)  # a call that does not return, and that no signal ends
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_process_that_is_stuck_in_a_call_still_obeys(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3)
        started_s = time.monotonic()
        process.send_signal(number)
        try:
            process.wait(60)
        finally:
            process.kill()
        assert process.returncode == 1
        assert time.monotonic() - started_s < 10
        assert process.stderr
        assert "told to stop" in process.stderr.read()
