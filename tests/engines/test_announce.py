"""A worker tells the store how it stands, and what goes wrong with that is its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from stream_retrain.engines.announce import Announcer
from stream_retrain.errors import StoreError
from stream_retrain.stores import connect
from stream_retrain.views.status import Status

GROUP = "stream_retrain.flights"


def until(holds: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def test_it_tells_at_once_and_again_and_takes_it_back_at_the_end() -> None:
    store, status, threads = connect("memory://").workers, Status("flights", "a-0"), set()

    def shown() -> dict[str, Any]:
        threads.add(threading.current_thread().name)
        return status.snapshot()

    with Announcer(store, GROUP, "a-0", shown, "http://here", every_s=0.02):
        until(lambda: bool(store.all(GROUP)))
        assert store.all(GROUP)[0].status.url == "http://here"
        status.detail = "something new"
        until(lambda: store.all(GROUP)[0].status.detail == "something new")
    assert store.all(GROUP) == []
    assert threads == {"announce"}


class Away:
    """A store that does not answer, for a while or at all."""

    def __init__(self, error: Exception, answers_after: int = 10**9) -> None:
        self.error, self.left, self.told, self.blocks = error, answers_after, 0, threading.Event()

    def tell(self, *_: object) -> None:
        if self.left > 0:
            self.left -= 1
            raise self.error
        self.told += 1

    def all(self, *_: object) -> list[object]:
        return []

    def drop(self, *_: object) -> None:
        self.blocks.wait(20)


def test_a_store_that_is_away_ends_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for error in (StoreError("away"), RuntimeError("odd")):
        caplog.clear()
        store = Away(error, answers_after=3)
        with Announcer(store, GROUP, "a-0", Status("flights", "a-0").snapshot, every_s=0.01):
            until(lambda store=store: store.told > 1)
            store.blocks.set()
        warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warned == [f"how this worker stands could not be told, so stream-retrain status does not show it: {error}"]


def test_a_store_that_hangs_does_not_hold_up_the_end() -> None:
    store = Away(StoreError("away"), answers_after=0)
    with Announcer(store, GROUP, "a-0", Status("flights", "a-0").snapshot, every_s=0.01):
        until(lambda: store.told > 0)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5
    store.blocks.set()
