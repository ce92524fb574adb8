"""The topics of a pipeline, made before any worker runs: what was made, what was there, and how it differs from what was asked for."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # it is exported, but for `__all__`

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import admin_client, broker_error
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import REQUESTS, output_topic, prepare_topics, retention_of
from stream_retrain.settings import Settings

__all__ = ["MadeTopic", "make_topics"]

TIMEOUT_S: Final = 5.0
PAUSE_S: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MadeTopic:
    """A topic of a pipeline."""

    topic: str
    role: str
    """source, predictions, decisions, dead_letters or requests"""
    state: str
    """made, grown or there"""
    partitions: int
    retention_ms: int | None
    """None where one may not ask."""
    differs: tuple[str, ...]
    """How it is other than asked for, in words."""


def make_topics(settings: Settings, pipeline: Pipeline, partitions: int | None, retention_ms: int | None) -> list[MadeTopic]:
    """Make what is missing, and give outputs that have fewer partitions the source's. What is there is never changed otherwise.

    `partitions`: of the source; None: one, if it is made. `retention_ms`: of the source; None: the broker's. Raises `BrokerError`.
    """
    admin = admin_client(settings)
    before = _partitions(admin, settings)
    config = {} if retention_ms is None else {"retention.ms": str(retention_ms)}
    if pipeline.source not in before:
        create_topic(settings, pipeline.source, partitions or 1, config)
    prepare_topics(admin, pipeline, settings)
    names = {pipeline.source: "source"} | {output_topic(pipeline.name, kind): kind for kind in retention_of(settings)}
    wanted_ms = {"source": retention_ms} | retention_of(settings)
    after, found_ms = _once_seen(admin, settings, pipeline.source, names), _retentions(admin, list(names))
    made = []
    for topic, role in names.items():
        count = after.get(topic, 0)
        differs = []
        if role == "source" and partitions is not None and count != partitions:
            differs.append(f"it has {count} partitions, and {partitions} were asked for")
        fits = 1 if role == REQUESTS else after[pipeline.source]
        if role != "source" and count > fits:
            differs.append(f"it has {count} partitions, and {'needs one' if role == REQUESTS else f'the source {fits}'}")
        if wanted_ms[role] is not None and found_ms[topic] is not None and found_ms[topic] != wanted_ms[role]:
            differs.append(f"its records are kept {found_ms[topic]} ms, and {wanted_ms[role]} ms are asked for")
        state = "made" if topic not in before else "grown" if before[topic] < count else "there"
        made.append(MadeTopic(topic=topic, role=role, state=state, partitions=count, retention_ms=found_ms[topic], differs=tuple(differs)))
    return made


def _partitions(admin: AdminClient, settings: Settings) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise broker_error("listing topics", error, settings) from None
    return {name: len(topic.partitions) for name, topic in topics.items() if topic.error is None}


def _once_seen(admin: AdminClient, settings: Settings, source: str, names: Mapping[str, str]) -> dict[str, int]:
    """The same once every broker that is asked knows of what was made: a moment after it was."""
    until_s = time.monotonic() + TIMEOUT_S
    while True:
        found = _partitions(admin, settings)
        if time.monotonic() > until_s or all(
            found.get(topic, 0) >= (1 if role == REQUESTS else found.get(source, 1)) for topic, role in names.items()
        ):
            return found
        time.sleep(PAUSE_S)


def _retentions(admin: AdminClient, topics: list[str]) -> dict[str, int | None]:
    wanted = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    asked: dict[Any, Any] = admin.describe_configs(wanted, request_timeout=TIMEOUT_S)
    return {resource.name: _retention(future) for resource, future in asked.items()}


def _retention(asked: Any) -> int | None:
    try:
        return int(asked.result(TIMEOUT_S)["retention.ms"].value)
    except (KafkaException, KeyError, TimeoutError, ValueError, TypeError):
        return None
