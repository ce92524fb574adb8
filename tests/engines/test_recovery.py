"""What the operator chose where nothing can be restored, and what the driver does while the store is away or has lost things."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from river import linear_model, metrics

from stream_retrain import Schema
from stream_retrain.codec.seal import Header, seal, unseal
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.worker import CheckpointFailed, Restored, StoreLost, StoreRegained, WindowCleared, WindowRefilled
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.core import streams
from tests.engines.test_driver import KEYRING, NOW, PIPELINE, SHARD, Bench, checkpointed

OTHER = dataclasses.replace(PIPELINE, model=linear_model.LogisticRegression())


@pytest.fixture
def stores() -> Stores:
    return connect("memory://")


def how(bench: Bench) -> list[str]:
    return [fact.how for fact in bench.told if isinstance(fact, Restored)]


@pytest.mark.parametrize(
    ("missing", "offset", "told"),
    [("earliest", 100, "earliest"), ("latest", 900, "latest")],
)
def test_a_missing_checkpoint_is_made_up_for_as_chosen_and_told(stores: Stores, missing: str, offset: int, told: str) -> None:
    bench = Bench(stores, committed=900, low=100, limits={"checkpoint_missing": missing})
    assert (bench.offset, bench.opened.live_from, how(bench)) == (offset, 900, [told])


def test_a_missing_checkpoint_can_be_refused(stores: Stores) -> None:
    with pytest.raises(StateError, match=r"the store holds no checkpoint.*checkpoint_missing"):
        Bench(stores, committed=900, limits={"checkpoint_missing": "fail"})


def test_beginning_untrained_is_checkpointed_at_once(stores: Stores) -> None:
    """Or a crash would find no checkpoint again, and begin untrained somewhere else."""
    Bench(stores, committed=900, limits={"checkpoint_missing": "latest"})
    again = Bench(stores, committed=900, limits={"checkpoint_missing": "latest"})
    assert (again.offset, how(again)) == (900, ["checkpoint"])


def test_a_new_group_commits_where_it_begins(stores: Stores) -> None:
    bench = Bench(stores)
    assert bench.commit() == 0
    assert bench.commit() is None


@pytest.mark.parametrize("newest", [900, 1_500])
def test_a_checkpoint_beyond_the_committed_offset_is_not_passed_over_for_an_older_one(stores: Stores, newest: int) -> None:
    checkpointed(stores, 500, newest)
    with pytest.raises(StateError, match="beyond the committed one"):
        Bench(stores, committed=800)
    assert how(Bench(stores, committed=800, limits={"checkpoint_unfit": "rebuild"})) == ["earliest"]


def test_after_a_rebuild_checkpoints_are_taken_again(stores: Stores) -> None:
    checkpointed(stores, 900)
    bench = Bench(stores, committed=800, limits={"checkpoint_unfit": "rebuild"})
    bench.run(400)
    bench.checkpoint()
    assert not [fact for fact in bench.told if isinstance(fact, CheckpointFailed) and "state never goes back" in fact.error]
    assert unseal(stores.checkpoints.load(SHARD)[0], KEYRING)[0].offset == 400


def test_a_rebuild_fills_the_window_from_the_log_alone(stores: Stores) -> None:
    """What is there was made from another schema, or by another pipeline: its rows fit no model of this one."""
    checkpointed(stores, 900)
    narrow = dataclasses.replace(PIPELINE, schema=Schema(id="id", label="y", features={"a": float}))
    bench = Bench(stores, committed=900, low=600, pipeline=narrow, limits={"checkpoint_unfit": "rebuild"})
    assert [fact.shard for fact in bench.told if isinstance(fact, WindowCleared)] == [SHARD]
    bench.run(950)
    rows = stores.window.last(SHARD, 10_000)
    assert (rows[0].offset, {tuple(row.x) for row in rows}) == (601, {("a",)})


@pytest.mark.parametrize("missing", ["earliest", "latest"])
def test_a_window_is_kept_where_only_the_checkpoint_is_lost(stores: Stores, missing: str) -> None:
    checkpointed(stores, 900)
    stores.checkpoints.delete(SHARD, stores.checkpoints.claim(SHARD))
    bench = Bench(stores, committed=900, low=600, limits={"checkpoint_missing": missing})
    assert not [fact for fact in bench.told if isinstance(fact, WindowCleared)]
    assert stores.window.last(SHARD, 10_000)[0].offset == 1


def test_a_crash_within_a_rebuild_leaves_it_to_be_done_again(stores: Stores) -> None:
    """Checkpoints go last: without one there would be nothing to rebuild, and the window would stay."""
    checkpointed(stores, 900)

    class Window:
        def clear(self, *_: Any) -> bool:
            raise StoreError("the connection is lost")

        def __getattr__(self, name: str) -> Any:
            return getattr(stores.window, name)

    rebuild: dict[str, Any] = {"pipeline": OTHER, "low": 600, "limits": {"checkpoint_unfit": "rebuild"}}
    with pytest.raises(StoreError, match="is lost"):
        Bench(dataclasses.replace(stores, window=Window()), committed=900, **rebuild)
    bench = Bench(stores, committed=900, **rebuild)
    bench.run(950)
    assert stores.window.last(SHARD, 10_000)[0].offset == 601


def test_a_changed_pipeline_can_begin_with_a_model_trained_on_the_window(stores: Stores) -> None:
    checkpointed(stores, 900)
    bench = Bench(stores, committed=900, pipeline=OTHER, limits={"checkpoint_unfit": "window"})
    assert (bench.offset, how(bench)) == (900, ["window"])
    assert bench.driver.lanes[0].shard.events_seen == len(stores.window.last(SHARD, 10_000))
    again = Bench(stores, committed=900, pipeline=OTHER)
    assert again.digest == bench.digest, "what the window taught is in a checkpoint before anything is committed"


def test_a_warm_restart_without_a_window_is_refused(stores: Stores) -> None:
    epoch = stores.checkpoints.claim(SHARD)
    stores.checkpoints.save(SHARD, epoch, 900, b"damaged")
    with pytest.raises(StateError, match="the window is empty"):
        Bench(stores, committed=900, limits={"checkpoint_unfit": "window"})


@pytest.mark.parametrize(("part", "value"), [("river", "0.0.1"), ("python", "3.0.1")])
def test_another_river_or_python_is_refused_before_anything_is_unpickled(stores: Stores, part: str, value: str) -> None:
    checkpointed(stores, 900)
    header, _ = unseal(stores.checkpoints.load(SHARD)[0], KEYRING)
    versions = {**{name: getattr(header.versions, name) for name in header.versions.__struct_fields__}, part: value}
    fields: dict[str, Any] = {name: getattr(header, name) for name in header.__struct_fields__}
    other = Header(**fields | {"versions": type(header.versions)(**versions)})
    stores.checkpoints.save(SHARD, stores.checkpoints.claim(SHARD), 900, seal(other, b"no pickle at all", KEYRING))
    with pytest.raises(StateError, match="was written by River"):
        Bench(stores, committed=900)


def test_events_that_expired_unanswered_are_not_skipped_in_silence(stores: Stores) -> None:
    with pytest.raises(StateError, match=r"from offset 500.*to 700 were never predicted"):
        Bench(stores, committed=500, low=700)
    bench = Bench(stores, committed=500, low=700, limits={"checkpoint_unfit": "rebuild"})
    assert (bench.offset, bench.opened.live_from) == (700, 700)


class Away:
    """Every call of a store fails while it is away."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise StoreError("nobody answers")
        return getattr(self._real, name)


