"""The topic of requests beside a worker: a thread that makes attempts (`kafka.attempts`), and what there is to tell of it."""

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
from stream_retrain.engines.kafka.request_topic.door import Ask, RequestTopic, Turned
from stream_retrain.engines.kafka.topics import REQUESTS, output_topic
from stream_retrain.engines.watchdog import Stop
from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.worker import Tell
from stream_retrain.settings import Settings

__all__ = ["RequestThread"]

TELL_EVERY_S: Final = 1.0
HELD_PAUSE_S: Final = 1.0
READS_AFTER_S: Final = 10.0
"""A reader that has had no error for so long goes on, though it was given nothing: another one has the partition."""
STEP_S: Final = 0.1


class RequestThread:
    """A context manager: the thread runs inside of it. `look` is called by the worker's loop, which tells what there is to tell."""

    def __init__(self, pipeline: Pipeline, settings: Settings, instance: str, ask: Ask, worker: Stop, tell: Tell) -> None:
        self._pipeline, self._settings, self._instance, self._ask = pipeline, settings, instance, ask
        self._attempts = Attempts("requests", self._attempt, worker)
        self._tell = tell
        self._lock = threading.Lock()
        self._taken, self._refused = 0, collections.Counter[RejectReason]()
        self._lag: int | None = None
        self._lag_at_s = self._tell_at_s = 0.0

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
            told = RequestsRead(taken=self._taken, refused=dict(self._refused), lag_records=self._lag)
            self._taken = 0
            self._refused.clear()
        for state, detail in self._attempts.changes():
            self._tell(RequestTopicChanged(state=state, detail=detail))
        self._tell(told)

    def _attempt(self) -> None:
        """Raises `BrokerError`."""
        stop, read = self._attempts.stop, f"requests of topic {output_topic(self._pipeline.name, REQUESTS)} are taken"
        try:
            topic = RequestTopic(self._pipeline, self._settings, self._instance, self._ask, stop)
            try:
                topic.start()
                sure_at_s = time.monotonic() + READS_AFTER_S
                while not stop():
                    turned = topic.turn()
                    self._count(turned)
                    self._measure(topic)
                    if turned.held:
                        self._attempts.enter("degraded", turned.held)
                        self._rest()
                    elif turned.reads or time.monotonic() > sure_at_s:
                        self._attempts.enter("running", read)
            finally:
                topic.close()
                with self._lock:
                    self._lag = None
        except KafkaException as error:
            raise broker_error("reading requests", error, self._settings) from None

    def _rest(self) -> None:
        """Before the store is asked again."""
        until_s = time.monotonic() + HELD_PAUSE_S
        while time.monotonic() < until_s and not self._attempts.stop():
            time.sleep(STEP_S)

    def _count(self, turned: Turned) -> None:
        with self._lock:
            self._taken += turned.taken
            self._refused.update(turned.refused)

    def _measure(self, topic: RequestTopic) -> None:
        now_s = time.monotonic()
        if now_s >= self._lag_at_s:
            self._lag_at_s = now_s + TELL_EVERY_S
            lag = topic.lag()
            with self._lock:
                self._lag = lag
