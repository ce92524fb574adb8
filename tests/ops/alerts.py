"""For each alert, series on which it must fire and series on which it must stay silent. `promtool test rules` judges.

A series is a sample a minute, in promtool's notation: `0+60x30` rises by 60 for 30 minutes, `5x30` stays. Names are without the prefix.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CASES", "Case"]

JOB: Final = 'job="stream_retrain",instance="a:9464"'
P: Final = 'pipeline="p"'
P0: Final = 'pipeline="p",partition="0"'
P1: Final = 'pipeline="p",partition="1"'
Q: Final = 'pipeline="calm",partition="0"'


class Case(NamedTuple):
    """Series, and the labels of what fires at a minute: none where it must be silent."""

    what: str
    series: dict[str, str]
    at: int
    fires: tuple[str, ...] = ()


def quality(partition: str, metric: str, rolling: str, cumulative: str) -> dict[str, str]:
    return {
        f'quality{{{partition},metric="{metric}",window="rolling"}}': rolling,
        f'quality{{{partition},metric="{metric}",window="cumulative"}}': cumulative,
        f'quality_bigger_is_better{{{P},metric="Accuracy"}}': "1x200",
        f'quality_bigger_is_better{{{P},metric="LogLoss"}}': "0x200",
    }


ADWIN: Final = 'detector="ADWIN",signal="error"'
CASES: Final[dict[str, tuple[Case, ...]]] = {
    "StreamRetrainDown": (
        Case("a target that does not answer", {f"up{{{JOB}}}": "1x5 0x10"}, 9, (JOB,)),
        Case("no target of that name", {'up{job="other"}': "1x10"}, 5, ('job="stream_retrain"',)),
        Case("a minute only", {f"up{{{JOB}}}": "1x5 0 0 1x5"}, 7),
    ),
    "StreamRetrainWorkerDown": (
        Case("one of two", {'worker_up{worker="0"}': "1x10", 'worker_up{worker="1"}': "1x2 0x10"}, 8, ('worker="1"',)),
        Case("started again at once", {'worker_up{worker="1"}': "1x2 0 1x10"}, 8),
    ),
    "StreamRetrainCrashLoop": (
        Case("a start every three minutes", {f"process_start_time_seconds{{{JOB}}}": "0 0 0 180x2 360x2 540x2 720x2 900x2"}, 17, (JOB,)),
        Case("one restart", {f"process_start_time_seconds{{{JOB}}}": "0x5 300x15"}, 17),
    ),
    "StreamRetrainDegraded": (
        Case("for ten minutes", {f"worker_state{{{P}}}": "2x3 3x10"}, 12, (P,)),
        Case("Kafka came back", {f"worker_state{{{P}}}": "2x3 3x3 2x10"}, 12),
        Case("draining", {f"worker_state{{{P}}}": "4x20"}, 12),
    ),
    "StreamRetrainStoreDown": (
        Case("for ten minutes", {f"store_up{{{P}}}": "1x3 0x10"}, 8, (P,)),
        Case("nobody has asked it", {f"worker_state{{{P}}}": "2x10"}, 8),
        Case("a minute", {f"store_up{{{P}}}": "1x3 0 1x10"}, 8),
    ),
    "StreamRetrainMemoryHigh": (
        Case("a process near its limit", {f"memory_high_total{{{P}}}": "0x3 0+1x20"}, 15, (P,)),
        Case("it was for a minute", {f"memory_high_total{{{P}}}": "0x3 1x40"}, 8),
        Case("models pass a limit again and again", {f"memory_reached_total{{{P0}}}": "0+1x40"}, 20, (P,)),
        Case("they did twice", {f"memory_reached_total{{{P0}}}": "0x5 1x5 2x40"}, 30),
    ),
    "StreamRetrainStalled": (
        Case(
            "one partition of two",
            {
                f"consumer_lag_records{{{P0}}}": "5+5x30",
                f"records_consumed_total{{{P0}}}": "9x30",
                f"consumer_lag_records{{{P1}}}": "5x30",
                f"records_consumed_total{{{P1}}}": "0+60x30",
            },
            20,
            (P0,),
        ),
        Case("idle", {f"consumer_lag_records{{{P0}}}": "0x30", f"records_consumed_total{{{P0}}}": "9x30"}, 20),
        Case(
            "its counter stays with the worker that had it before",
            {
                f'consumer_lag_records{{{P0},instance="b"}}': "5x30",
                f'records_consumed_total{{{P0},instance="a"}}': "900x30",
                f'records_consumed_total{{{P0},instance="b"}}': "0+60x30",
            },
            20,
        ),
    ),
    "StreamRetrainLagGrowing": (
        Case(
            "late and later",
            {f"consumer_lag_seconds{{{P0}}}": "0+10x60", f"consumer_lag_records{{{P0}}}": "0+600x60"},
            30,
            (P,),
        ),
        Case("late but catching up", {f"consumer_lag_seconds{{{P0}}}": "600-10x40", f"consumer_lag_records{{{P0}}}": "60000-600x40"}, 30),
        Case("a few seconds", {f"consumer_lag_seconds{{{P0}}}": "5x60", f"consumer_lag_records{{{P0}}}": "0+600x60"}, 30),
    ),
    "StreamRetrainPartitionsUnowned": (
        Case("two of them", {f"unowned_partitions{{{P}}}": "0x3 2x10"}, 8, (P,)),
        Case("given out again", {f"unowned_partitions{{{P}}}": "0x3 2 0x10"}, 8),
    ),
    "StreamRetrainRebalanceStorm": (
        Case(
            "each of four came eight times",
            {f'rebalances_total{{{P},event="assigned"}}': "0+2x40", f"assigned_partitions{{{P}}}": "4x40"},
            30,
            (P,),
        ),
        Case("a rolling restart", {f'rebalances_total{{{P},event="assigned"}}': "4x5 8x40", f"assigned_partitions{{{P}}}": "4x40"}, 20),
    ),
    "StreamRetrainTransactionsAborting": (
        Case(
            "every fifth",
            {f'transactions_total{{{P},outcome="committed"}}': "0+80x30", f'transactions_total{{{P},outcome="aborted"}}': "0+20x30"},
            20,
            (P,),
        ),
        Case(
            "one in a hundred",
            {f'transactions_total{{{P},outcome="committed"}}': "0+99x30", f'transactions_total{{{P},outcome="aborted"}}': "0+1x30"},
            20,
        ),
        Case("none at all", {f'transactions_total{{{P},outcome="committed"}}': "0x30"}, 20),
    ),
    "StreamRetrainCheckpointStale": (
        Case(
            "one partition of two, while it learns",
            {
                f"checkpoint_last_success_timestamp_seconds{{{P0}}}": "0x60",
                f"replay_debt_records{{{P0}}}": "0+100x60",
                f"checkpoint_last_success_timestamp_seconds{{{P1}}}": "0+60x60",
                f"replay_debt_records{{{P1}}}": "50x60",
            },
            30,
            (P0,),
        ),
        Case("nothing to save", {f"checkpoint_last_success_timestamp_seconds{{{P0}}}": "0x60", f"replay_debt_records{{{P0}}}": "0x60"}, 30),
    ),
    "StreamRetrainDeadLetters": (
        Case(
            "every twentieth",
            {f'dead_letters_total{{{P},reason="schema"}}': "0+5x60", f"records_consumed_total{{{P0}}}": "0+100x60"},
            40,
            (P,),
        ),
        Case(
            "one in a thousand",
            {f'dead_letters_total{{{P},reason="decode"}}': "0+1x60", f"records_consumed_total{{{P0}}}": "0+1000x60"},
            40,
        ),
    ),
    "StreamRetrainIntakePaused": (
        Case("one partition of two", {f"intake_paused{{{P0}}}": "1x30", f"intake_paused{{{P1}}}": "0x30"}, 20, (P0,)),
        Case("for half a minute", {f"intake_paused{{{P0}}}": "0x15 1x0 0x15"}, 20),
    ),
    "StreamRetrainPredictionsFailing": (
        Case("one in ten", {f"predictions_failed_total{{{P}}}": "0+10x30", f"events_predicted_total{{{P}}}": "0+100x30"}, 20, (P,)),
        Case("one in a thousand", {f"predictions_failed_total{{{P}}}": "0+1x30", f"events_predicted_total{{{P}}}": "0+1000x30"}, 20),
    ),
    "StreamRetrainLabelsMissing": (
        Case(
            "every third expires",
            {f'labels_unmatched_total{{{P},reason="expired_age"}}': "0+33x120", f"label_delay_seconds_count{{{P}}}": "0+66x120"},
            100,
            (P,),
        ),
        Case(
            "one in twenty",
            {f'labels_unmatched_total{{{P},reason="expired_age"}}': "0+5x120", f"label_delay_seconds_count{{{P}}}": "0+95x120"},
            100,
        ),
        Case(
            "labels without a question are no missing labels",
            {f'labels_unmatched_total{{{P},reason="no_question"}}': "0+50x120", f"label_delay_seconds_count{{{P}}}": "0+50x120"},
            100,
        ),
    ),
    "StreamRetrainLabelRelayDown": (
        Case("the topic is not there", {f"label_relay_up{{{P}}}": "1x3 0x20"}, 15, (P,)),
        Case("Kafka came back", {f"label_relay_up{{{P}}}": "1x3 0x5 1x20"}, 15),
        Case("no relay is declared", {f"worker_state{{{P}}}": "2x20"}, 15),
    ),
    "StreamRetrainRequestTopicDown": (
        Case("no worker may read it", {f"request_topic_up{{{P}}}": "1x3 0x20"}, 15, (P,)),
        Case("another worker reads it", {f"request_topic_up{{{P}}}": "0x20", f'request_topic_up{{{P},instance="b"}}': "1x20"}, 15),
        Case("Redis came back", {f"request_topic_up{{{P}}}": "1x3 0x5 1x20"}, 15),
        Case(
            "who reads it is held up, and another waits for its place",
            {
                f"request_topic_up{{{P}}}": "0x20",
                f"request_topic_lag_records{{{P}}}": "7x20",
                f'request_topic_up{{{P},instance="b"}}': "1x20",
            },
            15,
            (P,),
        ),
        Case("the topic is not read by intent", {f"worker_state{{{P}}}": "2x20"}, 15),
    ),
    "StreamRetrainQualityLow": (
        Case("accuracy fell", quality(P0, "Accuracy", "0.9x30 0.6x40", "0.9x70"), 50, (f'{P0},metric="Accuracy"',)),
        Case("a loss rose", quality(P1, "LogLoss", "0.3x30 0.6x40", "0.3x70"), 50, (f'{P1},metric="LogLoss"',)),
        Case("not for long", quality(P0, "Accuracy", "0.9x30 0.6x10 0.9x30", "0.9x70"), 50),
        Case("a loss fell", quality(P0, "LogLoss", "0.3x30 0.1x40", "0.3x70"), 50),
        Case("no labels", quality(P0, "Accuracy", "_x70", "_x70"), 50),
    ),
    "StreamRetrainDriftStorm": (
        Case(
            "nine in an hour",
            {f"drift_detected_total{{{P0},{ADWIN}}}": "0x10 0+0.2x60", f"drift_detected_total{{{Q},{ADWIN}}}": "0x10 1x60"},
            70,
            (f"{P0},{ADWIN}",),
        ),
        Case(
            "one drift on each of eight partitions",
            {f'drift_detected_total{{{P},partition="{n}",{ADWIN}}}': "0x10 1x60" for n in range(8)},
            60,
        ),
        Case("a season", {f'drift_detected_total{{{P0},detector="ADWIN",signal="feature:temperature"}}': "0+3x90"}, 70),
    ),
    "StreamRetrainModelFlapping": (
        Case(
            "a lead change every four minutes",
            {
                f"resets_total{{{P0}}}": "0x90",
                f'lead_changes_total{{{P0},cause="evidence"}}': "0+0.25x90",
                f'lead_changes_total{{{P0},cause="failure"}}': "0x90",
            },
            80,
            (P0,),
        ),
        Case(
            "one promotion",
            {f"resets_total{{{P0}}}": "0x90", f'lead_changes_total{{{P0},cause="evidence"}}': "0x20 1x70"},
            80,
        ),
    ),
    "StreamRetrainTrainingFailing": (
        Case(
            "four failed, none joined",
            {f'trainings_total{{{P0},outcome="failed"}}': "0x5 1x4 2x4 3x4 4x20", f'trainings_total{{{P0},outcome="joined"}}': "0x40"},
            25,
            (P,),
        ),
        Case(
            "one joined",
            {f'trainings_total{{{P0},outcome="failed"}}': "0x5 1x4 2x4 3x4 4x20", f'trainings_total{{{P0},outcome="joined"}}': "0x15 1x25"},
            25,
        ),
        Case("one failed", {f'trainings_total{{{P0},outcome="failed"}}': "0x5 1x40"}, 25),
    ),
    "StreamRetrainTrainerMissing": (
        Case("nobody takes it", {f"training_waits_seconds{{{P0}}}": "0x2 31+60x40"}, 15, (P0,)),
        Case("a trainer takes it within minutes", {f"training_waits_seconds{{{P0}}}": "0 31 91 151 0x40"}, 15),
        Case("it waits for minutes now and then", {f"training_waits_seconds{{{P0}}}": "31 91 151 0 31 91 0 31 91 151 0 31 91 0 0x9"}, 12),
        Case("no training waits", {f"training_waits_seconds{{{P0}}}": "0x40"}, 15),
    ),
    "StreamRetrainTrainingIdle": (
        Case(
            "nobody has taken it, which is another alert",
            {
                f"training_active{{{P0}}}": "0x2 1x40",
                f"training_rows{{{P0}}}": "0x40",
                f"training_waits_seconds{{{P0}}}": "0x2 31+60x40",
            },
            25,
        ),
        Case("no row for twenty minutes", {f"training_active{{{P0}}}": "0x2 1x40", f"training_rows{{{P0}}}": "0x40"}, 25, (P0,)),
        Case("it is at work", {f"training_active{{{P0}}}": "0x2 1x40", f"training_rows{{{P0}}}": "0 0 0 0+100x40"}, 25),
        Case("no training", {f"training_active{{{P0}}}": "0x40", f"training_rows{{{P0}}}": "0x40"}, 25),
    ),
}
