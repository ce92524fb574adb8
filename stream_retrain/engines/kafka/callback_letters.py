"""Dead letters of callbacks and webhooks, `<pipeline>.callbacks.dead_letters`: the decision as it came, what went wrong in the headers."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.cimpl import NewTopic

from stream_retrain.engines.callbacks.runner import Over
from stream_retrain.engines.kafka.clients import admin_client, base_config, broker_error, built
from stream_retrain.engines.kafka.topics import create_topics, output_topic
from stream_retrain.errors import BrokerError
from stream_retrain.facts.telling import cut
from stream_retrain.lane.step import DECISIONS
from stream_retrain.settings import Settings

__all__ = ["CallbackLetters", "callback_letters_topic", "letter_headers"]

KIND: Final = "callbacks.dead_letters"
SEND_TIMEOUT_S: Final = 20.0


def callback_letters_topic(pipeline: str) -> str:
    """`<pipeline>.callbacks.dead_letters`."""
    return output_topic(pipeline, KIND)


def letter_headers(over: Over, pipeline: str, at_s: float) -> list[tuple[str, bytes]]:
    """The headers of a dead letter."""
    assert over.dead is not None, "what a handler has taken is no dead letter"
    place = over.place
    texts = {
        "sr_handler": over.handler,
        "sr_error": cut(over.dead.error),
        "sr_attempts": str(over.dead.attempts),
        "sr_decision": cut(place.decision.id),
        "sr_topic": output_topic(pipeline, DECISIONS),
        "sr_partition": str(place.partition),
        "sr_offset": str(place.offset),
        "sr_failed_at_ms": str(int(at_s * 1000)),
    }
    return [(name, text.encode()) for name, text in texts.items()]


class CallbackLetters:
    """Keeps dead letters; the topic is made with the first."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._topic = callback_letters_topic(pipeline)
        self._producer: Producer | None = None

    def bury(self, over: Over) -> None:
        """Keep a dead letter; it returns when Kafka has it. Raises `BrokerError`."""
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failed.append(error)

        try:
            producer = self._ready()
            headers: Any = letter_headers(over, self._pipeline, time.time())
            producer.produce(self._topic, over.place.value, over.place.key, headers=headers, on_delivery=delivered)
            if producer.flush(SEND_TIMEOUT_S):
                raise BrokerError(f"a dead letter of {over.handler} was not kept at {self._settings.kafka_bootstrap_servers}: no answer")
        except (KafkaException, BufferError) as error:
            raise BrokerError(f"a dead letter of {over.handler} was not kept: {error}") from None
        if failed:
            raise broker_error(f"keeping a dead letter of {over.handler}", failed[0], self._settings)

    def close(self) -> None:
        """Let the client go."""
        if self._producer is not None:
            self._producer.flush(1.0)

    def _ready(self) -> Producer:
        if self._producer is None:
            letters = NewTopic(
                self._topic, 1, self._settings.topic_replication, config={"retention.ms": str(self._settings.dead_letters_retention_ms)}
            )
            # Who may not make topics may find that somebody has.
            create_topics(admin_client(self._settings), [letters], self._settings, passes={KafkaError.TOPIC_AUTHORIZATION_FAILED})
            self._producer = built(
                Producer, {"linger.ms": 0, **base_config(self._settings), "enable.idempotence": True, "message.timeout.ms": 15_000}
            )
        return self._producer
