"""How long a restore took, told with what came of it."""

from __future__ import annotations

import dataclasses
import time

from stream_retrain.facts.worker import Restored, Tell, WorkerFact

__all__ = ["restore_timed"]


def restore_timed(tell: Tell) -> Tell:
    """`tell`, which is told of a restore how long it took: from now until then."""
    started_s = time.perf_counter()

    def timed(fact: WorkerFact) -> None:
        tell(dataclasses.replace(fact, seconds=time.perf_counter() - started_s) if isinstance(fact, Restored) else fact)

    return timed
