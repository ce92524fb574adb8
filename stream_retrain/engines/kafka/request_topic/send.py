"""Writing a request to its topic, signed where there are keys: what the command line does with `--by-topic`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream_retrain.codec.signed_request import SIGNATURE, sign
from stream_retrain.engines.kafka.clients import base_config, broker_error, built
from stream_retrain.engines.kafka.request_topic.reader import asking_keys
from stream_retrain.engines.kafka.topics import REQUESTS, output_topic
from stream_retrain.errors import BrokerError, SettingsError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.sent import Sent
from stream_retrain.settings import Settings

__all__ = ["SentRequest", "send_request"]

TIMEOUT_S: Final = 20.0


class SentRequest(NamedTuple):
    """Where the record of a request stands."""

    topic: str
    partition: int
    offset: int


def send_request(settings: Settings, pipeline: str, asked: Asked, partitions: Sequence[int] | None) -> SentRequest:
    """Write the record; it returns when Kafka has it. Raises `SettingsError`, `BrokerError`."""
    keys, topic = asking_keys(settings), output_topic(pipeline, REQUESTS)
    if keys is None and not settings.requests_unsigned:
        raise SettingsError(
            "requests by topic must be signed, and there is no requests_key_file. Make one with\n"
            '    echo "k1:$(openssl rand -hex 32)" > requests.key && chmod 600 requests.key\n'
            "and give it to the workers too; or, where ACLs say who may write to the topic, set requests_unsigned there and here"
        )
    sent = Sent(
        pipeline=pipeline,
        do=asked.do,
        partitions=None if partitions is None else list(partitions),
        version=asked.version,
        reason=asked.reason,
        token=asked.token,
        at=time.time(),
    )
    value = msgspec.json.encode(sent)
    key = keys.signing_key if keys is not None else None
    headers: Any = None if key is None else {SIGNATURE: sign(value, key)}
    stands: list[Message | KafkaError] = []
    producer = built(Producer, {"linger.ms": 0, **base_config(settings), "enable.idempotence": True, "message.timeout.ms": 15_000})
    try:
        producer.produce(topic, value, headers=headers, on_delivery=lambda error, message: stands.append(error or message))
        producer.flush(TIMEOUT_S)
    except (KafkaException, BufferError) as error:
        raise BrokerError(f"the request was not written to {topic}: {error}") from None
    if not stands:
        raise BrokerError(f"writing to {topic}: no answer of {settings.kafka_bootstrap_servers}; ask again with token {asked.token}")
    if isinstance(found := stands[0], KafkaError):
        raise broker_error(f"writing to {topic}", found, settings)
    return SentRequest(topic, found.partition() or 0, found.offset() or 0)
