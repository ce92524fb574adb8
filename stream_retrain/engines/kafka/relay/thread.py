"""The relay beside a worker: a thread that makes attempts (`kafka.attempts`), and what it has to tell, for the worker's loop to say.

A relay that does not run is not the worker's trouble, which goes on with what its source holds.
"""

from __future__ import annotations

import collections
import threading
import time
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.attempts import Attempts
from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.engines.kafka.relay.relay import Relay
from stream_retrain.engines.kafka.relay.router import Plan
from stream_retrain.engines.watchdog import Stop
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.worker import LabelsRelayed, RelayChanged, Tell
from stream_retrain.settings import Settings

__all__ = ["RelayThread"]

TELL_EVERY_S: Final = 1.0


class RelayThread:
    """A context manager: the thread runs inside of it. `look` is called by the worker's loop, which tells what there is to tell."""

    def __init__(self, pipeline: Pipeline, settings: Settings, instance: str, worker: Stop, tell: Tell) -> None:
        self._pipeline, self._settings, self._instance = pipeline, settings, instance
        self._attempts = Attempts("labels", self._attempt, worker)
        self._tell = tell
        self._lock = threading.Lock()
        self._relayed, self._rejected = 0, collections.Counter[RejectReason]()
        self._waiting = self._known = 0
        self._lag: int | None = None
        self._lag_at_s = 0.0
        self._tell_at_s = 0.0

    def __enter__(self) -> Self:
        self._attempts.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._attempts.__exit__(kind, error, trace)

    def look(self, now_s: float) -> None:
        """Tell what has happened since, once a second at most."""
        if now_s < self._tell_at_s:
            return
        self._tell_at_s = now_s + TELL_EVERY_S
        with self._lock:
            rejected = dict(self._rejected)
            told = LabelsRelayed(
                relayed=self._relayed, rejected=rejected, waiting=self._waiting, questions=self._known, lag_records=self._lag
            )
            self._rejected.clear()
            self._relayed = 0
        for state, detail in self._attempts.changes():
            self._tell(RelayChanged(state=state, detail=detail))
        self._tell(told)

    def _attempt(self) -> None:
        """Raises `BrokerError`."""
        try:
            relay = Relay(self._pipeline, self._settings, self._instance, self._attempts.stop)
            try:
                relay.start()
                self._attempts.enter("running", f"labels of topic {self._pipeline.labels.topic} go to {self._pipeline.source}")
                while not self._attempts.stop():
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
