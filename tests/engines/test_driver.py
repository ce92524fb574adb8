"""The driver and the restore of shards, on memory stores: no Kafka, every order of crashes that one process can show."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.engines.driver import Driver, DriverLimits, Unsent
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.driver.open_lane import stub_of
from stream_retrain.errors import StaleEpochError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    CheckpointFailed,
    Observed,
    Processed,
    Restored,
    WentLive,
    WindowCleared,
    WindowSeen,
    WorkerFact,
)
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
        log = Log(committed, low, len(RECORDS), **changes.pop("log", {}))
        self.opened = self.driver.open(0, log, NOW)
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
    """Within a topic order counts; between topics there is none. What lanes say of having been restored is left out."""
    kept = [output for output in outputs if b"shard.restored" not in (output[3] or b"")]
    return {kind: [output for output in kept if output[0] == kind] for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS)}


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
    silent = sum(fact.records for fact in second.told if isinstance(fact, Processed) and fact.replayed)
    assert silent == committed - second.opened.offset, "batches do not end there"
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
    [fact] = [fact for fact in restored.told if isinstance(fact, Restored)]
    assert fact.offset == 500
    assert 0.0 < fact.seconds < 60.0


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


def test_holes_at_the_end_of_the_log_are_committed(stores: Stores) -> None:
    bench = Bench(stores)
    bench.run(700)
    bench.driver.reached(0, 712)
    assert bench.commit() == 712
    bench.driver.reached(0, 705)
    assert bench.commit() is None, "it never goes back"


def test_how_a_shard_stands_is_told_with_its_window_and_the_time_of_its_last_record(stores: Stores) -> None:
    bench = Bench(stores)
    bench.run(1_050, commit=False)
    bench.driver.observe(NOW)
    bench.commit()
    bench.driver.observe(NOW + 1)
    before, after = (fact for fact in bench.told if isinstance(fact, Observed))
    learned = sum(fact.learned for fact in bench.told if isinstance(fact, Processed))
    assert before.window == WindowSeen(rows=0, waiting_rows=learned, oldest_time_s=None), "nothing that is not committed is in a window"
    assert after.window == WindowSeen(rows=learned, waiting_rows=0, oldest_time_s=1.0)
    last = [fact for fact in bench.told if isinstance(fact, Processed)][-1]
    assert last.stamped_s == 1_049.0


def test_without_a_window_none_is_told(stores: Stores) -> None:
    bench = Bench(stores, pipeline=streams.pipeline(window_rows_max=0))
    bench.run(70)
    bench.driver.observe(NOW)
    assert [fact.window for fact in bench.told if isinstance(fact, Observed)] == [None]


def test_the_lag_counts_from_what_is_committed(stores: Stores) -> None:
    bench = Bench(stores)
    bench.run(700)
    bench.run(900, commit=False)
    assert bench.driver.observe(NOW) == [(SHARD, 700)]


class TestATopicMadeAnew:
    def test_is_refused_by_what_stands_beside_the_committed_offset(self, stores: Stores) -> None:
        with pytest.raises(StateError, match=r"deleted and made anew .*offset 900 was committed.*--rebuild"):
            Bench(stores, committed=900, log={"topic_id": "new", "committed_topic_id": "old"})

    def test_is_refused_by_the_checkpoint(self, stores: Stores) -> None:
        old = Bench(stores, log={"topic_id": "old"})
        old.run(900)
        old.checkpoint()
        for committed in (None, 1_000):
            with pytest.raises(StateError, match=r"deleted and made anew .*checkpoint at offset 900"):
                Bench(stores, committed=committed, log={"topic_id": "new"})

    def test_is_begun_at_its_beginning_where_the_operator_says_so(self, stores: Stores) -> None:
        old = Bench(stores, log={"topic_id": "old"})
        old.run(900)
        old.checkpoint()
        log = {"topic_id": "new", "committed_topic_id": "old", "start": "latest"}
        new = Bench(stores, committed=900, limits={"checkpoint_unfit": "rebuild"}, log=log)
        assert (new.opened.offset, new.opened.live_from) == (0, 0)
        new.run(100)
        assert len(new.of(PREDICTIONS)) + len(new.of(DEAD_LETTERS)) == 100
        new.checkpoint()
        again = Bench(stores, committed=100, log={"topic_id": "new", "committed_topic_id": "new"})
        assert again.offset == 100

    @pytest.mark.parametrize(("committed", "checkpoint"), [(900, True), (900, False), (None, True)])
    def test_leaves_nothing_of_the_earlier_one_in_the_window(self, stores: Stores, committed: int | None, checkpoint: bool) -> None:
        """Its rows stand at higher offsets than those of the new topic, which would not be taken."""
        old = Bench(stores, log={"topic_id": "old"})
        old.run(900)
        if checkpoint:
            old.checkpoint()
        log = {"topic_id": "new", "committed_topic_id": "old" if committed else ""}
        new = Bench(stores, committed=committed, limits={"checkpoint_unfit": "rebuild"}, log=log)
        assert [fact.shard for fact in new.told if isinstance(fact, WindowCleared)] == [SHARD]
        new.run(100)
        assert [row.offset for row in stores.window.last(SHARD, 10_000)] == list(range(1, 100))

    @pytest.mark.parametrize("log", [{}, {"topic_id": "a"}, {"committed_topic_id": "a"}, {"topic_id": "a", "committed_topic_id": "a"}])
    def test_is_not_seen_where_an_id_is_not_known_or_the_same(self, stores: Stores, log: dict[str, str]) -> None:
        checkpointed(stores, 900)
        assert Bench(stores, committed=900, log=log).offset == 900


class TestForgottenOffsets:
    def test_are_refused_with_their_cause(self, stores: Stores) -> None:
        checkpointed(stores, 900)
        with pytest.raises(StateError, match=r"offsets\.retention\.minutes"):
            Bench(stores)

    @pytest.mark.parametrize(("answered", "live_from"), [(0, 900), (950, 950)])
    def test_nothing_is_answered_twice_where_the_operator_says_go_on(self, stores: Stores, answered: int, live_from: int) -> None:
        checkpointed(stores, 900)
        bench = Bench(stores, limits={"checkpoint_unfit": "rebuild"}, log={"answered": answered})
        assert (bench.opened.offset, bench.opened.live_from) == (900, live_from)
        bench.run(1_000)
        assert len(bench.of(PREDICTIONS)) + len(bench.of(DEAD_LETTERS)) == 1_000 - live_from

    def test_where_the_answers_end_is_committed_before_the_replay_gets_there(self, stores: Stores) -> None:
        """Who is killed in the replay would be refused again."""
        checkpointed(stores, 900)
        bench = Bench(stores, limits={"checkpoint_unfit": "rebuild"}, log={"answered": 950})
        assert bench.driver.unsent() == Unsent([], {SHARD: 950})
        bench.driver.committed({SHARD: 950})
        bench.run(920, commit=False)
        assert bench.driver.unsent() == Unsent([], {})
        after = Bench(stores, committed=950)
        assert (after.opened.offset, after.opened.live_from) == (900, 950)

    def test_an_ordinary_replay_has_nothing_to_commit(self, stores: Stores) -> None:
        checkpointed(stores, 900)
        bench = Bench(stores, committed=950)
        bench.run(920, commit=False)
        assert bench.driver.unsent() == Unsent([], {})


class TestARefusedOutput:
    def test_is_replaced_by_a_stub_that_stays(self, stores: Stores) -> None:
        bench = Bench(stores)
        bench.run(300, commit=False)
        before = bench.driver.unsent().outputs
        letter = max((output for output in before if output[0] == DEAD_LETTERS), key=lambda output: len(output[3] or b""))
        assert "dead_letters" in (bench.driver.shorten(DEAD_LETTERS, 0, None) or "")
        after = bench.driver.unsent().outputs
        assert [new for new, old in zip(after, before, strict=True) if new != old] == [stub_of(letter)]
        assert dict(stub_of(letter)[4] or [])["sr_refused"] == b"MSG_SIZE_TOO_LARGE"
        assert dict(stub_of(letter)[4] or []).items() >= dict(letter[4] or []).items(), "its origin stays"

    def test_is_found_by_itself_where_it_is_known(self, stores: Stores) -> None:
        bench = Bench(stores)
        bench.run(300, commit=False)
        refused = bench.driver.unsent().outputs[7]
        assert bench.driver.shorten(None, None, refused)
        assert bench.driver.unsent().outputs[7] == stub_of(refused)

    def test_there_is_an_end_of_them(self, stores: Stores) -> None:
        bench = Bench(stores)
        bench.run(100, commit=False)
        count = len(bench.driver.unsent().outputs)
        for _ in range(count):
            assert bench.driver.shorten(None, None, None)
        assert bench.driver.shorten(None, None, None) is None

    def test_a_stub_is_small_whatever_it_was(self) -> None:
        kind, partition, key, value, headers = stub_of((DEAD_LETTERS, 3, b"k" * 10**6, b"v" * 10**6, [("a", b"h" * 10**6), ("b", None)]))
        assert (kind, partition, key, value) == (DEAD_LETTERS, 3, None, None)
        assert sum(len(text or b"") for _, text in headers or []) < 2_000
