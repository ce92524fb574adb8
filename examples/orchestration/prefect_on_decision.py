"""A flow that decisions of a pipeline start: a small consumer of its topic of decisions asks Prefect for one run for each.

Install: `pip install prefect confluent-kafka`. Three processes, of which the last two are this file:

    prefect server start
    python prefect_on_decision.py serve     # makes the deployment and runs flows
    python prefect_on_decision.py follow    # reads decisions; several share the partitions

Both read the environment: DECISIONS_OF is the name of the pipeline, PREFECT_API_URL where the server is, and
STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS (and _SECURITY_PROTOCOL, _SASL_USERNAME ...) where Kafka is.

A decision is committed after Prefect has its run. So one may be sent twice, and none is lost; the server keeps the id of the decision as
the run's idempotency key, and a second one starts nothing. An error ends `follow`: have it started again by what supervises it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from confluent_kafka import Consumer, KafkaException
from prefect import flow
from prefect.deployments import run_deployment

NAME = os.environ.get("DECISIONS_OF", "shop")
FLOW, DEPLOYMENT = "stream-retrain-on-decision", "decisions"
PREFIX, KAFKA = "io.streamretrain.", "STREAM_RETRAIN_KAFKA_"


@flow(name=FLOW, log_prints=True)
def on_decision(decision: dict[str, Any]) -> str:
    """What is to be done goes here."""
    print(f"{decision['subject']}: {decision['type']} at {decision['time']}: {decision['data']}")
    return str(decision["id"])


def wanted(value: bytes | None) -> dict[str, Any] | None:
    """The decision, a CloudEvent, if a flow is to run for it: a drift, or a challenger that became the champion."""
    try:
        decision: dict[str, Any] = json.loads(value or b"")
        kind, data = str(decision["type"]).removeprefix(PREFIX), decision["data"]
        starts = kind == "drift.detected.v1" or (kind == "duel.ended.v1" and data["result"] == "promoted")
    except (ValueError, KeyError, TypeError):
        return None
    return decision if starts else None


def follow() -> None:
    """Ask for a run for each decision, and commit it then."""
    given = {name.removeprefix(KAFKA).lower().replace("_", "."): value for name, value in os.environ.items() if name.startswith(KAFKA)}
    ours = {"group.id": "prefect.on_decision", "isolation.level": "read_committed", "enable.auto.commit": False}
    consumer = Consumer({"auto.offset.reset": "latest"} | given | ours)
    try:
        consumer.subscribe([f"{NAME}.decisions"])
        while True:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if (error := record.error()) is not None:
                raise KafkaException(error)
            if (decision := wanted(record.value())) is not None:
                run_deployment(f"{FLOW}/{DEPLOYMENT}", parameters={"decision": decision}, idempotency_key=decision["id"], timeout=0)
            consumer.commit(message=record, asynchronous=False)
    finally:
        consumer.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["follow"]:
        follow()
    elif sys.argv[1:] == ["serve"]:
        on_decision.serve(name=DEPLOYMENT)
    else:
        sys.exit("say serve or follow")
