"""The relay beside a worker: a thread that makes attempts, and what it has to tell, for the worker's loop to say.

Its trouble is not the worker's: a labels topic that is missing, a transaction that is refused or a broker that is away end an attempt, and
another is made after a pause. The worker goes on with what its source holds.
"""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.backoff import Backoff
from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.engines.kafka.relay.relay import Relay
from stream_retrain.engines.kafka.relay.router import Plan
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.worker import LabelsRelayed, RelayChanged, RelayState, Tell
from stream_retrain.settings import Settings

__all__ = ["RelayThread"]

LOG: Final = logging.getLogger("stream_retrain.labels")
WAIT_MAX_S: Final = 5.0
GOT_ON_AFTER_S: Final = 10.0
STEP_S: Final = 0.1
TELL_EVERY_S: Final = 1.0
CHANGES_MAX: Final = 20
JOIN_S: Final = 4.0


class _Ending:
    """Whether the relay is to stop; a wait lasts no longer than the worker may, once that is told to stop."""

    def __init__(self, worker: Stop) -> None:
        self._event = threading.Event()
        self._worker = worker

    def __call__(self) -> bool:
        return self._event.is_set() or self._worker.deadline_s() < math.inf

    def deadline_s(self) -> float:
        return self._worker.deadline_s()

    def remaining_s(self) -> float:
        return self._worker.remaining_s()

    def end(self) -> None:
        self._event.set()


class RelayThread:
    """A context manager: the thread runs inside of it. `look` is called by the worker's loop, which tells what there is to tell."""

    def __init__(self, pipeline: Pipeline, settings: Settings, instance: str, worker: Stop, tell: Tell) -> None:
        self._pipeline, self._settings, self._instance = pipeline, settings, instance
        self._stop = _Ending(worker)
        self._tell = tell
        self._lock = threading.Lock()
        self._changes: collections.deque[RelayChanged] = collections.deque(maxlen=CHANGES_MAX)
        self._told: tuple[RelayState, str] | None = None
        self._relayed, self._rejected = 0, collections.Counter[RejectReason]()
        self._waiting = self._known = 0
        self._lag: int | None = None
        self._lag_at_s = 0.0
        self._tell_at_s = 0.0
        self._thread = threading.Thread(target=self._run, name="labels", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.end()
        self._thread.join(max(STEP_S, min(JOIN_S, self._stop.remaining_s())))

    def look(self, now_s: float) -> None:
        """Tell what has happened since, once a second at most."""
        if now_s < self._tell_at_s:
            return
        self._tell_at_s = now_s + TELL_EVERY_S
        with self._lock:
            changes, rejected = list(self._changes), dict(self._rejected)
            told = LabelsRelayed(
                relayed=self._relayed, rejected=rejected, waiting=self._waiting, questions=self._known, lag_records=self._lag
            )
            self._changes.clear()
            self._rejected.clear()
            self._relayed = 0
        for change in changes:
            self._tell(change)
        self._tell(told)

    def _run(self) -> None:
        backoff = Backoff(max_s=WAIT_MAX_S)
        while not self._stop():
            began_s = time.monotonic()
            try:
                self._attempt()
            except Exception as error:
                if not isinstance(error, BrokerError):
                    LOG.error("the relay of labels failed", exc_info=error)
                now_s = time.monotonic()
                if now_s - began_s > GOT_ON_AFTER_S:
                    backoff.reset()
                wait_s = backoff.failed(now_s)
                self._enter("degraded", f"{error}; trying again in {wait_s:.1f} s")
                while not backoff.may_try(time.monotonic()) and not self._stop():
                    time.sleep(STEP_S)
        self._enter("stopped", "")

    def _attempt(self) -> None:
        """Raises `BrokerError`."""
        try:
            relay = Relay(self._pipeline, self._settings, self._instance, self._stop)
            try:
                relay.start()
                self._enter("running", f"labels of topic {self._pipeline.labels.topic} go to {self._pipeline.source}")
                while not self._stop():
                    relay.turn(self._turned)
                    self._measure(relay)
            finally:
                relay.close()
        except KafkaException as error:
            raise broker_error("relaying labels", error, self._settings) from None

    def _turned(self, plan: Plan, waiting: int, known: int) -> None:
        with self._lock:
            self._relayed += plan.relayed
            self._rejected.update(plan.rejected)
            self._waiting, self._known = waiting, known

    def _measure(self, relay: Relay) -> None:
        now_s = time.monotonic()
        if now_s >= self._lag_at_s:
            self._lag_at_s = now_s + TELL_EVERY_S
            lag = relay.lag()
            with self._lock:
                self._lag, self._waiting, self._known = lag, relay.router.waiting, len(relay.router.index)

    def _enter(self, state: RelayState, detail: str) -> None:
        if (state, detail) != self._told:
            self._told = state, detail
            with self._lock:
                self._changes.append(RelayChanged(state=state, detail=detail))
