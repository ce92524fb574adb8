"""Partitions of a consumer that are held, because their lanes are paused: nothing of them is fetched, until a lane goes on.

What was fetched meanwhile is dropped. So a lane goes on by a seek to where it stands; until the seek has held, what comes of the
partition is dropped all the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaException, TopicPartition

from stream_retrain.engines.driver import Driver
from stream_retrain.engines.kafka.clients import ConsumerClient

__all__ = ["Held"]


class Held:
    """Protocol of use: `drops` for each run of records, `keep` once a turn, `release` when partitions go."""

    def __init__(self, consumer: ConsumerClient, topic: str, driver: Driver) -> None:
        self._consumer, self._topic, self._driver = consumer, topic, driver
        self._held: set[int] = set()
        self._told: set[int] = set()
        """Those that the client was told to pause, and has given nothing of since."""

    def drops(self, partition: int) -> bool:
        """Whether records that came of this partition are to be dropped. (The client forgets what was paused right after an assignment.)"""
        self._told.discard(partition)
        return partition in self._held

    def keep(self) -> None:
        """Pause at the client what is paused, and let go on what may."""
        paused = self._driver.paused
        if not paused and not self._held:
            return
        self._held |= paused
        for partition in paused - self._told:
            self._consumer.pause([TopicPartition(self._topic, partition)])
            self._told.add(partition)
        for partition in self._held - paused:
            self._go_on(partition)

    def release(self, partitions: Iterable[int]) -> None:
        """They are no longer this consumer's."""
        self._held.difference_update(partitions)
        self._told.difference_update(partitions)

    def _go_on(self, partition: int) -> None:
        place = TopicPartition(self._topic, partition, self._driver.position(partition))
        try:
            self._consumer.seek(place)
            self._consumer.resume([place])
        except KafkaException:
            return  # it is not fetched yet: the next turn tries again
        self.release([partition])
