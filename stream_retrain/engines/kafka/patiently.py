"""A question to Kafka, asked again where it is refused for a moment: by a leader that was just elected, or beside an open transaction."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

__all__ = ["ELECTING", "patiently"]

_Answer = TypeVar("_Answer")
# OFFSET_NOT_AVAILABLE, of which the client's binding has no name: the new leader does not know yet how far its log is committed.
ELECTING: Final = frozenset({78, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})


def patiently(
    call: Callable[[], _Answer],
    passes: Callable[[KafkaError], bool],
    until_s: float,
    *,
    pause_s: float,
    stop: Callable[[], bool] = lambda: False,
    clock_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Answer:
    """What `call` returns; repeated until `until_s` of the clock where what it raises passes by itself.

    Raises the last `KafkaException`, also once `stop()` says so.
    """
    while True:
        try:
            return call()
        except KafkaException as error:
            if not passes(error.args[0]) or stop() or clock_s() >= until_s:
                raise
            sleep(pause_s)
