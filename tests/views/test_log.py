"""Log lines: what a person reads of a worker, and at which level."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyKept
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.records import IntakePaused
from stream_retrain.facts.request import Asked
from stream_retrain.facts.scheduled import ScheduleMissed
from stream_retrain.facts.shard import (
    SHARD_FACTS,
    ChallengerJoined,
    ChallengerWaits,
    ContestantFailed,
    Decided,
    DetectorFailed,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    MemoryReached,
    MetricFailed,
    ModelPromoted,
    ModelPruned,
    ModelReset,
    PredictionFailed,
    Rejected,
    Requested,
    RequestRefused,
    ShardFact,
    ShardRestored,
    TrainingRequested,
    Unmatched,
)
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    LabelsRelayed,
    Lagging,
    RelayChanged,
    Released,
    Restored,
    Retrying,
    ShardHeld,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TrainingWaits,
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.logs.fields import count_of, fields_of, key_of
from stream_retrain.views.log import log_fact
from tests.facts.examples import EXAMPLES
from tests.views.support import OTHER, SHARD, observed, processed

HERE = "flights/flights.events/3"
DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
Lines = list[tuple[int, str]]
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
NOBODY = "no trainer has loaded exactly this pipeline; start stream-retrain trainer with the worker's file"
PAYLOAD = "what-stood-in-the-record"
IN_WORDS_OF_ITS_OWN: dict[type[ShardFact], str] = {
    Unmatched: "the label of '…' has no waiting question",
    MetricFailed: "metric RMSLE raised ValueError; it goes on without this prediction",
    DetectorFailed: "KSWIN on feature:a raised ValueError; a fresh one takes its place",
    ContestantFailed: "fresh is out of duel 1: it raised OverflowError",
    ModelReset: "the model was reset; generation 3 serves; cause: drift:error",
    TrainingRequested: "training 5 of challenger retrained was requested; cause: drift:error",
    DuelStarted: "duel 1 started: champion, fresh; the log loss decides; cause: drift:error",
}
"""What a log adds to a fact's sentence, or leaves out of it."""
ALWAYS_SAID = {
    IntakePaused,
    MemoryReached,
    ModelPruned,
    Requested,
    ModelReset,
    ModelPromoted,
    RequestRefused,
    TrainingRequested,
    ChallengerJoined,
    ChallengerWaits,
    DuelStarted,
    LeadChanged,
    ContestantFailed,
    DuelEnded,
    ShardRestored,
}


def words_of(fact: ShardFact) -> str:
    return IN_WORDS_OF_ITS_OWN.get(type(fact), fact.sentence)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(DEBUG, "stream_retrain.worker")
    return caplog


def lines(log: pytest.LogCaptureFixture, *facts: WorkerFact) -> Lines:
    log.clear()
    for fact in facts:
        log_fact(fact)
    return [(level, message) for _, level, message in log.record_tuples]


