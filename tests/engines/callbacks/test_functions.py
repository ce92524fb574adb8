"""Functions of the user's module in processes of their own: whatever one of them does, the others are called, and the next decision is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_retrain.core.callbacks import handlers_of
from stream_retrain.engines.callbacks.dispatcher import Dispatcher
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.callbacks.runner import Over, Runner
from stream_retrain.errors import CallbackError
from stream_retrain.loading import load_pipeline
from tests.engines.callbacks.support import place_of, until, value_of

pytestmark = pytest.mark.slow

FILE = """
import os, subprocess, sys, time
from river import linear_model
from stream_retrain import Callbacks, Pipeline, Schema

TOOK = "{took}"

def told(name, decision):
    with open(TOOK, "a") as file:
        file.write(f"{{name}} {{decision.id}} {{decision.text}}\\n")

def well(decision):
    print("on standard output")
    told("well", decision)

def raises(decision):
    raise ValueError("secret value 4111")

def leaves(decision):
    os._exit(0)

def exits(decision):
    sys.exit("that is all")

def hangs(decision):
    child = subprocess.Popen(["sleep", "600"])
    told(f"began {{child.pid}}", decision)
    while True:
        time.sleep(1)

def eats(decision):
    told("had", decision)
    held = [bytearray(50_000_000) for _ in range(100)]

pipeline = Pipeline(
    name="shop", task="binary", source="shop.orders", model=linear_model.LogisticRegression(),
    schema=Schema(id="id", label="y", features={{"a": float}}),
    callbacks=Callbacks(on_drift=well, on_challenge=raises, on_promotion=leaves, on_rollback=exits, on_success=hangs, on_failure=eats,
                        timeout_s=1.5, attempts_max=2, pause_s=0.05, memory_bytes_max=200_000_000),
)
"""


class Shop:
    def __init__(self, folder: Path) -> None:
        self.file, self._took = folder / "callbacks_shop.py", folder / "took"
        self._took.touch()
        self.file.write_text(FILE.format(took=self._took))
        self.buried: list[Over] = []
        self.forker = Forker()
        self.runners = {each.name: Runner(each, str(self.file), self.forker) for each in handlers_of(load_pipeline(str(self.file)))}
        self.dispatcher = Dispatcher("shop", list(self.runners.values()), self.buried.append)
        self.dispatcher.assign(0, 0)

    @property
    def took(self) -> list[str]:
        return self._took.read_text().splitlines()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    found = Shop(tmp_path)
    yield found
    found.dispatcher.close()
    found.forker.close()


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_one_that_raises_leaves_exits_hangs_or_eats_memory_stops_no_other(shop: Shop) -> None:
    decisions = [
        value_of("drift.detected", 1),
        value_of("duel.started", 2),
        value_of("duel.ended", 3, result="promoted"),
        value_of("duel.lead_changed", 4, now="champion"),
        value_of("training.failed", 5),
        value_of("drift.detected", 6),
    ]
    for offset, value in enumerate(decisions):
        shop.dispatcher.take(0, offset, None, value)
    until(lambda: shop.dispatcher.idle, shop.dispatcher.turn, 120)
    dead = {over.handler: over.dead.error for over in shop.buried if over.dead is not None}
    assert dead == {
        "on_challenge": "ValueError: secret value 4111",
        "on_promotion": "its process ended during the call",
        "on_rollback": "SystemExit: that is all",
        "on_success": "it took longer than timeout_s=1.5, and was ended",
        "on_failure": "MemoryError: it took more than memory_bytes_max",
    }
    assert all(over.dead is not None and over.dead.attempts == 2 for over in shop.buried)
    assert [line for line in shop.took if line.startswith("well")] == [
        "well shop.orders/0/1/0/drift.detected ADWIN detected that error went up",
        "well shop.orders/0/6/0/drift.detected ADWIN detected that error went up",
    ]
    assert shop.dispatcher.positions() == {0: 6}
    sleepers = [int(line.split()[1]) for line in shop.took if line.startswith("began")]
    assert len(sleepers) == 2
    until(lambda: not any(map(is_there, sleepers)), seconds=10)


def test_a_child_that_is_killed_is_no_end_and_one_that_was_idle_costs_no_attempt(shop: Shop) -> None:
    well = shop.runners["on_drift"]
    over: list[Over] = []

    def turn() -> None:
        over.extend(filter(None, [well.turn()]))

    well.add(place_of(value_of(offset=1)))
    until(lambda: len(over) == 1, turn)
    assert well.child_pid is not None
    os.kill(well.child_pid, signal.SIGKILL)
    until(lambda: well.child_pid is None, turn)
    well.add(place_of(value_of(offset=2)))
    until(lambda: len(over) == 2, turn)
    assert [each.dead for each in over] == [None, None]
    assert well.told().failed == 0


def test_a_module_that_was_broken_meanwhile_costs_no_decision(shop: Shop) -> None:
    shop.file.write_text("this is no Python\n")
    shop.dispatcher.take(0, 0, None, value_of())
    with pytest.raises(CallbackError, match="SyntaxError"):
        until(lambda: False, shop.dispatcher.turn)
    assert shop.dispatcher.positions() == {0: 0}
    assert shop.buried == []


def test_what_a_log_says_of_a_failure_repeats_no_value(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    raises = shop.runners["on_challenge"]
    raises.add(place_of(value_of("duel.started")))
    began_s = time.monotonic()
    until(lambda: raises.waiting == 0, raises.turn)
    assert time.monotonic() - began_s < 60
    said = [record.getMessage() for record in caplog.records if record.name == "stream_retrain.callbacks"]
    assert [("again in" in line, "dead letter" in line) for line in said] == [(True, False), (False, True)]
