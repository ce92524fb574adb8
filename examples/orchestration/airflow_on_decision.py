"""A DAG that decisions of a pipeline start: an asset that is updated by the records of its topic of decisions.

Install: Airflow 3.1 or newer with `apache-airflow-providers-apache-kafka[common-messaging]`; this file in the folder of DAGs and
`airflow_decisions.py` in the folder of plugins. Then a connection, where the group is one that only this DAG uses:

    airflow connections add stream_retrain --conn-type kafka --conn-extra '{"bootstrap.servers": "127.0.0.1:9092",
        "group.id": "airflow.on_decision", "isolation.level": "read_committed", "enable.auto.commit": false, "auto.offset.reset": "latest"}'

The name of the pipeline, which is that of its topic, is the variable DECISIONS_OF of the environment of Airflow.

Several decisions that come close together start one run: it gets all of them.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from airflow.sdk import Asset, AssetWatcher, dag, get_current_context, task

NAME = os.environ.get("DECISIONS_OF", "shop")
TOPIC = f"{NAME}.decisions"

decisions = Asset(
    name=TOPIC,
    watchers=[
        AssetWatcher(
            name=f"{TOPIC}.watcher",
            trigger=MessageQueueTrigger(
                scheme="kafka",
                topics=[TOPIC],
                kafka_config_id="stream_retrain",
                apply_function="airflow_decisions.wanted",
                poll_interval=0,  # the trigger sleeps this long after each record that is passed over; its default is 5 s
            ),
        )
    ],
)


@task(retries=3, retry_delay=timedelta(seconds=10))  # a decision comes once: a task that Airflow could not start must not be the end of it
def act() -> list[str]:
    """What is to be done goes here. A decision can come twice: its id is the same then."""
    events = get_current_context()["triggering_asset_events"][decisions]
    came: dict[str, dict[str, Any]] = {event.extra["payload"]["id"]: event.extra["payload"] for event in events}
    for decision in came.values():
        print(f"{decision['subject']}: {decision['type']} at {decision['time']}: {decision['data']}")
    return list(came)


@dag(
    dag_id="stream_retrain_on_decision",
    schedule=[decisions],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    tags=["stream_retrain"],
)
def on_decision() -> None:
    """Runs when `airflow_decisions.wanted` has picked a decision."""
    act()


on_decision()
