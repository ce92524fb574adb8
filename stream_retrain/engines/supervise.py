"""The supervised loop: makes an attempt again that ended because Kafka or Redis failed.

An attempt that returns is the end of the loop. One that ends with `BrokerError` or `StoreError` is made again, after an exponential
back-off from half a second to five. Nothing is lost meanwhile, because nothing was committed. Any other error of ours, such as
`StateError`, ends the worker, because another attempt could only do harm.

`FencedError` has two causes that cannot be told apart. Either Kafka timed a transaction out while this process or Kafka hung: then
the next attempt succeeds. Or another process uses this worker's name: then the two would fence each other without end. So a
fenced worker tries again, but it ends once it was fenced `FENCED_MAX` times with no steady attempt between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from stream_retrain.engines.backoff import STEADY_AFTER_S, Backoff
from stream_retrain.errors import BrokerError, FencedError, StoreError, StreamRetrainError
from stream_retrain.facts.worker import Retrying, Tell, WorkerStateChanged

__all__ = ["supervise"]

WAIT_MAX_S: Final = 5.0
GOT_ON_AFTER_S: Final = 10.0
"""An attempt that lasted longer had reached Kafka and Redis: the next pause is the shortest again."""
FENCED_MAX: Final = 5
STEP_S: Final = 0.1


def supervise(attempt: Callable[[], None], stop: Callable[[], bool], tell: Tell) -> None:
    """Make `attempt` until one returns or `stop()` holds. Raises the errors that another attempt would not remove."""
    backoff, fenced = Backoff(max_s=WAIT_MAX_S), 0
    while not stop():
        started_s = time.monotonic()
        try:
            attempt()
            break
        except (BrokerError, StoreError) as error:
            now_s = time.monotonic()
            if now_s - started_s > GOT_ON_AFTER_S:
                backoff.reset()
            if now_s - started_s > STEADY_AFTER_S:
                fenced = 0
            fenced += isinstance(error, FencedError)
            if fenced >= FENCED_MAX:
                tell(WorkerStateChanged(state="failed", detail=str(error)))
                raise
            wait_s = backoff.failed(now_s)
            tell(Retrying(error=str(error), wait_s=wait_s))
            _wait(backoff, stop)
        except StreamRetrainError as error:
            tell(WorkerStateChanged(state="failed", detail=str(error)))
            raise
    tell(WorkerStateChanged(state="stopped"))


def _wait(backoff: Backoff, stop: Callable[[], bool]) -> None:
    while not backoff.may_try(time.monotonic()) and not stop():
        time.sleep(STEP_S)
