"""The topics of a pipeline: the source must be there, the outputs are made to fit it."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.errors import BrokerError
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from stream_retrain.settings import Settings

__all__ = ["count_partitions", "output_topic", "prepare_topics"]

TIMEOUT_S = 10.0


def output_topic(pipeline: str, kind: str) -> str:
    """`<pipeline>.predictions`, `<pipeline>.decisions`, `<pipeline>.dead_letters`."""
    return f"{pipeline}.{kind}"


def prepare_topics(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> int:
    """Create the output topics that are missing, with the source's partitions; the number of those.

    Raises `BrokerError` where the source does not exist, Kafka cannot be reached, or an output topic has fewer partitions.
    """
    topics, partitions = _topics(admin, pipeline, settings)
    retention_ms = {
        PREDICTIONS: settings.predictions_retention_ms,
        DECISIONS: settings.decisions_retention_ms,
        DEAD_LETTERS: settings.dead_letters_retention_ms,
    }
    missing = []
    for kind, kept_ms in retention_ms.items():
        name = output_topic(pipeline.name, kind)
        if name not in topics:
            missing.append(
                NewTopic(name, partitions, settings.topic_replication, config={"retention.ms": str(kept_ms)}),
            )
        elif len(topics[name].partitions) < partitions:
            raise BrokerError(
                f"topic {name!r} has {len(topics[name].partitions)} partitions and the source {pipeline.source!r} has"
                f" {partitions}: give it as many (an output stands in the partition of its input)"
            )
    _create(admin, missing, settings)
    return partitions


def count_partitions(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> int:
    """How many partitions the source has. Raises `BrokerError` where it does not exist or Kafka cannot be reached."""
    return _topics(admin, pipeline, settings)[1]


def _topics(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> tuple[dict[str, Any], int]:
    try:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise broker_error("listing topics", error, settings) from None
    source = topics.get(pipeline.source)
    if source is None or source.error is not None:
        raise BrokerError(
            f"topic {pipeline.source!r}, the source of pipeline {pipeline.name!r}, does not exist at"
            f" {settings.kafka_bootstrap_servers}: create it, or publish to it"
        )
    return topics, len(source.partitions)


def _create(admin: AdminClient, missing: list[NewTopic], settings: Settings) -> None:
    if not missing:
        return
    for name, future in admin.create_topics(missing, operation_timeout=TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise broker_error(f"creating topic {name!r}", error, settings) from None
