"""Handlers tried with examples: one attempt each, in the process and within the limits that they will have; no Kafka is needed.

An integration is tried once: it is not called with what never happened, but asks whether the other system answers (`Integration.trial`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from stream_retrain.core.callbacks import Callbacks, NamedHandler, Webhook
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.callbacks.runner import Place, Runner
from stream_retrain.lane.decision import read_decision

__all__ = ["Tried", "try_handlers"]

STEP_S: Final = 0.01


class Tried(NamedTuple):
    """What became of a handler's call with one example."""

    handler: str
    kind: str
    text: str
    seconds: float
    error: str | None
    """None: it was taken."""


def try_handlers(handlers: Iterable[NamedHandler], target: str, examples: Iterable[bytes]) -> Iterator[Tried]:
    """Call each handler with the examples it asks for. Raises `CallbackError`."""
    values = list(examples)
    with contextlib.closing(Forker()) as forker:
        for handler in handlers:
            with contextlib.closing(Runner(handler, target, forker)) as runner:
                for number, value in enumerate(values):
                    decision = read_decision(value)
                    if decision is not None and runner.asks_for(decision):
                        yield _try(runner, Place(0, number, None, value, decision))
                        if not isinstance(handler.declared, Callbacks | Webhook):
                            break


def _try(runner: Runner, place: Place) -> Tried:
    runner.add(place)
    runner.turn()
    while runner.busy:
        time.sleep(STEP_S)
        runner.turn(begin=False)
    told = runner.told()
    runner.forget({place.partition})
    return Tried(runner.name, place.decision.kind, place.decision.text, sum(told.seconds), told.error or None)
