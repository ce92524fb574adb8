"""The lower half of the pipeline's dashboard: trainings, labels and windows, flow and state."""

from __future__ import annotations

from typing import Final

from dashboards.panels import Panel
from dashboards.selectors import ANSWERED, EXPIRED, RATE, E, X

__all__ = ["CALLED", "FLOW", "LABELS", "OWN_TOPIC", "TRAININGS"]

TRAININGS: Final = (
    Panel(
        title="Trainings",
        says="Requested, joined a duel as a challenger, failed.",
        kind="bars",
        unit="short",
        width=6,
        queries=((f"sum by (outcome) (increase(S_trainings_total{X}[$__interval]))", "{{outcome}}"),),
    ),
    Panel(
        title="Rows learned",
        says="By the training under way, or the last one. Stays at 0 where nobody took it.",
        kind="lines",
        unit="short",
        width=6,
        low=0,
        queries=((f"max by (partition) (S_training_rows{X})", "{{partition}}"),),
    ),
    Panel(
        title="Waits for a trainer",
        says="With `trainer = pool`: how long nobody has taken the training of a shard. 0: somebody has, or none waits for long.",
        kind="lines",
        unit="s",
        width=6,
        low=0,
        queries=((f"max by (partition) (S_training_waits_seconds{X})", "{{partition}}"),),
    ),
    Panel(
        title="Duration",
        says="Median and 95th percentile of those that were handed over.",
        kind="lines",
        unit="s",
        width=6,
        low=0,
        queries=(
            (f"histogram_quantile(0.5, sum by (le) (increase(S_training_duration_seconds_bucket{E}[1h])))", "median"),
            (f"histogram_quantile(0.95, sum by (le) (increase(S_training_duration_seconds_bucket{E}[1h])))", "95th percentile"),
        ),
    ),
)
LABELS: Final = (
    Panel(
        title="From a question to its label",
        says="Event time; the darker, the more labels.",
        kind="heatmap",
        unit="s",
        queries=((f"sum by (le) (increase(S_label_delay_seconds_bucket{E}{RATE}))", "{{le}}"),),
    ),
    Panel(
        title="Questions that found a label",
        says="Of those that were answered or expired; and of all labels of a shard, those that found their question.",
        kind="lines",
        unit="percentunit",
        low=0,
        queries=(
            (f"{ANSWERED} / ({ANSWERED} + {EXPIRED})", "answered"),
            (f"max by (partition) (S_label_join_ratio{X})", "labels of {{partition}} that found a question"),
        ),
    ),
    Panel(
        title="Labels and questions without each other",
        says="By reason. A restart may drop waiting questions, too.",
        kind="lines",
        unit="eps",
        low=0,
        queries=(
            (f"sum by (reason) (rate(S_labels_unmatched_total{E}{RATE}))", "{{reason}}"),
            (f"sum(rate(S_questions_dropped_total{E}{RATE}))", "dropped by a restart"),
        ),
    ),
    Panel(
        title="Questions waiting",
        says="Of each shard; dashed: labels that wait for their questions.",
        kind="lines",
        unit="short",
        low=0,
        dashed=".*first.*",
        queries=(
            (f"max by (partition) (S_pending_labels{X})", "{{partition}}"),
            (f"max by (partition) (S_early_labels{X})", "{{partition}}, labels that came first"),
        ),
    ),
    Panel(
        title="Rows in the window",
        says="What trainings learn from; dashed: rows that wait for their commit, or for Redis.",
        kind="lines",
        unit="short",
        low=0,
        dashed=".*waiting.*",
        queries=(
            (f"max by (partition) (S_window_rows{X})", "{{partition}}"),
            (f"max by (partition) (S_window_waiting_rows{X})", "{{partition}} waiting"),
        ),
    ),
    Panel(
        title="The window reaches back",
        says="Event time, from its oldest row to the newest event.",
        kind="lines",
        unit="s",
        low=0,
        queries=(
            (
                f"max by (partition) (scalar(max(S_last_event_timestamp_seconds{E})) - S_window_oldest_timestamp_seconds{X})",
                "{{partition}}",
            ),
        ),
    ),
)
OWN_TOPIC: Final = (
    Panel(
        title="Labels relayed",
        says="Brought to the partition of their question. Dashed: 1 while the relay of labels runs.",
        kind="lines",
        unit="eps",
        low=0,
        dashed="relay runs",
        queries=((f"sum(rate(S_labels_relayed_total{E}{RATE}))", "labels"), (f"min(S_label_relay_up{E})", "relay runs")),
    ),
    Panel(
        title="Labels not relayed yet",
        says="Not read, or read and waiting for their questions.",
        kind="lines",
        unit="short",
        low=0,
        queries=((f"sum(S_labels_lag_records{E})", "not read"), (f"sum(S_labels_waiting{E})", "waiting for their questions")),
    ),
    Panel(
        title="Questions the relay knows",
        says="With route id: those whose partition it can tell, in the relay that knows most.",
        kind="lines",
        unit="short",
        low=0,
        queries=((f"max(S_label_questions_known{E})", "questions"),),
    ),
)
CALLED: Final = (
    Panel(
        title="Calls of callbacks and webhooks",
        says="Those that ended; the failed and the repeated ones among them, and decisions that became dead letters.",
        kind="bars",
        unit="short",
        queries=(
            (f"sum by (handler) (increase(S_callbacks_called_total{E}[$__interval]))", "{{handler}}"),
            (f"sum by (handler) (increase(S_callbacks_failed_total{E}[$__interval]))", "{{handler}} failed"),
            (f"sum by (handler) (increase(S_callbacks_retried_total{E}[$__interval]))", "{{handler}} again"),
            (f"sum by (handler) (increase(S_callbacks_dead_total{E}[$__interval]))", "{{handler}} dead letters"),
        ),
    ),
    Panel(
        title="Decisions that wait for callbacks",
        says="By handler. Dashed: those of the topic that are not done with, and 1 while the handlers are called at all.",
        kind="lines",
        unit="short",
        low=0,
        dashed="in the topic|called at all",
        queries=(
            (f"sum by (handler) (S_callbacks_waiting{E})", "{{handler}}"),
            (f"sum(S_callbacks_lag_records{E})", "in the topic"),
            (f"min(S_callbacks_up{E})", "called at all"),
        ),
    ),
    Panel(
        title="How long a call takes",
        says="Nine of ten calls take no longer.",
        kind="lines",
        unit="s",
        low=0,
        queries=((f"histogram_quantile(0.9, sum by (handler, le) (rate(S_callback_duration_seconds_bucket{E}{RATE})))", "{{handler}}"),),
    ),
)
FLOW: Final = (
    Panel(
        title="Predicted, learned, learned again",
        says="The last after a restore, without output. Besides: records that the pipeline's decode passes over.",
        kind="lines",
        unit="eps",
        low=0,
        queries=(
            (f"sum(rate(S_events_predicted_total{E}{RATE}))", "predicted"),
            (f"sum(rate(S_events_learned_total{E}{RATE}))", "learned"),
            (f"sum(rate(S_events_replayed_total{E}{RATE}))", "learned again"),
            (f"sum(rate(S_records_passed_total{E}{RATE}))", "passed over by decode"),
        ),
    ),
    Panel(
        title="Records waiting",
        says="Of each shard, from the committed offset.",
        kind="lines",
        unit="short",
        low=0,
        queries=((f"sum by (partition) (S_consumer_lag_records{X})", "{{partition}}"),),
    ),
    Panel(
        title="Late by",
        says="Of each shard; 0 where nothing waits.",
        kind="lines",
        unit="s",
        low=0,
        queries=((f"max by (partition) (S_consumer_lag_seconds{X})", "{{partition}}"),),
    ),
    Panel(
        title="Offsets",
        says="Records a second by the offset each shard has processed.",
        kind="lines",
        unit="eps",
        queries=((f"max by (partition) (deriv(S_consumer_offset{X}[1m]))", "{{partition}}"),),
    ),
    Panel(
        title="Share of a worker's time",
        says="In each stage, summed over workers.",
        kind="lines",
        unit="percentunit",
        low=0,
        queries=((f"sum by (stage) (rate(S_stage_duration_seconds_sum{E}{RATE}))", "{{stage}}"),),
    ),
    Panel(
        title="A batch",
        says="How long batches took; the darker, the more of them.",
        kind="heatmap",
        unit="s",
        queries=((f'sum by (le) (increase(S_stage_duration_seconds_bucket{{pipeline="$pipeline",stage="process"}}{RATE}))', "{{le}}"),),
    ),
    Panel(
        title="Age of the checkpoint",
        says="Of each shard.",
        kind="lines",
        unit="s",
        low=0,
        queries=((f"time() - max by (partition) (S_checkpoint_last_success_timestamp_seconds{X})", "{{partition}}"),),
    ),
    Panel(
        title="To learn again after a crash",
        says="Records since the checkpoint.",
        kind="lines",
        unit="short",
        low=0,
        queries=((f"max by (partition) (S_replay_debt_records{X})", "{{partition}}"),),
    ),
    Panel(
        title="Size of a checkpoint",
        says="Model, detectors, waiting questions and all; it shows what grows.",
        kind="lines",
        unit="bytes",
        low=0,
        queries=((f"max by (partition) (S_checkpoint_size_bytes{X})", "{{partition}}"),),
    ),
    Panel(
        title="Checkpoints and restores",
        says="When they happened.",
        kind="bars",
        unit="short",
        width=24,
        height=6,
        queries=(
            (f"sum(increase(S_checkpoints_total{E}[$__interval]))", "written"),
            (f"sum(increase(S_checkpoint_failures_total{E}[$__interval]))", "failed"),
            (f"sum by (how) (increase(S_restores_total{E}[$__interval]))", "restored: {{how}}"),
        ),
    ),
    Panel(
        title="Copies of models",
        says="One is kept as a generation begins, and as it ends.",
        kind="bars",
        unit="short",
        width=12,
        height=6,
        queries=(
            (f"sum(increase(S_model_copies_kept_total{E}[$__interval]))", "kept"),
            (f"sum(increase(S_model_copies_dropped_total{E}[$__interval]))", "dropped, beyond a limit"),
            (f"sum(increase(S_model_copy_failures_total{E}[$__interval]))", "refused by the object store"),
        ),
    ),
    Panel(
        title="Copies that wait for the object store",
        says="They are in Redis meanwhile. More and more: see that it answers and is not full.",
        kind="lines",
        unit="short",
        width=12,
        height=6,
        low=0,
        queries=((f"max by (partition) (S_model_copies_waiting{X})", "{{partition}}"),),
    ),
)
