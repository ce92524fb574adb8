"""The driver and the restore of shards, on memory stores: no Kafka, every order of crashes that one process can show."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.restore import Log
from stream_retrain.errors import StaleEpochError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import CheckpointFailed, Restored, WentLive, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS, Output
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.core import streams

PIPELINE = streams.pipeline()
SHARD = ShardId(PIPELINE.name, PIPELINE.source, 0)
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))
ROWS = streams.rows(3_000, flip_at=1_500)
RECORDS = [
    Record(number, b"key", json.dumps({"id": f"e{number}", **x, "y": y} if number % 100 else {"id": 3}).encode(), number * 1_000)
    for number, (x, y) in enumerate(ROWS)
]
NOW = 0.0


class Bench:
    """A driver over stores that outlive it, and a log of its own."""

    def __init__(self, stores: Stores, committed: int | None = None, low: int = 0, **changes: Any) -> None:
        self.told: list[WorkerFact] = []
        self.sent: list[Output] = []
        limits = DriverLimits(**changes.pop("limits", {}))
        pipeline: Pipeline = changes.pop("pipeline", PIPELINE)
        self.driver = Driver(pipeline, stores, changes.pop("keyring", KEYRING), limits, self.told.append)
        self.opened = self.driver.open(0, Log(committed, low, len(RECORDS)), NOW)
        self.offset = self.opened.offset

    def run(self, until: int, *, batch: int = 70, commit: bool = True) -> None:
        """Process up to an offset, committing after each batch, or leaving everything uncommitted."""
        while self.offset < until:
            records = RECORDS[self.offset : min(until, self.offset + batch)]
            self.driver.take(0, Records.of(records))
            self.offset = records[-1].offset + 1
            if commit:
                self.commit()

    def commit(self) -> int | None:
        unsent = self.driver.unsent()
        self.sent += unsent.outputs
        self.driver.committed(unsent.offsets)
        return unsent.offsets.get(SHARD)

    def checkpoint(self) -> None:
        self.driver.checkpoint(NOW, float("inf"))

    @property
    def digest(self) -> str:
        return self.driver.lanes[0].digest()

    @property
    def replaying(self) -> bool:
        return self.driver.lanes[0].replaying

    def of(self, kind: str) -> list[Any]:
        return [json.loads(value or b"null") for sent, _, _, value, _ in self.sent if sent == kind]


def by_topic(outputs: list[Output]) -> dict[str, list[Output]]:
    """Within a topic order counts; between topics there is none."""
    return {kind: [output for output in outputs if output[0] == kind] for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS)}


@pytest.fixture
def stores() -> Stores:
    return connect("memory://")


@pytest.fixture(scope="module")
def whole() -> Bench:
    bench = Bench(connect("memory://"))
    bench.run(len(RECORDS))
    return bench


def test_every_record_has_one_output(whole: Bench) -> None:
    offsets = [fact["offset"] for fact in whole.of(PREDICTIONS)]
    letters = [output for output in whole.sent if output[0] == DEAD_LETTERS]
    assert sorted([*offsets, *(number for number in range(0, 3_000, 100))]) == list(range(3_000))
    assert len(letters) == 30
    assert [event["type"].split(".")[-2] for event in whole.of(DECISIONS)] == ["detected", "decided", "reset"]


@pytest.mark.parametrize("checkpointed", [None, 0, 700, 1_600])
@pytest.mark.parametrize("committed", [700, 1_400, 2_100])
def test_after_a_crash_nothing_is_answered_twice_and_the_state_is_as_if_it_never_was(
    stores: Stores, whole: Bench, checkpointed: int | None, committed: int
) -> None:
    """Crash with a batch learned and not committed; the checkpoint may be missing, old or fresh."""
    first = Bench(stores)
    if checkpointed is not None and 0 < checkpointed <= committed:
        first.run(checkpointed)
        first.checkpoint()
    first.run(committed)
    first.run(committed + 300, commit=False)

    second = Bench(stores, committed=committed)
    assert second.offset <= committed
    second.run(len(RECORDS), batch=111)
    assert by_topic(first.sent + second.sent) == by_topic(whole.sent)
    assert second.digest == whole.digest
    assert [fact.offset for fact in second.told if isinstance(fact, WentLive)] == [committed]
    window = stores.window.last(SHARD, 10_000)
    assert [row.offset for row in window] == [number for number in range(3_000) if number % 100]


def test_a_crash_between_commit_and_window_leaves_no_gap(stores: Stores) -> None:
    first = Bench(stores)
    first.run(700)
    first.checkpoint()
    first.run(1_000, commit=False)
    first.driver.unsent()  # committed in Kafka; the process dies before it hears so
    second = Bench(stores, committed=1_000)
    second.run(1_500)
    assert [row.offset for row in stores.window.last(SHARD, 10_000)] == [number for number in range(1_500) if number % 100]


def test_records_that_were_had_are_dropped(stores: Stores, whole: Bench) -> None:
    bench = Bench(stores)
    bench.run(500)
    bench.driver.take(0, Records.of(RECORDS[300:500]))
    bench.driver.take(0, Records.of(RECORDS[400:600]))
    bench.offset = 600
    bench.run(len(RECORDS))
    assert by_topic(bench.sent) == by_topic(whole.sent)


def test_a_zombie_can_write_nothing(stores: Stores) -> None:
    zombie = Bench(stores)
    zombie.run(500)
    Bench(stores, committed=500)
    with pytest.raises(StaleEpochError):
        zombie.run(600)
    with pytest.raises(StaleEpochError):
        zombie.checkpoint()
    assert stores.checkpoints.load(SHARD) == []


def checkpointed(stores: Stores, *offsets: int) -> None:
    bench = Bench(stores)
    for offset in offsets:
        bench.run(offset)
        bench.checkpoint()


def test_a_checkpoint_beyond_the_committed_offset_is_refused(stores: Stores) -> None:
    checkpointed(stores, 900)
    with pytest.raises(StateError, match=r"beyond the committed one \(800\)"):
        Bench(stores, committed=800)
    with pytest.raises(StateError, match=r"Kafka forgets the offsets .* --rebuild"):
        Bench(stores)


def test_a_checkpoint_below_what_is_retained_is_refused_or_rebuilt(stores: Stores) -> None:
    checkpointed(stores, 900)
    with pytest.raises(StateError, match=r"retains events from 950 on only.*--rebuild"):
        Bench(stores, committed=1_000, low=950)
    assert Bench(stores, committed=1_000, low=950, limits={"checkpoint_unfit": "rebuild"}).offset == 950


def test_a_topic_made_anew_is_refused(stores: Stores) -> None:
    with pytest.raises(StateError, match="committed, but the topic ends at 3000"):
        Bench(stores, committed=5_000)


def test_a_changed_pipeline_is_refused_before_anything_is_unpickled(stores: Stores) -> None:
    checkpointed(stores, 900)
    other = dataclasses.replace(PIPELINE, model=linear_model.LogisticRegression())
    with pytest.raises(StateError, match="pipeline has changed"):
        Bench(stores, committed=900, pipeline=other)
    assert Bench(stores, committed=900, pipeline=other, limits={"checkpoint_unfit": "rebuild"}).offset == 0


def test_a_broken_checkpoint_is_passed_over_for_the_one_before(stores: Stores, whole: Bench) -> None:
    checkpointed(stores, 700, 1_400)
    epoch = stores.checkpoints.claim(SHARD)
    newest = stores.checkpoints.load(SHARD)[0]
    stores.checkpoints.save(SHARD, epoch, 1_400, newest[:-1] + bytes([newest[-1] ^ 1]))
    bench = Bench(stores, committed=1_400)
    assert bench.offset == 700
    assert any(isinstance(fact, CheckpointFailed) for fact in bench.told)
    bench.run(len(RECORDS))
    assert bench.digest == whole.digest


def test_a_checkpoint_signed_by_another_key_is_refused(stores: Stores) -> None:
    checkpointed(stores, 700)
    with pytest.raises(StateError):
        Bench(stores, committed=700, keyring=Keyring(keys=(Key(id="k", secret=b"another secret.."),)))
    with pytest.raises(StateError):
        Bench(stores, committed=700, keyring=Keyring.unsigned())


def test_checkpoints_are_written_when_due_and_only_at_committed_offsets(stores: Stores) -> None:
    bench = Bench(stores, limits={"checkpoint_events": 200})
    bench.run(500, commit=False)
    bench.driver.settle(NOW)
    assert stores.checkpoints.load(SHARD) == []
    bench.commit()
    bench.driver.settle(NOW)
    restored = Bench(stores, committed=500)
    assert restored.offset == 500
    assert [fact.offset for fact in restored.told if isinstance(fact, Restored)] == [500]


def test_latest_begins_at_the_end_and_answers_from_there() -> None:
    driver = Driver(PIPELINE, connect("memory://"), KEYRING, DriverLimits(), lambda _: None)
    assert driver.open(0, Log(None, 0, 1_000, "latest"), NOW) == (SHARD, 1_000, 1_000)


def test_holes_at_the_end_of_the_log_do_not_keep_a_shard_replaying(stores: Stores) -> None:
    checkpointed(stores, 700)
    bench = Bench(stores, committed=700)
    assert not bench.replaying
    other = Bench(stores, committed=710)
    assert other.replaying
    other.driver.reached(0, 712)
    assert not other.replaying