def test_while_the_store_is_away_the_shard_goes_on_and_the_window_is_filled_afterwards(stores: Stores) -> None:
    window, checkpoints = Away(stores.window), Away(stores.checkpoints)
    bench = Bench(dataclasses.replace(stores, window=window, checkpoints=checkpoints))
    bench.driver._outage._clock_s = lambda: bench.offset
    bench.run(500)
    window.away = checkpoints.away = True
    bench.run(1_000)
    bench.checkpoint()
    window.away = checkpoints.away = False
    bench.run(1_500)
    assert [type(fact) for fact in bench.told if isinstance(fact, StoreLost | StoreRegained)] == [StoreLost, StoreRegained]
    assert [row.offset for row in stores.window.last(SHARD, 10_000)] == [number for number in range(1_500) if number % 100]


def test_beyond_the_replay_debt_the_shards_are_let_go(stores: Stores) -> None:
    window = Away(stores.window)
    bench = Bench(dataclasses.replace(stores, window=window), limits={"replay_debt_events_max": 300})
    bench.run(210)
    window.away = True
    with pytest.raises(StoreError, match="replay_debt_events_max = 300"):
        bench.run(2_000)
    assert bench.offset <= 420


def test_a_window_that_was_lost_is_given_back_and_a_checkpoint_follows(stores: Stores) -> None:
    bench = Bench(stores)
    bench.run(700)
    bench.checkpoint()
    stores.window._shards._kept.clear()  # type: ignore[attr-defined]
    bench.run(800)
    bench.driver.settle(NOW)
    assert any(isinstance(fact, WindowRefilled) for fact in bench.told)
    assert [row.offset for row in stores.window.last(SHARD, 10_000)] == [number for number in range(800) if number % 100]
    assert unseal(stores.checkpoints.load(SHARD)[0], KEYRING)[0].offset == 800


def test_a_restored_shard_gives_back_what_it_did_not_append_itself(stores: Stores) -> None:
    checkpointed(stores, 700)
    bench = Bench(stores, committed=700)
    stores.window._shards._kept.clear()  # type: ignore[attr-defined]
    bench.run(800)
    assert [row.offset for row in stores.window.last(SHARD, 10_000)] == [number for number in range(800) if number % 100]


