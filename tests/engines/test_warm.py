"""A new shard that begins with the model of another: what it does, what is told, and that a replay comes to the same."""

from __future__ import annotations

import pytest
from river import linear_model

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver.warm import begin_warm, old_model
from stream_retrain.engines.replay.past import KeptStates
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record
from stream_retrain.stores.ports import ArtifactLimits
from tests.engines.past_support import COUNT, KEYRING, PLAIN, LiveRun, declared, log_of, verified

OLD = ShardId(PLAIN.name, PLAIN.source, 0)
NEXT = declared(name="next", source="rewritten", react=PLAIN.react)
NEW = ShardId(NEXT.name, NEXT.source, 0)
LIMITS = ArtifactLimits(bytes_max=64_000_000)


def begun(first: int = 0, pipeline: Pipeline = NEXT, records: list[Record] | None = None) -> LiveRun:
    """The new shard's run, on stores in which an old one has learned 1,200 events; it begins at an offset."""
    old = LiveRun()
    old.work(1_200, PLAIN, stop=True)
    run = LiveRun(records or log_of(seed=5), first)
    run.stores = old.stores
    model = old_model(pipeline, OLD, run.stores, KEYRING)
    begin_warm(pipeline, NEW, first, "", model, run.stores, KEYRING, LIMITS)
    run.committed = first
    return run


@pytest.fixture(scope="module", params=[0, 40])
def run(request: pytest.FixtureRequest) -> LiveRun:
    """Killed twice: once before a checkpoint of its own, once after one."""
    run = begun(request.param)
    run.work(300, NEXT)
    run.work(900, NEXT, checkpoint_events=10_000)
    run.work(COUNT, NEXT, stop=True)
    return run


def test_it_is_told_once_with_the_first_event_and_named(run: LiveRun) -> None:
    told = [each["data"] for each in run.of("shard.restored")]
    assert {each["how"] for each in told} == {"warm"}
    assert len({each["model"] for each in told}) == 1
    assert told[0]["model"].startswith("warm-")
    assert (told[0]["from_offset"], told[0]["origin"], told[0]["generation"]) == (run.first, f"{OLD} at offset 1200", 0)
    assert run.stores.artifacts.load(NEW, told[0]["model"]) is not None


def test_a_replay_comes_to_every_byte_of_it(run: LiveRun) -> None:
    report = verified(run, pipeline=NEXT)
    assert not report.tally.wrong
    assert not report.impossible
    assert report.tally.compared == {kind: len(run.topics[kind]) for kind in report.tally.compared}
    assert report.began[0] == f"with the model of a warm start at offset {run.first}"


def test_a_replay_of_a_part_begins_there_too_or_with_a_checkpoint(run: LiveRun) -> None:
    part = verified(run, pipeline=NEXT, from_offset=1_000, to_offset=1_400)
    assert (part.tally.wrong, part.impossible) == (0, ())
    late = verified(run, pipeline=NEXT, from_offset=COUNT - 10, from_checkpoint=True)
    assert (late.tally.wrong, late.impossible) == (0, ())
    assert late.began[0].startswith("with the checkpoint")


def test_a_replay_that_begins_untrained_would_not_come_to_the_same(run: LiveRun) -> None:
    """So it is the model that makes the predictions equal."""
    fresh = LiveRun(run.records, run.first)
    fresh.committed = run.first or None
    fresh.work(400, NEXT, checkpoint_missing="latest")
    ours = [each.put.value for each in run.topics["predictions"]][:200]
    theirs = [each.put.value for each in fresh.topics["predictions"]][:200]
    assert sum(one != other for one, other in zip(ours, theirs, strict=True)) > 100


def test_without_its_artifact_it_is_said_and_no_difference(run: LiveRun) -> None:
    report = verified(run, pipeline=NEXT, kept=KeptStates(run.stores.checkpoints.load, lambda *_: None))
    assert report.tally.wrong == 0
    assert any("artifact warm-" in why.reason and "is not kept" in why.reason for why in report.impossible)


def test_a_forged_artifact_is_refused(run: LiveRun) -> None:
    other = Keyring(keys=(Key(id="k", secret=b"another secret!!"),))
    report = verified(run, pipeline=NEXT, keyring=other)
    assert report.tally.wrong == 0
    assert report.impossible


def test_records_that_are_no_events_come_before_it_is_told() -> None:
    records = [each._replace(value=b"no event") if each.offset < 30 else each for each in log_of(seed=5)]
    run = begun(0, records=records)
    run.work(20, NEXT)
    run.work(600, NEXT)
    [told] = [each["data"] for each in run.of("shard.restored")]
    assert (told["how"], told["offset"], told["from_offset"]) == ("warm", 30, 0)
    report = verified(run, pipeline=NEXT)
    assert (report.tally.wrong, report.impossible) == (0, ())
    assert report.tally.compared["dead_letters"] == len(run.topics["dead_letters"]) > 30


def test_it_may_be_begun_again_until_it_has_had_an_event() -> None:
    run = begun()
    again = old_model(NEXT, OLD, run.stores, KEYRING)
    begin_warm(NEXT, NEW, 25, "", again, run.stores, KEYRING, LIMITS)
    begin_warm(NEXT, NEW, 0, "", again, run.stores, KEYRING, LIMITS)
    [sealed] = run.stores.checkpoints.load(NEW)
    assert unseal(sealed, KEYRING)[0].offset == 0
    run.work(500, NEXT)
    with pytest.raises(StateError, match="has a state already, of offset 90"):
        begin_warm(NEXT, NEW, 0, "", again, run.stores, KEYRING, LIMITS)


def test_a_worker_does_not_open_it_before_the_offsets_are_committed() -> None:
    run = begun()
    run.committed = None
    with pytest.raises(StateError, match="no offset is committed, and yet the checkpoint"):
        run.work(100, NEXT)


def test_metrics_and_rules_may_be_others_and_the_model_not() -> None:
    old = LiveRun()
    old.work(1_200, PLAIN, stop=True)
    same_model = declared(name="next", source="rewritten", rolling_events=77, react=())
    assert digest(old_model(same_model, OLD, old.stores, KEYRING).warm.model)
    with pytest.raises(StateError, match="it is of a pipeline with another model"):
        old_model(declared(model=linear_model.LogisticRegression()), OLD, old.stores, KEYRING)
    with pytest.raises(StateError, match="no checkpoint of it is stored"):
        old_model(NEXT, OLD._replace(partition=1), old.stores, KEYRING)
