"""A job that decisions of a pipeline start: a sensor over its topic of decisions, whose cursor is the offsets it has come to.

Install: `pip install dagster dagster-webserver confluent-kafka`. The environment of Dagster's daemon says where things are:
DECISIONS_OF is the name of the pipeline, and STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS (and _SECURITY_PROTOCOL, _SASL_USERNAME ...)
where Kafka is.

Run: dagster dev -f dagster_on_decision.py

Dagster keeps the cursor after it has made the runs. So a decision may be looked at twice, and none is lost; the id of the decision is the
run's key, and Dagster makes no second run of a key. The sensor is no member of a group: Kafka needs to allow it to read, and no more.
"""

import json
import os
import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from dagster import (
    Config,
    DefaultSensorStatus,
    Definitions,
    OpExecutionContext,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    job,
    op,
    sensor,
)

NAME = os.environ.get("DECISIONS_OF", "shop")
TOPIC = f"{NAME}.decisions"
PREFIX, KAFKA = "io.streamretrain.", "STREAM_RETRAIN_KAFKA_"
TICK_S, RECORDS_MAX = 20.0, 1_000
"""Dagster ends a tick after 60 s. What is left is for the next one."""


class Decision(Config):
    """A CloudEvent, as JSON."""

    text: str


@op
def act(context: OpExecutionContext, config: Decision) -> str:
    """What is to be done goes here."""
    decision = json.loads(config.text)
    context.log.info(f"{decision['subject']}: {decision['type']} at {decision['time']}: {decision['data']}")
    return str(decision["id"])


@job
def on_decision() -> None:
    """Runs once for each decision that `wanted` picks."""
    act()


def wanted(value: bytes | None) -> dict[str, Any] | None:
    """The decision, a CloudEvent, if a job is to run for it: a drift, or a challenger that became the champion."""
    try:
        decision: dict[str, Any] = json.loads(value or b"")
        kind, data = str(decision["type"]).removeprefix(PREFIX), decision["data"]
        starts = kind == "drift.detected.v1" or (kind == "duel.ended.v1" and data["result"] == "promoted")
    except (ValueError, KeyError, TypeError):
        return None
    return decision if starts else None


def read(cursor: dict[str, int] | None) -> tuple[list[bytes | None], dict[str, int]]:
    """What stands in the topic from the cursor on, and the cursor after it. Without one nothing is read: it begins at the end."""
    given = {name.removeprefix(KAFKA).lower().replace("_", "."): value for name, value in os.environ.items() if name.startswith(KAFKA)}
    ours = {
        "group.id": "dagster.on_decision",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(given | ours | {"auto.offset.reset": "earliest"})
    try:
        numbers = list(consumer.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions)
        bounds = {number: consumer.get_watermark_offsets(TopicPartition(TOPIC, number), timeout=10) for number in numbers}
        if cursor is None:
            return [], {str(number): end for number, (_, end) in bounds.items()}
        places = {number: cursor.get(str(number), begin) for number, (begin, _) in bounds.items()}
        consumer.assign([TopicPartition(TOPIC, number, place) for number, place in places.items()])
        values: list[bytes | None] = []
        left, until_s = set(numbers), time.monotonic() + TICK_S
        while left and len(values) < RECORDS_MAX and time.monotonic() < until_s:
            record = consumer.poll(1.0)
            if record is None:
                continue
            number, offset, error = record.partition(), record.offset(), record.error()
            if error is None and number is not None and offset is not None:
                values.append(record.value())
                places[number] = offset + 1
            elif error is not None and error.code() == KafkaError._PARTITION_EOF:
                left.discard(number)
            else:
                raise KafkaException(error)
        return values, {str(number): place for number, place in places.items()}
    finally:
        consumer.close()


@sensor(job=on_decision, minimum_interval_seconds=10, default_status=DefaultSensorStatus.RUNNING)
def decisions(context: SensorEvaluationContext) -> SensorResult:
    """One run for each decision that is wanted."""
    values, cursor = read(json.loads(context.cursor) if context.cursor else None)
    came = [decision for decision in map(wanted, values) if decision is not None]
    requests = [
        RunRequest(run_key=decision["id"], run_config={"ops": {"act": {"config": {"text": json.dumps(decision)}}}}) for decision in came
    ]
    return SensorResult(run_requests=requests, cursor=json.dumps(cursor))


defs = Definitions(jobs=[on_decision], sensors=[decisions])
