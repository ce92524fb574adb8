"""What goes on beside a worker's loop, as metrics: the relay of labels, callbacks and webhooks, the topic of requests."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TypeAlias, assert_never

from stream_retrain.facts.callbacks import CallbacksChanged, CallbacksTold
from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.worker import LabelsRelayed, RelayChanged
from stream_retrain.views.standing import Gauges

__all__ = ["Beside", "count_beside"]

Beside: TypeAlias = LabelsRelayed | RelayChanged | CallbacksTold | CallbacksChanged | RequestsRead | RequestTopicChanged
_Counts: TypeAlias = MutableMapping[tuple[str, tuple[str, ...]], float]


def count_beside(fact: Beside, counts: _Counts, gauges: Gauges) -> None:
    """Take one fact."""
    match fact:
        case RelayChanged():
            gauges["label_relay_up", ()] = float(fact.state == "running")
        case CallbacksChanged():
            gauges["callbacks_up", ()] = float(fact.state == "running")
        case RequestTopicChanged():
            gauges["request_topic_up", ()] = float(fact.state == "running")
        case LabelsRelayed():
            counts["labels_relayed", ()] += fact.relayed
            _letters(fact.rejected, counts)
            gauges["labels_waiting", ()] = fact.waiting
            gauges["label_questions_known", ()] = fact.questions
            _lags("labels_lag_records", fact.lag_records, gauges)
        case RequestsRead():
            counts["request_topic_taken", ()] += fact.taken
            _letters(fact.refused, counts)
            _lags("request_topic_lag_records", fact.lag_records, gauges)
        case CallbacksTold():
            for told in fact.handlers:
                handler = (told.name,)
                for name in ("called", "failed", "retried", "dead"):
                    counts[f"callbacks_{name}", handler] += getattr(told, name)
                gauges["callbacks_waiting", handler] = told.waiting
            _lags("callbacks_lag_records", fact.lag_records, gauges)
        case _:
            assert_never(fact)


def _letters(refused: Mapping[RejectReason, int], counts: _Counts) -> None:
    for reason, count in refused.items():
        counts["dead_letters", (reason,)] += count


def _lags(name: str, records: int | None, gauges: Gauges) -> None:
    gauges.pop((name, ()), None)
    if records is not None:
        gauges[name, ()] = records
