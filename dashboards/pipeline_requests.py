"""A part of the pipeline's dashboard: what was asked of it, and the topic that programs ask by."""

from __future__ import annotations

from typing import Final

from dashboards.panels import Panel
from dashboards.selectors import E, X

__all__ = ["REQUESTS"]

REQUESTS: Final = (
    Panel(
        title="Requests",
        says="Retrainings that shards took, whoever asked; and by what was asked for, what could not be done.",
        kind="bars",
        unit="short",
        queries=(
            (f"sum(increase(S_requests_total{X}[$__interval]))", "retrain"),
            (f"sum by (do) (increase(S_requests_refused_total{X}[$__interval]))", "{{do}} refused"),
        ),
    ),
    Panel(
        title="Asked by topic",
        says="Requests of the topic PIPELINE.requests that were put into the store, where shards take them.",
        kind="bars",
        unit="short",
        queries=((f"sum(increase(S_request_topic_taken_total{E}[$__interval]))", "put into the store"),),
    ),
    Panel(
        title="Asked by topic, not read yet",
        says="They wait while Redis is away, or as many wait for a shard as may. Dashed: 1 while every worker is ready to read them.",
        kind="lines",
        unit="short",
        low=0,
        dashed="ready to read",
        queries=((f"sum(S_request_topic_lag_records{E})", "not read"), (f"min(S_request_topic_up{E})", "ready to read")),
    ),
)
