"""One pipeline: what drifted, what was done about it, and what came of it."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as build

from dashboards.panels import STATE_OF_DRIFT, YES, Panel, annotation, board, variable
from dashboards.pipeline_flow import CALLED, FLOW, LABELS, OWN_TOPIC, TRAININGS
from dashboards.pipeline_memory import MEMORY
from dashboards.pipeline_requests import REQUESTS
from dashboards.selectors import QUALITY, ROLLING, SERVING, E, X


def dashboard() -> build.Dashboard:
    """The dashboard."""
    made = board(
        "stream_retrain / Pipeline: drift and retraining",
        "stream-retrain-pipeline",
        "One pipeline: what drifted, what was done about it, and what came of it. Red marks are drifts, green ones models that changed.",
        (
            ("Now", _NOW),
            ("Quality", _QUALITY),
            ("Drift", _DRIFT),
            ("Decisions", _DECISIONS),
            ("The duel", _DUEL),
            ("Requests", REQUESTS),
            ("Trainings", TRAININGS),
            ("Labels and windows", LABELS),
            ("Labels of a topic of their own", OWN_TOPIC),
            ("Memory and keys", MEMORY),
            ("Callbacks and webhooks", CALLED),
            ("Flow and state", FLOW),
        ),
    )
    made.with_variable(variable("pipeline", "Pipeline", "label_values(S_worker_state, pipeline)"))
    made.with_variable(variable("partition", "Partition", f"label_values(S_model_generation{E}, partition)", several=True))
    made.with_variable(variable("metric", "Metric", f"label_values(S_quality{E}, metric)"))
    for name, counter, colour, told in (
        ("Drifts", "drift_detected", "red", "drift of {{signal}}, {{detector}}"),
        ("Changes of lead", "lead_changes", "green", "another model serves: {{cause}}"),
        ("Resets", "resets", "purple", "the model was reset"),
    ):
        happened = f"changes(S_{counter}_total{X}[1m]) > 0"
        made.annotation(annotation(name, happened, colour, "partition {{partition}}: " + told))
    return made


_NOW: Final = (
    Panel(
        title="Model",
        says="The declared model, and its task.",
        kind="stat",
        unit="none",
        width=4,
        height=4,
        names=True,
        queries=((f"count by (model, task) (S_pipeline_info{E})", "{{model}}, {{task}}"),),
    ),
    Panel(
        title="Generation",
        says="Number of the champion, of each shard.",
        kind="stat",
        unit="none",
        width=4,
        height=4,
        queries=((f"max by (partition) (S_model_generation{X})", "{{partition}}"),),
    ),
    Panel(
        title="Rolling quality",
        says="The metric chosen above, of each shard.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        queries=((f"max by (partition) (S_quality{ROLLING})", "{{partition}}"),),
    ),
    Panel(
        title="Last drift was",
        says="Ago, on any of the shards; none since the worker's start.",
        kind="stat",
        unit="s",
        width=4,
        height=4,
        queries=((f"min(time() - (S_last_drift_timestamp_seconds{X} > 0))", ""),),
    ),
    Panel(
        title="Model changed",
        says="Ago, on any of the shards.",
        kind="stat",
        unit="s",
        width=4,
        height=4,
        queries=((f"min(time() - (S_model_last_change_timestamp_seconds{X} > 0))", ""),),
    ),
    Panel(
        title="Duels going on",
        says="Shards on which challengers race the champion.",
        kind="stat",
        unit="short",
        width=4,
        height=4,
        queries=((f"sum(S_duel_active{X})", ""),),
    ),
)
_QUALITY: Final = (
    Panel(
        title="Quality",
        says="Rolling, and dashed over all events. Look at the marks: did it fall before a drift, and rise after a change?",
        kind="lines",
        unit="short",
        width=16,
        dashed=".*cumulative.*",
        queries=((f"max by (partition, window) (S_quality{QUALITY})", "{{partition}} {{window}}"),),
    ),
    Panel(
        title="Generation",
        says="A step is a model that changed.",
        kind="lines",
        unit="none",
        low=0,
        queries=((f"max by (partition) (S_model_generation{X})", "{{partition}}"),),
    ),
    Panel(
        title="Members of an adaptive model",
        says="How much each counts, by how well it predicted lately; the mean over shards. Who leads says what the stream is like now.",
        kind="lines",
        unit="percentunit",
        low=0,
        width=12,
        queries=((f"avg by (member) (S_member_weight{X})", "{{member}}"),),
    ),
    Panel(
        title="Members restarted, leads changed",
        says="When they happened.",
        kind="bars",
        unit="short",
        width=12,
        queries=(
            (f"sum by (member) (increase(S_member_restarts_total{X}[$__interval]))", "{{member}} restarted"),
            (f"sum(increase(S_member_lead_changes_total{X}[$__interval]))", "another leads"),
        ),
    ),
)
_DRIFT: Final = (
    Panel(
        title="State of each detector",
        says="A drift stays for a minute, so that a scrape sees it.",
        kind="states",
        unit="none",
        width=24,
        states=STATE_OF_DRIFT,
        queries=((f"max by (partition, signal, detector) (S_drift_state{X})", "{{partition}} {{signal}} {{detector}}"),),
    ),
    Panel(
        title="Statistic and threshold",
        says="Where the line crosses the dashed one, the detector fires.",
        kind="lines",
        unit="short",
        width=12,
        dashed=".*threshold.*",
        queries=(
            (f"max by (partition, signal, detector) (S_drift_statistic{X})", "{{partition}} {{signal}} {{detector}}"),
            (f"max by (partition, signal, detector) (S_drift_threshold{X})", "{{partition}} {{signal}} {{detector}} threshold"),
        ),
    ),
    Panel(
        title="Estimate of the signal's mean",
        says="ADWIN's.",
        kind="lines",
        unit="short",
        width=12,
        queries=((f"max by (partition, signal) (S_drift_estimate{X})", "{{partition}} {{signal}}"),),
    ),
    Panel(
        title="Events that estimate rests on",
        says="It falls where ADWIN cuts off what no longer fits: a saw-tooth.",
        kind="lines",
        unit="short",
        width=12,
        low=0,
        queries=((f"max by (partition, signal) (S_drift_window_events{X})", "{{partition}} {{signal}}"),),
    ),
    Panel(
        title="Drifts, warnings and detectors that raised",
        says="When they happened.",
        kind="bars",
        unit="short",
        width=12,
        queries=(
            (f"sum by (signal, detector) (increase(S_drift_detected_total{X}[$__interval]))", "{{signal}} {{detector}}"),
            (f"sum by (signal, detector) (increase(S_drift_warnings_total{X}[$__interval]))", "warning: {{signal}} {{detector}}"),
            (f"sum by (signal, detector) (increase(S_detector_failures_total{X}[$__interval]))", "raised: {{signal}} {{detector}}"),
        ),
    ),
)
_DECISIONS: Final = (
    Panel(
        title="What the policy decided",
        says="By reaction and outcome: done, or why not (cooldown, in a duel, in a training).",
        kind="bars",
        unit="short",
        width=12,
        queries=((f"sum by (reaction, outcome) (increase(S_policy_decisions_total{X}[$__interval]))", "{{reaction}}: {{outcome}}"),),
    ),
    Panel(
        title="What came of it",
        says="Duels by result, changes of lead by cause, resets.",
        kind="bars",
        unit="short",
        width=12,
        queries=(
            (f"sum by (result) (increase(S_duels_ended_total{X}[$__interval]))", "duel {{result}}"),
            (f"sum by (cause) (increase(S_lead_changes_total{X}[$__interval]))", "lead changed: {{cause}}"),
            (f"sum(increase(S_resets_total{X}[$__interval]))", "reset"),
        ),
    ),
)
_DUEL: Final = (
    Panel(
        title="Duels and trainings",
        says="When challengers raced, and when the trainer worked.",
        kind="states",
        unit="none",
        width=12,
        states=YES,
        queries=(
            (f"max by (partition) (S_duel_active{X})", "{{partition}} duel"),
            (f"max by (partition) (S_training_active{X})", "{{partition}} training"),
        ),
    ),
    Panel(
        title="Loss of each contestant",
        says="Mean over the duel's events, 0 to 1; lower is better.",
        kind="lines",
        unit="short",
        width=12,
        queries=((f"max by (partition, contestant) (S_contestant_loss{X})", "{{partition}} {{contestant}}"),),
    ),
    Panel(
        title="Evidence that it is better than the leader",
        says="An e-value: 1 is none; how much promotes, the rule says.",
        kind="lines",
        unit="short",
        log=True,
        width=8,
        queries=((f"max by (partition, contestant) (S_contestant_e_value{X})", "{{partition}} {{contestant}}"),),
    ),
    Panel(
        title="Evidence that it is worse",
        says="A contestant that is shown to be worse is out.",
        kind="lines",
        unit="short",
        log=True,
        width=8,
        queries=((f"max by (partition, contestant) (S_contestant_e_value_against{X})", "{{partition}} {{contestant}}"),),
    ),
    Panel(
        title="Who serves, after how many events",
        says="The leader of the duel in progress, and the events scored in it.",
        kind="lines",
        unit="short",
        low=0,
        width=8,
        queries=((f"max by (partition) (S_duel_events{X})", "{{partition}} events"), (SERVING, "{{partition}} {{contestant}} serves")),
    ),
    Panel(
        title="Duels begun, contestants that raised",
        says="When they happened.",
        kind="bars",
        unit="short",
        width=24,
        height=6,
        queries=(
            (f"sum by (partition) (increase(S_duels_started_total{X}[$__interval]))", "{{partition}} begun"),
            (f"sum by (partition) (increase(S_contestants_failed_total{X}[$__interval]))", "{{partition}} raised"),
        ),
    ),
)
