"""The one supervised loop: the world goes away and comes back, and the worker with it.

An attempt that ends by itself is done. One that ends with `BrokerError` or `StoreError` is made again, after a pause that
doubles from half a second to thirty; nothing is lost meanwhile, because nothing was committed. `StateError` ends the worker:
trying again could only do harm.

`FencedError` has two causes that cannot be told apart: Kafka timed a transaction out while this process or Kafka hung, or another
process has this worker's name. After the first, an attempt mends it; after the second, the two would fence each other without
end. So it is tried again, but a worker that is fenced `FENCED_MAX` times, with no steady attempt between, ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stream_retrain.engines.facts import Retrying, Tell, WorkerStateChanged
from stream_retrain.errors import BrokerError, FencedError, StoreError, StreamRetrainError

__all__ = ["supervise"]

WAIT_MIN_S: Final = 0.5
WAIT_MAX_S: Final = 30.0
STEADY_AFTER_S: Final = 60.0
FENCED_MAX: Final = 5
STEP_S: Final = 0.1


def supervise(attempt: Callable[[], None], stop: Callable[[], bool], tell: Tell) -> None:
    """Make `attempt` until it ends by itself or `stop()` holds. Raises what no further attempt could mend."""
    wait_s, fenced = WAIT_MIN_S, 0
    while not stop():
        started_s = time.monotonic()
        try:
            attempt()
            break
        except (BrokerError, StoreError) as error:
            if time.monotonic() - started_s > STEADY_AFTER_S:
                wait_s, fenced = WAIT_MIN_S, 0
            fenced += isinstance(error, FencedError)
            if fenced >= FENCED_MAX:
                tell(WorkerStateChanged(state="failed", detail=str(error)))
                raise
            tell(Retrying(error=str(error), wait_s=wait_s))
            _wait(wait_s, stop)
            wait_s = min(WAIT_MAX_S, wait_s * 2)
        except StreamRetrainError as error:
            tell(WorkerStateChanged(state="failed", detail=str(error)))
            raise
    tell(WorkerStateChanged(state="stopped"))


def _wait(seconds: float, stop: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s and not stop():
        time.sleep(STEP_S)
