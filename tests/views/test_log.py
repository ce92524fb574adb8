"""Log lines: what a person reads of a worker, and at which level."""

from __future__ import annotations

import dataclasses
import logging

import pytest

from stream_retrain.facts.shard import SHARD_FACTS, DriftDetected, ModelReset, Rejected, ShardFact
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    Lagging,
    Released,
    Restored,
    Retrying,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.views.log import log_fact
from tests.facts.examples import EXAMPLES
from tests.views.support import SHARD, observed, processed

HERE = "flights/flights.events/3"
DEBUG, INFO, WARNING, ERROR = logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR
Lines = list[tuple[int, str]]
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(DEBUG, "stream_retrain.worker")
    return caplog


def lines(log: pytest.LogCaptureFixture, *facts: WorkerFact) -> Lines:
    log.clear()
    for fact in facts:
        log_fact(fact)
    return [(level, message) for _, level, message in log.record_tuples]


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (Assigned(shard=SHARD, offset=100, live_from=105), [(INFO, f"{HERE} assigned: reading from 100, live from 105")]),
        (WentLive(shard=SHARD, offset=105), [(INFO, f"{HERE} is live from offset 105")]),
        (Released(shard=SHARD, how="revoked"), [(INFO, f"{HERE} revoked")]),
        (Released(shard=SHARD, how="lost"), [(INFO, f"{HERE} lost")]),
        (
            Checkpointed(shard=SHARD, offset=110, bytes=2_048, seconds=0.0125, at_s=1.0),
            [(DEBUG, f"{HERE} checkpoint at 110: 2048 bytes, 12 ms")],
        ),
        (CheckpointFailed(shard=SHARD, error="Redis is full"), [(WARNING, f"{HERE} checkpoint: Redis is full")]),
        (StoreLost(error="timeout"), [(WARNING, "the store does not answer, the shards go on without it: timeout")]),
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
        (TransactionAborted(error="timeout"), [(WARNING, "transaction aborted, sending the same again: timeout")]),
        (Retrying(error="Kafka is away", wait_s=1.5), [(WARNING, "Kafka is away; trying again in 1.5 s")]),
        (WorkerStateChanged(state="running"), [(INFO, "worker is running")]),
        (WorkerStateChanged(state="draining", detail="SIGTERM"), [(INFO, "worker is draining: SIGTERM")]),
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
            ("latest", WARNING, "has no checkpoint: it begins untrained at the committed offset"),
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
        assert lines(log, processed(fact)) == [(LEVELS[kind.level], f"{HERE} offset {fact.offset}: {fact.sentence}")]

    def test_is_no_news_where_it_is_replayed(self, log: pytest.LogCaptureFixture, kind: type[ShardFact]) -> None:
        fact = EXAMPLES[kind]
        assert lines(log, processed(fact, replayed=True)) == [(DEBUG, f"{HERE} offset {fact.offset}: {fact.sentence}")]


class TestRejections:
    FACTS = tuple(dataclasses.replace(EXAMPLES[Rejected], offset=offset) for offset in range(8))

    def test_are_logged_up_to_a_few_a_batch_and_the_rest_counted(self, log: pytest.LogCaptureFixture) -> None:
        others = (EXAMPLES[DriftDetected], EXAMPLES[ModelReset])
        said = lines(log, processed(*self.FACTS, *others))
        shown = [*self.FACTS[:3], *others]
        assert [message for _, message in said[:-1]] == [f"{HERE} offset {fact.offset}: {fact.sentence}" for fact in shown]
        assert said[-1] == (WARNING, f"{HERE}: 5 more records of this batch went to the dead-letter topic")

    def test_that_fit_are_not_counted(self, log: pytest.LogCaptureFixture) -> None:
        assert len(lines(log, processed(*self.FACTS[:3]))) == 3

    def test_are_limited_for_each_batch(self, log: pytest.LogCaptureFixture) -> None:
        assert len(lines(log, processed(*self.FACTS[:4]), processed(*self.FACTS[4:]))) == 8

    def test_that_are_replayed_are_no_news(self, log: pytest.LogCaptureFixture) -> None:
        assert {level for level, _ in lines(log, processed(*self.FACTS, replayed=True))} == {DEBUG}
