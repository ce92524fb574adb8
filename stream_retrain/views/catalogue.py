"""Every metric family of a worker, declared once: its name, kind, labels and meaning. The fold, docs/metrics.md, the dashboards, the
alerts and their tests read it.

Names are without the prefix `stream_retrain_`, and those of counters without `_total`. Every family has the label `pipeline` besides,
but those that say otherwise.

A shard (one partition) has a model of its own, and a sum or a mean over shards would hide the one that drifted. So what is said of a
shard, and what its decisions are counted by, has the label `partition`. Where the facts that raise a counter go to the decisions topic,
it counts decisions.
"""

from __future__ import annotations

import typing
from typing import Final, Literal, NamedTuple, TypeAlias

from stream_retrain.facts.worker import WorkerState

__all__ = ["CATALOGUE", "GROUPS", "LABELS", "OF_THE_PARENT", "PREFIX", "STATES", "Family", "Group"]

PREFIX: Final = "stream_retrain_"
STATES: Final = typing.get_args(WorkerState)

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "info"]

_STAGE_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_TRAINING_BUCKETS_S: Final = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_CALL_BUCKETS_S: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
_DELAY_BUCKETS_S: Final = (0.1, 1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0)


class Family(NamedTuple):
    """A metric family; `buckets` are those of a histogram."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """Its name as it is scraped; a histogram has `_bucket`, `_sum` and `_count` after it."""
        return PREFIX + self.name + {"counter": "_total", "info": "_info"}.get(self.kind, "")

    @property
    def every_label(self) -> tuple[str, ...]:
        """Its labels with `pipeline` among them, where it has that."""
        return self.labels if self.name in NO_PIPELINE else ("pipeline", *self.labels)


class Group(NamedTuple):
    """Families that answer one question."""

    title: str
    families: tuple[Family, ...]


OF_THE_PARENT: Final = frozenset({"worker_up", "worker_starts", "merge_seconds"})
"""Families of the parent of `run --workers N`, whose exposition holds those of its workers too."""
NO_PIPELINE: Final = OF_THE_PARENT | {"build"}
_P: Final = ("partition",)
_H: Final = ("handler",)
_PLACE: Final = ("topic", "partition")
_WATCH: Final = ("partition", "detector", "signal")

GROUPS: Final[tuple[Group, ...]] = (
    Group(
        "What runs",
        (
            Family("build", "info", ("version", "python", "river"), "versions of the running worker"),
            Family("pipeline", "info", ("task", "topic", "model"), "what the pipeline declares, for joins"),
            Family("worker_state", "gauge", (), "; ".join(f"{number} {state}" for number, state in enumerate(STATES))),
            Family("restarts", "counter", (), "times the engine was started again because Kafka or Redis did not answer"),
        ),
    ),
    Group(
        "Kafka: how much, how late, whose",
        (
            Family("records_consumed", "counter", _PLACE, "records polled, replayed ones included"),
            Family("consumer_lag_records", "gauge", _PLACE, "newest offset less the committed one"),
            Family("consumer_lag_seconds", "gauge", _PLACE, "age of the newest record processed while others wait, else 0"),
            Family("consumer_offset", "gauge", _PLACE, "next offset to process"),
            Family("assigned_partitions", "gauge", (), "partitions held by this worker"),
            Family("source_partitions", "gauge", (), "partitions of the source topic; absent until the group was looked at"),
            Family("unowned_partitions", "gauge", (), "partitions that no member of the stable group has, as this worker last saw it"),
            Family("rebalances", "counter", ("event",), "partitions that came or went"),
            Family("transactions", "counter", ("outcome",), "Kafka transactions ended"),
            Family("outputs_committed", "counter", (), "predictions, decisions and dead letters committed"),
            Family("last_event_timestamp_seconds", "gauge", (), "newest event time processed"),
            Family("stage_duration_seconds", "histogram", ("stage",), "where the loop's time goes; the rest is waiting", _STAGE_BUCKETS_S),
        ),
    ),
    Group(
        "Events and labels",
        (
            Family("events_predicted", "counter", (), "predictions put out"),
            Family("events_learned", "counter", (), "labelled events learned, without replayed ones"),
            Family("events_replayed", "counter", (), "events learned again after a restore, without output"),
            Family("dead_letters", "counter", ("reason",), "records sent to the dead-letter topic"),
            Family("records_passed", "counter", (), "records that the pipeline's own decode passed over"),
            Family("intake_pauses", "counter", _P, "times the share of refused records that the pipeline allows was reached"),
            Family("intake_paused", "gauge", _P, "1 where nothing of the partition is taken because of it, until somebody says so"),
            Family("paused", "gauge", _P, "1 where nothing of the partition is taken because somebody asked for it, until it is resumed"),
            Family("predictions_failed", "counter", (), "predictions that were none: not finite, or no label"),
            Family("pending_labels", "gauge", _P, "questions waiting for their label"),
            Family("label_delay_seconds", "histogram", (), "event time from a question to its answer", _DELAY_BUCKETS_S),
            Family("labels_unmatched", "counter", ("reason",), "answers without a question, and questions that expired"),
            Family("label_join_ratio", "gauge", _P, "share of answers that found their question, since the shard began; absent before any"),
            Family("early_labels", "gauge", _P, "answers kept, because their question has not come"),
            Family("questions_dropped", "counter", (), "waiting questions that a restart could not keep"),
        ),
    ),
    Group(
        "Labels of a topic of their own; absent where there is none",
        (
            Family("label_relay_up", "gauge", (), "1 while the relay of labels runs; 0 while it tries again, or is stopped"),
            Family("labels_relayed", "counter", (), "labels brought to the partition of their question"),
            Family("labels_waiting", "gauge", (), "labels in the relay of this worker that wait for their questions"),
            Family("labels_lag_records", "gauge", (), "labels that the relay of this worker has not read"),
            Family("label_questions_known", "gauge", (), "questions of which the relay knows the partition (route id)"),
        ),
    ),
    Group(
        "Quality of the model that serves",
        (
            Family("quality", "gauge", ("partition", "metric", "window"), "prequential score; absent until a label has come"),
            Family("quality_bigger_is_better", "gauge", ("metric",), "1 where a larger value is better, 0 where a smaller is"),
            Family("metric_failures", "counter", ("metric",), "predictions on which a metric raised"),
            Family("model_generation", "gauge", _P, "number of the champion"),
            Family("model_last_change_timestamp_seconds", "gauge", _P, "when the champion was last replaced; 0: not since the start"),
            Family(
                "member_weight",
                "gauge",
                ("partition", "member"),
                "how much a member of an adaptive model counts, by its predictions lately",
            ),
            Family("member_restarts", "counter", ("partition", "member"), "members of an adaptive model that began afresh"),
            Family("member_lead_changes", "counter", _P, "changes of the leading member of an adaptive model"),
            Family("model_keys", "gauge", ("partition", "tier"), "keys that have a model of their own"),
            Family("model_keys_bytes", "gauge", ("partition", "tier"), "about the memory their models take"),
            Family("model_keys_put_away", "gauge", _P, "models packed, since the model that serves began"),
            Family("model_keys_taken_back", "gauge", _P, "models unpacked, because their key was used again"),
            Family("model_keys_dropped", "gauge", _P, "keys whose model was dropped, to stay within the limits"),
            Family("model_keys_shared_answers", "gauge", _P, "predictions for keys that had no model: new ones, and missing ones"),
        ),
    ),
    Group(
        "Memory, where it is limited",
        (
            Family("memory_high", "counter", (), "minutes in which the process had more than 80 % of memory_bytes_max"),
            Family("memory_max_bytes", "gauge", (), "memory_bytes_max, since the process came near it"),
            Family("model_memory_bytes", "gauge", _P, "about what the largest model of the shard takes, as measured last"),
            Family("model_memory_max_bytes", "gauge", _P, "the lowest limit of a model that is declared"),
            Family("shard_memory_bytes", "gauge", _P, "about what all models of the shard take"),
            Family("shard_memory_max_bytes", "gauge", _P, "the lowest limit of a shard that is declared"),
            Family("memory_reached", "counter", _P, "times a limit was passed"),
            Family("models_pruned", "counter", _P, "times models gave memory back"),
        ),
    ),
    Group(
        "Drift",
        (
            Family("drift_detected", "counter", _WATCH, "drifts, in a direction that was asked for"),
            Family("drift_warnings", "counter", _WATCH, "warnings raised, where a rule asks for them"),
            Family("drift_state", "gauge", _WATCH, "0 stable, 1 warning, 2 a drift in the last 60 s"),
            Family("drift_statistic", "gauge", _WATCH, "the number the detector tests"),
            Family("drift_threshold", "gauge", _WATCH, "the line at which it fires"),
            Family("drift_estimate", "gauge", _WATCH, "its estimate of the signal's mean"),
            Family("drift_window_events", "gauge", _WATCH, "events that estimate rests on"),
            Family("detector_failures", "counter", _WATCH, "times a detector raised and was replaced by a fresh one"),
            Family("last_drift_timestamp_seconds", "gauge", _P, "when a drift was last detected; 0: not since the start"),
        ),
    ),
    Group(
        "Reactions: decisions, duels, trainings",
        (
            Family("requests", "counter", _P, "requests for a reaction that took effect"),
            Family("schedules_missed", "counter", (), "times of schedules (On.cron) at which a shard was not asked"),
            Family("requests_refused", "counter", ("partition", "do"), "requests that could not be done, by what was asked for"),
            Family("promotions", "counter", ("partition", "how"), "versions that somebody had take the champion's place"),
            Family("policy_decisions", "counter", ("partition", "reaction", "outcome"), "what was decided about triggers"),
            Family("resets", "counter", _P, "champions replaced by a fresh model"),
            Family("duels_started", "counter", _P, "times challengers began to race the champion"),
            Family("duels_ended", "counter", ("partition", "result"), "duels that ended, by what came of them"),
            Family("lead_changes", "counter", ("partition", "cause"), "times another contestant of a duel began to serve"),
            Family("contestants_failed", "counter", _P, "contestants of a duel that raised where another did not"),
            Family("duel_active", "gauge", _P, "1 while challengers race the champion, or a rematch goes on"),
            Family("duel_events", "gauge", _P, "events scored in the duel in progress"),
            Family("contestant_loss", "gauge", ("partition", "contestant"), "mean loss of a contestant of the duel in progress, 0 to 1"),
            Family("contestant_e_value", "gauge", ("partition", "contestant"), "evidence that it is better than the leader; 1 is none"),
            Family("contestant_e_value_against", "gauge", ("partition", "contestant"), "evidence that it is worse than the leader"),
            Family("contestant_serves", "gauge", ("partition", "contestant"), "1 for the contestant that serves"),
            Family("training_active", "gauge", _P, "1 while the trainer works for the shard"),
            Family("training_rows", "gauge", _P, "rows learned by the training under way, or by the last one; 0: nobody began it"),
            Family("training_waits_seconds", "gauge", _P, "how long a training has waited for a trainer; 0: none waits for long"),
            Family("training_duration_seconds", "histogram", (), "trainings that were handed over", _TRAINING_BUCKETS_S),
            Family("trainings", "counter", ("partition", "outcome"), "trainings: requested, back and waiting for a duel, joined, failed"),
        ),
    ),
    Group(
        "State that survives a crash",
        (
            Family("checkpoints", "counter", (), "checkpoints written"),
            Family("checkpoint_failures", "counter", (), "checkpoints that could not be written or read"),
            Family("checkpoint_last_success_timestamp_seconds", "gauge", _P, "when the last one was written, or the shard was opened"),
            Family("checkpoint_size_bytes", "gauge", _P, "size of the last one"),
            Family("restores", "counter", ("how",), "shards opened, by what they came back from"),
            Family("restores_told", "counter", ("partition", "how"), "those that a replay must know of, told in the decisions topic"),
            Family("artifacts_evicted", "counter", (), "joined challengers no longer kept for a replay"),
            Family("artifacts_evicted_bytes", "counter", (), "bytes they took"),
            Family(
                "model_copies_kept",
                "counter",
                (),
                "copies of models kept: as one begins to serve, as it stops, and of challengers",
            ),
            Family("model_copies_dropped", "counter", (), "copies of models dropped, because they were beyond a limit"),
            Family("model_copies_waiting", "gauge", _P, "copies of models in Redis that wait for the object store"),
            Family("model_copy_failures", "counter", (), "times the object store did not take one: it is tried again"),
            Family("replay_debt_records", "gauge", _P, "records to learn again if the worker died now"),
            Family("window_rows", "gauge", _P, "rows in the shard's window, of the last 50,000"),
            Family("window_waiting_rows", "gauge", _P, "rows that wait for their commit, or for Redis"),
            Family("window_oldest_timestamp_seconds", "gauge", _P, "event time of the oldest of those rows"),
            Family("window_refills", "counter", (), "windows that Redis had lost rows of, appended again"),
            Family("store_up", "gauge", (), "1 while Redis takes writes; absent until it has answered"),
            Family("store_outages", "counter", (), "times Redis stopped taking writes"),
        ),
    ),
    Group(
        "The topic of requests; absent where it is not read",
        (
            Family("request_topic_up", "gauge", (), "1 while it is read, here or by another worker; 0 while it is tried again, or stopped"),
            Family("request_topic_taken", "counter", (), "requests of it that were put into the store"),
            Family("request_topic_lag_records", "gauge", (), "records of it that are not read; absent where another worker reads"),
        ),
    ),
    Group(
        "Callbacks and webhooks, where a worker has started their process; absent where there are none",
        (
            Family("callbacks_up", "gauge", (), "1 while they are called; 0 while Kafka or their process is tried again"),
            Family("callbacks_called", "counter", _H, "calls that ended, repeated ones included"),
            Family("callbacks_failed", "counter", _H, "calls that failed: raised, took too long, were refused"),
            Family("callbacks_retried", "counter", _H, "calls that were another attempt at a decision"),
            Family("callbacks_dead", "counter", _H, "decisions that became dead letters"),
            Family("callbacks_waiting", "gauge", _H, "decisions that a handler is not done with"),
            Family("callbacks_lag_records", "gauge", (), "decisions in the topic that are not done with"),
            Family("callback_duration_seconds", "histogram", _H, "how long a call took", _CALL_BUCKETS_S),
        ),
    ),
    Group(
        "What scraping costs",
        (
            Family("scrapes", "counter", (), "expositions made"),
            Family("scrape_seconds", "counter", (), "time spent making them"),
            Family("worker_up", "gauge", ("worker",), "with --workers: 1 where a worker process answered this scrape"),
            Family("worker_starts", "counter", ("worker",), "with --workers: times a worker process was started"),
            Family("merge_seconds", "gauge", (), "with --workers: what asking all of them took"),
        ),
    ),
)
CATALOGUE: Final[tuple[Family, ...]] = tuple(family for group in GROUPS for family in group.families)

LABELS: Final = {
    "pipeline": "the pipeline's name",
    "partition": "a partition of the source that this worker has, or has had since it started",
    "topic": "the source",
    "reason": "a closed set: why a record was refused, or why a label found no question",
    "event": "assigned, revoked, lost",
    "outcome": "a closed set: of transactions, decisions or trainings",
    "stage": "process, commit, checkpoint",
    "metric": "a metric the pipeline declares",
    "window": "cumulative, rolling",
    "tier": "hot: ready to predict; cold: put away",
    "member": "a member of an adaptive model, at most 20",
    "detector": "the class of a watch's detector",
    "signal": "the signal of a watch: error, loss, prediction, feature:NAME and so on",
    "reaction": "the class of a rule's reaction",
    "result": "promoted, kept, undecided, superseded",
    "cause": "evidence, failure",
    "contestant": "a contestant of the duel in progress, at most 20",
    "how": "a closed set: what a shard came back from; of promotions: promote, rollback",
    "do": "retrain, reset, promote, rollback, pause, resume",
    "handler": "a callback, a webhook or an integration that the pipeline declares, by its name",
    "worker": "with --workers: the number of the worker process, from 0; on every family that comes from one",
    "task": "binary, multiclass, regression",
    "model": "the class of the declared model, or those of its steps",
    "version": "of stream_retrain",
    "python": "of Python",
    "river": "of River",
}
