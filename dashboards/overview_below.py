"""The last row of the overview: what the pipelines stand on."""

from __future__ import annotations

from typing import Final

from dashboards.panels import STATE_OF_WORKER, Panel

__all__ = ["BELOW"]

P: Final = '{pipeline=~"$pipeline"}'
RATE: Final = "[$__rate_interval]"
# A worker that runs alone has no parent, and is one process itself.
ANSWERS: Final = 'sum by (instance) (S_worker_up) or sum by (instance) (up{job="stream_retrain"})'
STARTED: Final = 'sum by (instance) (changes(process_start_time_seconds{job="stream_retrain"}[1h]))'
STARTS: Final = f"sum by (instance) (increase(S_worker_starts_total[1h])) or {STARTED}"
BELOW: Final = (
    Panel(
        title="State of each worker",
        says="Restoring after a start, degraded without Kafka or Redis.",
        kind="states",
        unit="none",
        width=12,
        states=STATE_OF_WORKER,
        queries=((f"S_worker_state{P}", "{{pipeline}} {{instance}} {{worker}}"),),
    ),
    Panel(
        title="Partitions that came and went",
        says="Each one restores and replays.",
        kind="bars",
        unit="short",
        width=12,
        queries=(
            (f"sum by (pipeline, event) (increase(S_rebalances_total{P}[$__interval]))", "{{pipeline}} {{event}}"),
            (f"sum by (pipeline, how) (increase(S_restores_total{P}[$__interval]))", "{{pipeline}} restored: {{how}}"),
            (f"sum by (pipeline) (increase(S_restarts_total{P}[$__interval]))", "{{pipeline}} engine started again"),
        ),
    ),
    Panel(
        title="Transactions",
        says="An aborted one is sent again, the same bytes.",
        kind="lines",
        unit="ops",
        low=0,
        width=6,
        queries=((f"sum by (pipeline, outcome) (rate(S_transactions_total{P}{RATE}))", "{{pipeline}} {{outcome}}"),),
    ),
    Panel(
        title="Outputs committed",
        says="Predictions, decisions and dead letters.",
        kind="lines",
        unit="eps",
        low=0,
        width=6,
        queries=((f"sum by (pipeline) (rate(S_outputs_committed_total{P}{RATE}))", "{{pipeline}}"),),
    ),
    Panel(
        title="Partitions: of the source, held, nobody's",
        says="Held by all workers together; one that is nobody's is not predicted.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=(
            (f"max by (pipeline) (S_source_partitions{P})", "{{pipeline}} of the source"),
            (f"sum by (pipeline) (S_assigned_partitions{P})", "{{pipeline}} held"),
            (f"max by (pipeline) (S_unowned_partitions{P})", "{{pipeline}} nobody's"),
        ),
    ),
    Panel(
        title="Redis",
        says="Takes writes (1) or not (0); outages, failed checkpoints and refilled windows, in an hour.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=(
            (f"min by (pipeline) (S_store_up{P})", "{{pipeline}} up"),
            (f"sum by (pipeline) (increase(S_store_outages_total{P}[1h]))", "{{pipeline}} outages"),
            (f"sum by (pipeline) (increase(S_checkpoint_failures_total{P}[1h]))", "{{pipeline}} checkpoints failed"),
            (f"sum by (pipeline) (increase(S_window_refills_total{P}[1h]))", "{{pipeline}} windows refilled"),
        ),
    ),
    Panel(
        title="Memory",
        says="Resident, of each process.",
        kind="lines",
        unit="bytes",
        low=0,
        width=6,
        queries=(('process_resident_memory_bytes{job="stream_retrain"}', "{{instance}} {{worker}}"),),
    ),
    Panel(
        title="CPU",
        says="Cores, of each process. A worker has at most one and what its client threads take.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=((f'rate(process_cpu_seconds_total{{job="stream_retrain"}}{RATE})', "{{instance}} {{worker}}"),),
    ),
    Panel(
        title="What scraping takes",
        says="Time of a scrape in the worker.",
        kind="lines",
        unit="s",
        low=0,
        width=6,
        queries=((f"rate(S_scrape_seconds_total{P}{RATE}) / rate(S_scrapes_total{P}{RATE})", "{{pipeline}} {{instance}} {{worker}}"),),
    ),
    Panel(
        title="Worker processes",
        says="With --workers: how many answer their parent, and how often each was started.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=((ANSWERS, "{{instance}} answer"), (STARTS, "{{instance}} started")),
    ),
)
