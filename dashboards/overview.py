"""How all pipelines are, from general to specific: is it up, how late, how much, what is refused, how good, what was done."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build

from dashboards.overview_below import BELOW
from dashboards.panels import STATE_OF_DRIFT, STATE_OF_WORKER, Panel, annotation, board, variable
from stream_retrain.views.catalogue import STATES

P: Final = '{pipeline=~"$pipeline"}'
ROLLING: Final = '{pipeline=~"$pipeline",metric="$metric",window="rolling"}'
RATE: Final = "[$__rate_interval]"
RUNNING: Final = STATES.index("running")


def dashboard() -> build.Dashboard:
    """The dashboard."""
    made = board(
        "stream_retrain / Overview",
        "stream-retrain-overview",
        "All pipelines: from what a person on duty asks first to the details. A row of the table leads to the dashboard of its pipeline.",
        (
            ("At a glance", _GLANCE),
            ("Every pipeline", _FLEET),
            ("Rate, errors, duration", _RED),
            ("Saturation", _SATURATION),
            ("Quality and drift", _QUALITY),
            ("What was done", _DONE),
            ("Kafka, Redis and the processes", BELOW),
        ),
    )
    made.with_variable(variable("pipeline", "Pipeline", "label_values(S_worker_state, pipeline)", several=True))
    made.with_variable(variable("metric", "Metric", 'label_values(S_quality{pipeline=~"$pipeline"}, metric)'))
    drift = f"sum by (pipeline, partition, signal) (changes(S_drift_detected_total{P}[1m])) > 0"
    made.annotation(annotation("Drifts", drift, "red", "{{pipeline}}/{{partition}}: drift of {{signal}}"))
    return made


_GLANCE: Final = (
    Panel(
        title="Targets up",
        says="Processes that Prometheus reaches.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        queries=(('sum(up{job="stream_retrain"})', ""),),
    ),
    Panel(
        title="Workers running",
        says="In state running; those that restore or cannot reach Kafka are not.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        queries=((f"count(S_worker_state{P} == {RUNNING}) or vector(0)", ""),),
    ),
    Panel(
        title="Latest prediction is late by",
        says="Age of the newest processed record, where others wait.",
        kind="stat",
        unit="s",
        width=4,
        height=4,
        bad_above=60,
        queries=((f"max(S_consumer_lag_seconds{P})", ""),),
    ),
    Panel(
        title="Labelled events learned",
        says="Of all pipelines.",
        kind="stat",
        unit="eps",
        width=4,
        height=4,
        queries=((f"sum(rate(S_events_learned_total{P}{RATE}))", ""),),
    ),
    Panel(
        title="Drifts in this range",
        says="A drift is news, and no alarm.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        queries=((f"round(sum(increase(S_drift_detected_total{P}[$__range])))", ""),),
    ),
    Panel(
        title="Alerts firing",
        says="Of the rules that come with stream_retrain.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        bad_above=1,
        queries=(('count(ALERTS{alertname=~"StreamRetrain.*",alertstate="firing"}) or vector(0)', ""),),
    ),
)
_FLEET: Final = (
    Panel(
        title="Pipelines",
        says="The worst of each pipeline's workers and shards. Follow a row for the rest.",
        kind="table",
        unit="none",
        width=24,
        height=7,
        states=STATE_OF_WORKER,
        link="/d/stream-retrain-pipeline?var-pipeline=${__value.text}&${__url_time_range}",
        queries=(
            (f"max by (pipeline) (S_worker_state{P})", ""),
            (f"max by (pipeline) (S_consumer_lag_seconds{P})", ""),
            (f"sum by (pipeline) (rate(S_events_learned_total{P}[5m]))", ""),
            (f"avg by (pipeline) (S_quality{ROLLING})", ""),
            (f"max by (pipeline) (S_model_generation{P})", ""),
            (f"min by (pipeline) (time() - (S_last_drift_timestamp_seconds{P} > 0))", ""),
            (f"max by (pipeline) (time() - S_checkpoint_last_success_timestamp_seconds{P})", ""),
            (f"max by (pipeline) (S_unowned_partitions{P})", ""),
        ),
        columns=(
            ("State", "none"),
            ("Late", "s"),
            ("Learned", "eps"),
            ("Quality", "percentunit"),
            ("Generation", "short"),
            ("Last drift", "s"),
            ("Oldest checkpoint", "s"),
            ("Nobody's partitions", "short"),
        ),
    ),
)
_RED: Final = (
    Panel(
        title="Records taken",
        says="Polled from Kafka, replayed ones included.",
        kind="lines",
        unit="eps",
        low=0,
        queries=((f"sum by (pipeline) (rate(S_records_consumed_total{P}{RATE}))", "{{pipeline}}"),),
    ),
    Panel(
        title="Refused and failed",
        says="Records that became dead letters, predictions that are null, metrics that raised; partitions paused, and by whom.",
        kind="lines",
        unit="eps",
        low=0,
        queries=(
            (f"sum by (pipeline, reason) (rate(S_dead_letters_total{P}{RATE}))", "{{pipeline}} {{reason}}"),
            (f"sum by (pipeline) (rate(S_predictions_failed_total{P}{RATE}))", "{{pipeline}} no prediction"),
            (f"sum by (pipeline, metric) (rate(S_metric_failures_total{P}{RATE}))", "{{pipeline}} {{metric}} raised"),
            (f"sum by (pipeline) (rate(S_intake_pauses_total{P}{RATE}))", "{{pipeline}} pauses"),
            (f"sum by (pipeline) (S_intake_paused{P})", "{{pipeline}} paused partitions"),
            (f"sum by (pipeline) (S_paused{P})", "{{pipeline}} partitions paused by hand"),
        ),
    ),
    Panel(
        title="A batch, a commit, a checkpoint: 99th percentile",
        says="What the loop of a worker does, one after the other.",
        kind="lines",
        unit="s",
        low=0,
        queries=(
            (
                f"histogram_quantile(0.99, sum by (pipeline, stage, le) (rate(S_stage_duration_seconds_bucket{P}{RATE})))",
                "{{pipeline}} {{stage}}",
            ),
        ),
    ),
)
_SATURATION: Final = (
    Panel(
        title="Late by",
        says="0 where nothing waits.",
        kind="lines",
        unit="s",
        low=0,
        width=6,
        queries=((f"max by (pipeline) (S_consumer_lag_seconds{P})", "{{pipeline}}"),),
    ),
    Panel(
        title="Records waiting",
        says="From the committed offset.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=((f"sum by (pipeline) (S_consumer_lag_records{P})", "{{pipeline}}"),),
    ),
    Panel(
        title="Busy",
        says="Share of a worker's time in each stage, summed over workers; the rest is waiting for records.",
        kind="lines",
        unit="percentunit",
        low=0,
        width=6,
        queries=((f"sum by (pipeline, stage) (rate(S_stage_duration_seconds_sum{P}{RATE}))", "{{pipeline}} {{stage}}"),),
    ),
    Panel(
        title="Questions waiting for labels",
        says="Each takes memory and a part of the checkpoint.",
        kind="lines",
        unit="short",
        low=0,
        width=6,
        queries=((f"sum by (pipeline) (S_pending_labels{P})", "{{pipeline}}"),),
    ),
)
_QUALITY: Final = (
    Panel(
        title="Drift",
        says="The worst of each pipeline's detectors. A drift stays for a minute.",
        kind="states",
        unit="none",
        width=12,
        states=STATE_OF_DRIFT,
        queries=((f"max by (pipeline) (S_drift_state{P})", "{{pipeline}}"),),
    ),
    Panel(
        title="Rolling quality",
        says="The metric chosen above, of each shard.",
        kind="lines",
        unit="short",
        width=12,
        queries=((f"max by (pipeline, partition) (S_quality{ROLLING})", "{{pipeline}} {{partition}}"),),
    ),
)
_DONE: Final = (
    Panel(
        title="Drifts and requests",
        says="What called for a reaction.",
        kind="bars",
        unit="short",
        queries=(
            (f"sum by (pipeline) (increase(S_drift_detected_total{P}[$__interval]))", "{{pipeline}} drifts"),
            (f"sum by (pipeline) (increase(S_drift_warnings_total{P}[$__interval]))", "{{pipeline}} warnings"),
            (f"sum by (pipeline) (increase(S_requests_total{P}[$__interval]))", "{{pipeline}} requests"),
            (f"sum by (pipeline, do) (increase(S_requests_refused_total{P}[$__interval]))", "{{pipeline}} {{do}} refused"),
        ),
    ),
    Panel(
        title="Models changed",
        says="Duels that ended by their result, resets, changes of lead, and what somebody promoted or rolled back.",
        kind="bars",
        unit="short",
        queries=(
            (f"sum by (pipeline, result) (increase(S_duels_ended_total{P}[$__interval]))", "{{pipeline}} duel {{result}}"),
            (f"sum by (pipeline) (increase(S_resets_total{P}[$__interval]))", "{{pipeline}} reset"),
            (f"sum by (pipeline, how) (increase(S_promotions_total{P}[$__interval]))", "{{pipeline}} {{how}}"),
            (f"sum by (pipeline, cause) (increase(S_lead_changes_total{P}[$__interval]))", "{{pipeline}} lead changed: {{cause}}"),
        ),
    ),
    Panel(
        title="Trainings",
        says="Asked for, joined a duel, failed.",
        kind="bars",
        unit="short",
        queries=((f"sum by (pipeline, outcome) (increase(S_trainings_total{P}[$__interval]))", "{{pipeline}} {{outcome}}"),),
    ),
)
