"""Which decisions start a DAG: the function that Airflow's triggerer calls with each record of a topic of decisions.

Install: this file in Airflow's folder of plugins. The triggerer imports it, and it imports nothing from the folder of DAGs.
"""

from __future__ import annotations

import json
from typing import Any, Protocol

PREFIX = "io.streamretrain."


class Record(Protocol):
    """What is used of a record of Kafka."""

    def value(self) -> bytes | None:
        """Its bytes; None for a tombstone."""


def wanted(record: Record) -> dict[str, Any] | None:
    """The decision, a CloudEvent, if a DAG is to run for it: a drift, or a challenger that became the champion. None passes it over."""
    try:
        decision: dict[str, Any] = json.loads(record.value() or b"")
        kind, data = str(decision["type"]).removeprefix(PREFIX), decision["data"]
        starts = kind == "drift.detected.v1" or (kind == "duel.ended.v1" and data["result"] == "promoted")
    except (ValueError, KeyError, TypeError):
        return None  # an exception would end the trigger, and every later decision with it
    return decision if starts else None
