"""Every metric family of a worker: its name, kind, labels and meaning, in one place.

Names are without the prefix `stream_retrain_`, and those of counters without `_total`; every family has the label `pipeline` besides.
Quality, generation and drift carry the label `partition`, because a shard (one partition) has a model of its own, and a mean
over shards would hide the one that drifted.
"""

from __future__ import annotations

import typing
from typing import Final, Literal, NamedTuple, TypeAlias

from stream_retrain.facts.worker import WorkerState

__all__ = ["CATALOGUE", "CHECKPOINT_BUCKETS_S", "COMMIT_BUCKETS_S", "HISTOGRAMS", "PREFIX", "STATES", "Family"]

PREFIX: Final = "stream_retrain_"
STATES: Final = typing.get_args(WorkerState)
COMMIT_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CHECKPOINT_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)

Kind: TypeAlias = Literal["counter", "gauge"]


class Family(NamedTuple):
    """A counter or a gauge."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


CATALOGUE: Final[tuple[Family, ...]] = (
    Family("worker_state", "gauge", (), "; ".join(f"{number} {state}" for number, state in enumerate(STATES))),
    Family("records_consumed", "counter", ("topic", "partition"), "records polled, replayed ones included"),
    Family("consumer_lag_records", "gauge", ("topic", "partition"), "newest offset less the next one to process"),
    Family("consumer_offset", "gauge", ("topic", "partition"), "next offset to process"),
    Family("assigned_partitions", "gauge", (), "partitions held by this worker"),
    Family("rebalances", "counter", ("event",), "partitions that came or went"),
    Family("restarts", "counter", (), "times the engine was started again because Kafka or Redis did not answer"),
    Family("transactions", "counter", ("outcome",), "Kafka transactions ended"),
    Family("events_predicted", "counter", (), "predictions put out"),
    Family("events_learned", "counter", (), "labelled events learned, without replayed ones"),
    Family("events_replayed", "counter", (), "events learned again after a restore, without output"),
    Family("dead_letters", "counter", ("reason",), "records sent to the dead-letter topic"),
    Family("labels_unmatched", "counter", ("reason",), "answers without a question, and questions that expired"),
    Family("predictions_failed", "counter", (), "predictions that were none: not finite, or no label"),
    Family("metric_failures", "counter", ("metric",), "predictions on which a metric raised"),
    Family("questions_dropped", "counter", (), "waiting questions that a restart could not keep"),
    Family("last_event_timestamp_seconds", "gauge", (), "newest event time processed"),
    Family("quality", "gauge", ("partition", "role", "metric", "window"), "prequential score, in the metric's own unit"),
    Family("model_generation", "gauge", ("partition",), "number of the champion"),
    Family("model_last_change_timestamp_seconds", "gauge", (), "when a champion was last replaced"),
    Family("resets", "counter", (), "champions replaced by a fresh model"),
    Family("duels_started", "counter", (), "times challengers began to race the champion"),
    Family("duels_ended", "counter", ("result",), "duels that ended, by what came of them"),
    Family("lead_changes", "counter", ("cause",), "times another contestant of a duel began to serve"),
    Family("contestants_failed", "counter", (), "contestants of a duel that raised where another did not"),
    Family("pending_labels", "gauge", ("partition",), "questions waiting for their label"),
    Family("policy_decisions", "counter", ("reaction", "outcome"), "what was decided about triggers"),
    Family("drift_detected", "counter", ("detector", "signal"), "drifts, in a direction that was asked for"),
    Family("drift_state", "gauge", ("partition", "detector", "signal"), "0 stable, 1 warning"),
    Family("drift_statistic", "gauge", ("partition", "detector", "signal"), "the number the detector tests"),
    Family("drift_threshold", "gauge", ("partition", "detector", "signal"), "the line at which it fires"),
    Family("drift_estimate", "gauge", ("partition", "detector", "signal"), "its estimate of the signal's mean"),
    Family("drift_window_events", "gauge", ("partition", "detector", "signal"), "events that estimate rests on"),
    Family("drift_warnings", "counter", ("detector", "signal"), "warnings raised, where a rule asks for them"),
    Family("detector_failures", "counter", ("detector", "signal"), "times a detector raised and was replaced by a fresh one"),
    Family("requests", "counter", (), "requests for a reaction that took effect"),
    Family("duel_active", "gauge", ("partition",), "1 while challengers race the champion, or a rematch goes on"),
    Family("training_active", "gauge", ("partition",), "1 while the trainer works for the shard"),
    Family("training_rows", "gauge", ("partition",), "lessons of the training under way, or of the last one"),
    Family("trainings", "counter", ("outcome",), "trainings by the trainer: requested, joined as challengers, failed"),
    Family("member_weight", "gauge", ("partition", "member"), "share of a member in an adaptive model's prediction"),
    Family("member_restarts", "counter", ("member",), "members of an adaptive model that began afresh"),
    Family("member_lead_changes", "counter", (), "changes of the leading member of an adaptive model"),
    Family("last_drift_timestamp_seconds", "gauge", (), "when a drift was last detected; 0: never"),
    Family("checkpoints", "counter", (), "checkpoints written"),
    Family("checkpoint_failures", "counter", (), "checkpoints that could not be written or read"),
    Family("restores", "counter", ("how",), "shards opened, by what they came back from"),
    Family("replay_debt_records", "gauge", ("partition",), "records to learn again if the worker died now"),
    Family("store_up", "gauge", (), "1 while Redis takes writes; absent until it has answered"),
    Family("store_outages", "counter", (), "times Redis stopped taking writes"),
    Family("window_refills", "counter", (), "windows that Redis had lost rows of, appended again"),
    Family("checkpoint_last_success_timestamp_seconds", "gauge", (), "when the last one was written"),
    Family("checkpoint_size_bytes", "gauge", (), "size of the last one"),
)
HISTOGRAMS: Final = {
    "commit_duration_seconds": ("Kafka transactions, begin to commit", COMMIT_BUCKETS_S),
    "checkpoint_duration_seconds": ("checkpoints, pickled and saved", CHECKPOINT_BUCKETS_S),
}
