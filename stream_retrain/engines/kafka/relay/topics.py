"""The topics of a relay: labels and source must be there, the topic of labels that wait is made to fit."""

from __future__ import annotations

import logging
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import ConsumerClient, broker_error
from stream_retrain.engines.kafka.topics import count_partitions
from stream_retrain.errors import BrokerError
from stream_retrain.settings import Settings

__all__ = ["RelayTopics"]

LOG: Final = logging.getLogger("stream_retrain.labels")
TIMEOUT_S: Final = 5.0
WAITING_CONFIG: Final = {"cleanup.policy": "compact", "segment.ms": "3600000", "min.cleanable.dirty.ratio": "0.1"}


class RelayTopics:
    """Protocol of use: `prepare` first, `look` now and then."""

    def __init__(self, admin: AdminClient, pipeline: Pipeline, settings: Settings) -> None:
        self._admin = admin
        self._pipeline = pipeline
        self._settings = settings
        self._labels = pipeline.labels.topic or ""
        self.waiting = f"{pipeline.name}.labels.waiting"
        self.partitions = 0
        """Of the source."""
        self._of_labels = 0

    def prepare(self) -> int:
        """Look for the topics, and make the one of labels that wait, or give it the partitions of the labels topic.

        How many partitions the source has. Raises `BrokerError`.
        """
        self.partitions, self._of_labels = self._counted()
        if self._pipeline.labels.route == "partition" and self._of_labels != self.partitions:
            raise BrokerError(
                f"labels topic {self._labels!r} has {self._of_labels} partitions, and source {self._pipeline.source!r} {self.partitions}:"
                ' route="partition" needs the same number; use route="id" or "key"'
            )
        if self._pipeline.labels.route == "id":
            self._make_waiting()
        return self.partitions

    def look(self) -> None:
        """Raises `BrokerError` where partitions were added: the next attempt knows them."""
        if self._counted() != (self.partitions, self._of_labels):
            raise BrokerError(f"partitions were added to {self._pipeline.source!r} or {self._labels!r}: the relay of labels begins again")

    def start_of(self, consumer: ConsumerClient, place: TopicPartition) -> int:
        """Where a partition of labels is to be read from: what is committed, or the setting `start`. Labels that are gone are told."""
        low, high = consumer.get_watermark_offsets(TopicPartition(place.topic, place.partition), TIMEOUT_S)
        if place.offset < 0:
            return int(high if self._settings.start == "latest" else low)
        if place.offset < low:
            LOG.warning("%s/%d: retention deleted %d labels that were not read", place.topic, place.partition, low - place.offset)
            return int(low)
        if place.offset > high:
            LOG.warning(
                "%s/%d ends before what was read of it: it was made anew, and is read from its beginning", place.topic, place.partition
            )
            return int(low)
        return place.offset

    def _counted(self) -> tuple[int, int]:
        """Partitions of the source and of the labels topic."""
        of_source = count_partitions(self._admin, self._pipeline, self._settings)
        found = self._listed().get(self._labels)
        if found is None or found.error is not None:
            raise BrokerError(
                f"labels topic {self._labels!r} of pipeline {self._pipeline.name!r} does not exist at"
                f" {self._settings.kafka_bootstrap_servers}: create it, or publish to it"
            )
        return of_source, len(found.partitions)

    def _listed(self) -> Any:
        try:
            return self._admin.list_topics(timeout=TIMEOUT_S).topics
        except KafkaException as error:
            raise broker_error("listing topics", error, self._settings) from None

    def _make_waiting(self) -> None:
        """Another worker's relay may do the same at the same time: then there is nothing left to do."""
        found, wanted = self._listed().get(self.waiting), self._of_labels
        if found is None:
            made = self._admin.create_topics([NewTopic(self.waiting, wanted, self._settings.topic_replication, config=WAITING_CONFIG)])
        elif len(found.partitions) < wanted:
            made = self._admin.create_partitions([NewPartitions(self.waiting, wanted)])
        else:
            return
        try:
            made[self.waiting].result(TIMEOUT_S * 2)
        except KafkaException as error:
            if error.args[0].code() not in (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.INVALID_PARTITIONS):
                raise broker_error(f"preparing topic {self.waiting!r}", error, self._settings) from None