WAITED = "nobody had it, or the request before waited; the newest was 4000 s ago"


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (Assigned(shard=SHARD, offset=100, live_from=105), [(INFO, f"{HERE} assigned: reading from 100, live from 105")]),
        (WentLive(shard=SHARD, offset=105), [(INFO, f"{HERE} is live from offset 105")]),
        (
            ShardHeld(shard=SHARD, offset=105, asked=Asked(token="t", do="pause", reason="the source is broken", by="cli:ann")),
            [(WARNING, f"{HERE} is paused at offset 105, until stream-retrain resume, by cli:ann: the source is broken")],
        ),
        (
            ShardHeld(shard=SHARD, offset=105, asked=Asked(token="t", do="pause")),
            [(WARNING, f"{HERE} is paused at offset 105, until stream-retrain resume, by somebody: no reason was given")],
        ),
        (
            ScheduleMissed(shard=SHARD, rule=1, schedule="cron:0 3 * * * UTC", count=2, late_s=4_000.0),
            [
                (
                    WARNING,
                    f"{HERE} was not asked at 2 times of cron:0 3 * * * UTC (rule 1): {WAITED}",
                )
            ],
        ),
        (ShardHeld(shard=SHARD, offset=105, asked=None), [(INFO, f"{HERE} goes on from offset 105")]),
        (Released(shard=SHARD, how="revoked"), [(INFO, f"{HERE} revoked")]),
        (Released(shard=SHARD, how="lost"), [(INFO, f"{HERE} lost")]),
        (
            Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.0125, at_s=1.0),
            [(DEBUG, f"{HERE} checkpoint at 110: 2048 bytes, 12 ms")],
        ),
        (CheckpointFailed(shard=SHARD, error="Redis is full"), [(ERROR, f"{HERE} checkpoint: Redis is full")]),
        (CopyKept(shard=SHARD, version="0-g3", bytes=2_048), [(DEBUG, f"{HERE} keeps a copy of version 0-g3, 2048 bytes")]),
        (
            CopiesDropped(shard=SHARD, copies=2, bytes=4_096),
            [(INFO, f"{HERE} drops the oldest copies of models, beyond a limit: 2, 4096 bytes")],
        ),
        (
            CopiesWait(shard=SHARD, waiting=3, error="it is full"),
            [(WARNING, f"{HERE} copies of models wait for the object store: 3. it is full")],
        ),
        (CopiesWait(shard=SHARD, waiting=1), [(DEBUG, f"{HERE} copies of models wait for the object store: 1")]),
        (StoreLost(error="timeout"), [(WARNING, "the store does not answer, the shards go on without it: timeout")]),
        (
            MemoryHigh(resident_bytes=90_000_000, bytes_max=100_000_000),
            [(WARNING, "the process has 90000000 of the 100000000 bytes of memory it may have")],
        ),
        (StoreRegained(away_s=2.5), [(INFO, "the store answers again after 2.5 s")]),
        (WindowCleared(shard=SHARD), [(WARNING, f"{HERE} window cleared: it begins with what the rebuild learns")]),
        (WindowRefilled(shard=SHARD, error="it lost rows"), [(WARNING, f"{HERE} window appended again: it lost rows")]),
        (
            TrainerTold(shard=SHARD, training=5, rows=200, rows_total=900),
            [(DEBUG, f"{HERE} training 5: 200 rows learned")],
        ),
        (
            TrainerTold(shard=SHARD, training=5, rows=900, rows_total=900, caught_up_s=0.5),
            [(INFO, f"{HERE} training 5 is done after 900 rows")],
        ),
        (
            TrainingWaits(shard=SHARD, training=5, waited_s=30.4, trainers=0),
            [
                (WARNING, f"{HERE} training 5 waits for a trainer since 30 s: {NOBODY}"),
            ],
        ),
        (
            TrainingWaits(shard=SHARD, training=5, waited_s=90.0, trainers=2),
            [(WARNING, f"{HERE} training 5 waits for a trainer since 90 s: all 2 trainers are busy; start more of them")],
        ),
        (TransactionAborted(error="timeout"), [(WARNING, "transaction aborted, sending the same again: timeout")]),
        (Retrying(error="Kafka is away", wait_s=1.5), [(WARNING, "Kafka is away; trying again in 1.5 s")]),
        (RelayChanged(state="running", detail="all is well"), [(INFO, "the relay of labels is running: all is well")]),
        (RelayChanged(state="stopped"), [(INFO, "the relay of labels is stopped")]),
        (RelayChanged(state="degraded", detail="no topic"), [(WARNING, "the relay of labels is degraded: no topic")]),
        (
            LabelsRelayed(relayed=40, rejected={"schema": 2}, waiting=3, questions=900, lag_records=5),
            [(WARNING, "labels went to the dead-letter topic (schema): 2")],
        ),
        (RequestTopicChanged(state="running", detail="go"), [(INFO, "the topic of requests is read: go")]),
        (RequestTopicChanged(state="stopped"), [(INFO, "the topic of requests is no longer read")]),
        (RequestTopicChanged(state="degraded", detail="away"), [(WARNING, "the topic of requests is not read: away")]),
        (RequestsRead(taken=1, refused={"request": 1}, lag_records=0), []),
        (WorkerStateChanged(state="running"), [(INFO, "worker is running")]),
        (WorkerStateChanged(state="draining", detail="SIGTERM"), [(INFO, "worker is draining: SIGTERM")]),
        (WorkerStateChanged(state="degraded", detail="no broker"), [(WARNING, "worker is degraded: no broker")]),
        (WorkerStateChanged(state="failed", detail="no topic"), [(ERROR, "worker is failed: no topic")]),
        (observed(), []),
        (Lagging(shard=SHARD, records=4), []),
        (Committed(outputs=5, offsets={SHARD: 110}, seconds=0.1), []),
        (processed(), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fact_of_a_worker_is_logged_so(log: pytest.LogCaptureFixture, fact: WorkerFact, expected: Lines) -> None:
    assert lines(log, fact) == expected


class TestRestored:
    @pytest.mark.parametrize("how", ["checkpoint", "previous"])
    def test_from_a_checkpoint(self, log: pytest.LogCaptureFixture, how: str) -> None:
        fact = Restored(shard=SHARD, offset=110, generation=2, how=how, questions_kept=5)  # type: ignore[arg-type]
        assert lines(log, fact) == [(INFO, f"{HERE} restored from its checkpoint at offset 110, generation 2")]

    @pytest.mark.parametrize(
        ("how", "level", "said"),
        [
            ("new", INFO, "is new: it learns from the log alone"),
            ("earliest", WARNING, "has no checkpoint: it learns again from the first retained offset"),
            ("latest", WARNING, "has no checkpoint: it begins anew at the committed offset"),
            ("window", WARNING, "has no checkpoint that fits: it begins with a model trained on its window"),
        ],
    )
    def test_from_something_else(self, log: pytest.LogCaptureFixture, how: str, level: int, said: str) -> None:
        fact = Restored(shard=SHARD, offset=None, generation=0, how=how)  # type: ignore[arg-type]
        assert lines(log, fact) == [(level, f"{HERE} {said}")]

    def test_under_a_changed_pipeline_says_what_differs_what_was_kept_and_what_was_dropped(self, log: pytest.LogCaptureFixture) -> None:
        fact = Restored(
            shard=SHARD,
            offset=110,
            generation=2,
            how="checkpoint",
            differs=("metric F1", "rule 1 request"),
            kept=("metric Accuracy", "rule 0 drift:error"),
            dropped=("duel 3", "training 4"),
            questions_kept=5,
            questions_dropped=2,
        )
        changed = (
            f"{HERE} the pipeline has changed since: metric F1, rule 1 request. Kept: the champion and 5 waiting questions;"
            " metric Accuracy, rule 0 drift:error. What else is in it begins afresh"
        )
        assert lines(log, fact) == [
            (INFO, f"{HERE} restored from its checkpoint at offset 110, generation 2"),
            (WARNING, changed),
            (WARNING, f"{HERE} dropped, because its rule has changed or is gone: duel 3, training 4"),
            (WARNING, f"{HERE} dropped 2 waiting questions: their labels will find no question"),
        ]


@pytest.mark.parametrize("kind", SHARD_FACTS, ids=lambda kind: kind.__name__)
class TestAFactOfAShard:
    def test_is_logged_in_its_own_words_at_its_own_level(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        fact = EXAMPLES[kind]
        assert lines(log, processed(fact)) == [(LEVELS[kind.level], f"{HERE} offset {fact.offset}: {words_of(fact)}")]

    def test_has_the_fields_that_a_program_looks_for(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        fact = EXAMPLES[kind]
        lines(log, processed(fact))
        [record] = log.records
        told = fields_of(record)
        place = {"kind": kind.kind, "pipeline": "flights", "topic": "flights.events", "partition": 3, "offset": fact.offset}
        assert place.items() <= told.items()
        assert told["cause"]
        assert all(isinstance(value, str | int | float | bool) for value in told.values())

    def test_says_nothing_that_stood_in_the_record(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        texts = {"detail": f"ValueError: {PAYLOAD}", "error": f"it raised ValueError: {PAYLOAD}", "id": PAYLOAD, "value": 0.123456789}
        if kind is Rejected:
            texts["detail"] = f"the model raised ValueError: {PAYLOAD}"
        if kind is RequestRefused:
            texts["detail"] = f"opening its model raised ValueError: {PAYLOAD}"
        if kind is PredictionFailed:
            texts["detail"] = f"could not convert string to float: '{PAYLOAD}'"
        has = {field.name for field in dataclasses.fields(kind)}
        changes = {name: text for name, text in texts.items() if name in has}
        fact = dataclasses.replace(EXAMPLES[kind], **changes)  # type: ignore[arg-type]
        [(_, said)] = lines(log, processed(fact))
        assert PAYLOAD not in said
        assert "0.1234" not in said
        assert not any(PAYLOAD in str(value) or value == 0.123456789 for value in fields_of(log.records[0]).values())

    def test_is_always_said_where_it_changes_the_model(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        fact = EXAMPLES[kind]
        lines(log, processed(fact))
        assert (key_of(log.records[0]) is None) == (kind in ALWAYS_SAID or LEVELS[kind.level] == DEBUG or kind is Decided)

    def test_is_no_news_where_it_is_replayed(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        fact = EXAMPLES[kind]
        assert lines(log, processed(fact, replayed=True)) == [(DEBUG, f"{HERE} offset {fact.offset}: {words_of(fact)}")]


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("required features missing: 'a', 'b'", "required features missing: 'a', 'b'"),
        ("the id 'flight_id' is missing", "the id 'flight_id' is missing"),
        (f"Invalid enum value '{PAYLOAD} is missing'", "Invalid enum value …"),
    ],
)
def test_of_a_schema_the_names_are_said_and_of_a_record_no_value(log: pytest.LogCaptureFixture, detail: str, said: str) -> None:
    [(_, line)] = lines(log, processed(Rejected(offset=7, reason="schema", detail=detail)))
    assert line.endswith(f"(schema): {said}")


def test_a_decision_to_do_nothing_is_no_change_of_the_model(log: pytest.LogCaptureFixture) -> None:
    done = EXAMPLES[Decided]
    assert isinstance(done, Decided)
    idle = [dataclasses.replace(done, outcome="cooldown"), dataclasses.replace(done, reaction="Ignore", outcome="ignored")]
    lines(log, processed(done, *idle, *idle))
    keys = [key_of(record) for record in log.records]
    assert keys[0] is None
    assert keys[1:3] == keys[3:]
    assert keys[1] != keys[2]


def test_repeats_are_counted_for_each_shard_and_signal(log: pytest.LogCaptureFixture) -> None:
    drift = EXAMPLES[DriftDetected]
    assert isinstance(drift, DriftDetected)
    other = dataclasses.replace(drift, signal="feature:a")
    later = dataclasses.replace(drift, offset=99, direction="down", generation=7)
    lines(log, processed(drift, other, later), processed(drift, shard=OTHER))
    here, signal, again, elsewhere = (key_of(record) for record in log.records)
    assert here == again
    assert len({here, signal, elsewhere}) == 3


def test_a_failure_is_a_repeat_where_its_words_are_the_same(log: pytest.LogCaptureFixture) -> None:
    failed = EXAMPLES[PredictionFailed]
    assert isinstance(failed, PredictionFailed)
    lines(log, processed(failed, dataclasses.replace(failed, offset=6), dataclasses.replace(failed, detail="inf is not a finite number")))
    first, same, other = (key_of(record) for record in log.records)
    assert first == same != other
    lines(log, *(CheckpointFailed(shard=SHARD, error=error) for error in ("full", "full", "gone")))
    first, same, other = (key_of(record) for record in log.records)
    assert first == same != other


class TestRejections:
    FACTS = tuple(dataclasses.replace(EXAMPLES[Rejected], offset=offset) for offset in range(8))

    def test_are_logged_up_to_a_few_a_batch_and_the_rest_counted(self, log: pytest.LogCaptureFixture) -> None:
        others = (EXAMPLES[DriftDetected], EXAMPLES[ModelReset])
        said = lines(log, processed(*self.FACTS, *others))
        shown = [*self.FACTS[:3], *others]
        assert [message for _, message in said[:-1]] == [f"{HERE} offset {fact.offset}: {words_of(fact)}" for fact in shown]
        assert said[-1] == (WARNING, f"{HERE}: 5 more records of this batch went to the dead-letter topic (schema)")

    def test_that_are_counted_together_stand_for_as_many(self, log: pytest.LogCaptureFixture) -> None:
        lines(log, processed(*self.FACTS))
        assert [count_of(record) for record in log.records] == [1, 1, 1, 5]
        assert len({key_of(record) for record in log.records}) == 1

    def test_are_told_by_reason(self, log: pytest.LogCaptureFixture) -> None:
        decode = [dataclasses.replace(fact, reason="decode") for fact in self.FACTS[:4]]
        said = [message for _, message in lines(log, processed(*self.FACTS[:4], *decode))]
        assert [line.rpartition(" ")[2] for line in said[-2:]] == ["(schema)", "(decode)"]

    def test_that_fit_are_not_counted(self, log: pytest.LogCaptureFixture) -> None:
        assert len(lines(log, processed(*self.FACTS[:3]))) == 3

    def test_are_limited_for_each_batch(self, log: pytest.LogCaptureFixture) -> None:
        assert len(lines(log, processed(*self.FACTS[:4]), processed(*self.FACTS[4:]))) == 8

    def test_that_are_replayed_are_no_news(self, log: pytest.LogCaptureFixture) -> None:
        assert {level for level, _ in lines(log, processed(*self.FACTS, replayed=True))} == {DEBUG}