def test_a_checkpoint_of_the_release_before_is_refused_with_what_to_do(stores: Stores) -> None:
    """Written by release 0.1.0, whose states had no schema number; nothing of it is unpickled."""
    sealed = (Path(__file__).parent / "fixtures" / "checkpoint-0.1.0.sealed").read_bytes()
    stores.checkpoints.save(SHARD, stores.checkpoints.claim(SHARD), 300, sealed)
    with pytest.raises(StateError, match=r"release 0\.1\.0 wrote it in state schema 0.*--rebuild.*--warm-restart"):
        Bench(stores, committed=300)
    rebuilt = Bench(stores, committed=300, limits={"checkpoint_unfit": "rebuild"})
    assert (rebuilt.offset, how(rebuilt)) == (0, ["earliest"])


QUESTIONS = 7


def with_questions(stores: Stores) -> None:
    """A checkpoint at 907: 900 events, and seven questions whose labels have not come."""
    bench = Bench(stores)
    bench.run(900)
    asked = [
        Record(900 + number, b"key", json.dumps({"id": f"q{number}", **x}).encode(), 900_000)
        for number, (x, _) in enumerate(streams.rows(QUESTIONS))
    ]
    bench.driver.take(0, Records.of(asked))
    bench.commit()
    bench.checkpoint()


def answered(bench: Bench, offset: int) -> list[int]:
    """How many labels find their question."""
    labels = [Record(offset + n, b"key", json.dumps({"id": f"q{n}", "y": True}).encode(), 0) for n in range(QUESTIONS)]
    step = bench.driver.take(0, Records.of(labels))
    assert step is not None
    return [row.offset for row in step.learned]


def test_another_metric_keeps_the_champion_and_the_waiting_questions(stores: Stores) -> None:
    with_questions(stores)
    before = Bench(stores, committed=907)
    richer = dataclasses.replace(PIPELINE, metrics=[metrics.Accuracy(), metrics.F1()])
    bench = Bench(stores, committed=907, pipeline=richer)
    [restored] = [fact for fact in bench.told if isinstance(fact, Restored)]
    assert (bench.offset, restored.how, restored.differs, restored.questions_kept) == (907, "checkpoint", ("metric F1",), QUESTIONS)
    assert {"task", "schema", "model", "metric Accuracy", "watch error ADWIN"} <= set(restored.kept)
    seen, kept = before.driver.lanes[0].observe(), bench.driver.lanes[0].observe()
    assert (kept.events_seen, kept.generation, kept.running["Accuracy"]) == (seen.events_seen, seen.generation, seen.running["Accuracy"])
    assert kept.running["F1"] == 0.0
    assert len(answered(bench, 907)) == QUESTIONS


def test_a_warm_restart_takes_the_waiting_questions_over(stores: Stores) -> None:
    with_questions(stores)
    bench = Bench(stores, committed=907, pipeline=OTHER, limits={"checkpoint_unfit": "window"})
    [restored] = [fact for fact in bench.told if isinstance(fact, Restored)]
    assert (restored.how, restored.questions_kept, restored.questions_dropped) == ("window", QUESTIONS, 0)
    assert len(answered(bench, 907)) == QUESTIONS


def test_a_warm_restart_counts_the_questions_it_cannot_keep(stores: Stores) -> None:
    with_questions(stores)
    other = dataclasses.replace(PIPELINE, schema=Schema(id="id", label="y", features={**PIPELINE.schema.features, "d": float | None}))
    bench = Bench(stores, committed=907, pipeline=other, limits={"checkpoint_unfit": "window"})
    [restored] = [fact for fact in bench.told if isinstance(fact, Restored)]
    assert (restored.questions_kept, restored.questions_dropped) == (0, QUESTIONS)
    assert answered(bench, 907) == []


def test_a_warm_restart_after_a_crash_learns_no_label_twice(stores: Stores) -> None:
    """Some of the questions of the checkpoint were answered after it, and nobody knows which: none is taken over, all are counted."""
    with_questions(stores)
    first = Bench(stores, committed=907)
    assert answered(first, 907)
    first.commit()
    bench = Bench(stores, committed=914, pipeline=OTHER, limits={"checkpoint_unfit": "window"})
    [restored] = [fact for fact in bench.told if isinstance(fact, Restored)]
    assert (restored.questions_kept, restored.questions_dropped) == (0, QUESTIONS)
    assert answered(bench, 914) == []


def test_a_checkpoint_that_does_not_say_how_many_questions_wait_drops_an_unknown_number(stores: Stores) -> None:
    checkpointed(stores, 300)
    sealed = (Path(__file__).parent / "fixtures" / "checkpoint-0.1.0.sealed").read_bytes()
    epoch = stores.checkpoints.claim(SHARD)
    stores.checkpoints.delete(SHARD, epoch)
    stores.checkpoints.save(SHARD, epoch, 300, sealed)
    bench = Bench(stores, committed=300, limits={"checkpoint_unfit": "window"})
    [restored] = [fact for fact in bench.told if isinstance(fact, Restored)]
    assert (restored.how, restored.questions_kept, restored.questions_dropped) == ("window", 0, None)
