"""The relay's thread: what it tells the worker's loop, and that its trouble stays its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.kafka.relay import RelayThread
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.facts.worker import LabelsRelayed, RelayChanged, WorkerFact
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.relay.test_relay import Shop
from tests.engines.relay.test_router import pipeline


class Loop:
    """A worker's loop that does nothing but to look after its relay."""

    def __init__(self) -> None:
        self.facts: list[WorkerFact] = []
        self.told_to_stop = False
        self.watchdog = Watchdog(lambda: self.told_to_stop, loop_timeout_s=60, shutdown_timeout_s=5)
        self._now_s = 0.0

    def until(self, relay: RelayThread, holds: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 40
        while not holds():
            assert time.monotonic() < until_s, self.facts
            self._now_s += 1.0  # a second a turn, so that every turn tells
            relay.look(self._now_s)
            time.sleep(0.02)

    def of(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def states(self) -> list[str]:
        return [fact.state for fact in self.of(RelayChanged)]


@pytest.mark.slow
def test_without_a_broker_it_says_so_and_tries_again_until_it_is_stopped() -> None:
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1"})
    loop = Loop()
    with RelayThread(pipeline(), settings, "i", loop.watchdog, loop.facts.append) as relay:
        loop.until(relay, lambda: loop.states()[:1] == ["degraded"])
        loop.told_to_stop = True
        loop.until(relay, lambda: loop.states()[-1] == "stopped")
    [degraded] = [fact for fact in loop.of(RelayChanged) if fact.state == "degraded"][:1]
    assert "127.0.0.1:1" in degraded.detail
    assert "trying again in" in degraded.detail
    assert all(fact.relayed == 0 and fact.lag_records is None for fact in loop.of(LabelsRelayed))


@pytest.mark.slow
def test_an_error_nobody_thought_of_is_told_too_and_the_loop_goes_on() -> None:
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1", "kafka": {"debug": "nonsense"}})
    loop = Loop()
    with RelayThread(pipeline(), settings, "i", loop.watchdog, loop.facts.append) as relay:
        loop.until(relay, lambda: loop.states()[:1] == ["degraded"])
    assert "nonsense" in loop.of(RelayChanged)[0].detail


@pytest.mark.services
def test_counts_are_those_since_the_last_time_and_the_rest_is_how_it_stands(services: Services, tmp_path: Path) -> None:
    shop, loop = Shop(services, tmp_path, 2), Loop()
    ids = shop.ask(30)
    shop.predicted(ids[:20])
    shop.label(ids)
    shop._producer.produce(shop.labels, b"no json", partition=0)
    assert shop._producer.flush(20) == 0

    def total() -> int:
        return sum(fact.relayed for fact in loop.of(LabelsRelayed))

    with RelayThread(shop.pipeline, shop.settings, "i", loop.watchdog, loop.facts.append) as relay:
        loop.until(relay, lambda: total() == 20 and loop.of(LabelsRelayed)[-1].lag_records == 0)
        last = loop.of(LabelsRelayed)[-1]
        assert (last.waiting, last.questions) == (10, 20)
        assert sum(fact.rejected.get("decode", 0) for fact in loop.of(LabelsRelayed)) == 1
        shop.predicted(ids)
        loop.until(relay, lambda: total() == 30 and loop.of(LabelsRelayed)[-1].waiting == 0)
        assert loop.states() == ["running"]
        began_s = time.monotonic()
        loop.told_to_stop = True
    assert time.monotonic() - began_s < 5.0
    loop.until(relay, lambda: loop.states()[-1] == "stopped")
    with RelayThread(shop.pipeline, shop.settings, "i", Loop().watchdog, loop.facts.append) as again:
        loop.until(again, lambda: loop.states()[-1] == "running")
    assert sorted(id_ for found in shop.brought().values() for id_ in found) == sorted(ids)
