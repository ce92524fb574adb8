"""Versions are kept by whoever drives a shard: whole, in spite of whatever dies in between, within their limits, and off the loop."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from stream_retrain import Challenge, Evidence, On, Pipeline, Reset, Retrain, Window
from stream_retrain.codec.versions import open_version
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver.limits import VersionLimits
from stream_retrain.engines.driver.promotions import OfRegistry
from stream_retrain.engines.failpoints import FailPoint, arm, disarm
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.kept import CopiesDropped, VersionsKnown
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Quality, Version, aliases_of
from stream_retrain.facts.version_values import as_values
from stream_retrain.facts.worker import Checkpointed
from stream_retrain.stores.registry import Registry
from stream_retrain.views.models import Models
from tests.engines.past_support import COUNT, KEYRING, LiveRun, declared, verified

RACING = declared(
    react=[On.drift("error", Challenge(evidence=Evidence(events_max=400)), cooldown_events=200), On.every(events=1_100, do=Reset())]
)
"""Nothing comes to it from outside, so that it does the same whenever it dies."""
TRAINING = declared(
    react=[
        On.every(events=700, do=Retrain(window=Window(rows=500), evidence=Evidence(events_max=300))),
        On.every(events=1_300, do=Reset()),
    ]
)
CHANGES = ("duel.lead_changed", "model.reset", "model.promoted")
ALL = VersionLimits(models_max=100)


def shard_of(pipeline: Pipeline) -> ShardId:
    return ShardId(pipeline.name, pipeline.source, 0)


def known(run: LiveRun, pipeline: Pipeline = RACING) -> list[Version]:
    return run.stores.versions.all(shard_of(pipeline))


def told(versions: list[Version]) -> list[Version]:
    """Without what depends on the clock, and on when somebody looked."""

    def same(version: Version) -> Version:
        began, ended = (at and dataclasses.replace(at, wall_s=None) for at in (version.began, version.ended))
        trained = version.trained_on and dataclasses.replace(version.trained_on, seconds=None)
        artifact = dataclasses.replace(version.artifact, name="", bytes=0)
        changes: dict[str, Any] = {"quality": Quality(), "trained_on": trained, "artifact": artifact, "model_digest": ""}
        return dataclasses.replace(version, began=began, ended=ended, **changes)

    return [same(version) for version in versions]


def models(run: LiveRun, pipeline: Pipeline = RACING) -> dict[str, str]:
    """The digest of each copy that is kept, by the version; every one of them opens."""
    registry, shard, found = Registry(run.stores, pipeline, KEYRING), shard_of(pipeline), {}
    for version in known(run, pipeline):
        if version.artifact.state in ("kept", "pending") and not version.serves:
            sealed = registry.find(shard, version.id).sealed
            found[version.id] = digest(open_version(sealed, version.id, pipeline, shard, KEYRING)[1])
    return found


@pytest.fixture(scope="module")
def whole() -> LiveRun:
    """A run that nothing interrupted."""
    run = LiveRun()
    run.work(COUNT, RACING, keeps=ALL, stop=True)
    return run


@pytest.fixture(scope="module")
def trained() -> LiveRun:
    """A run with trainings that nothing interrupted."""
    run = LiveRun()
    run.work(COUNT, TRAINING, keeps=ALL, stop=True)
    return run


def assert_it_is_what_was_put_out(run: LiveRun, pipeline: Pipeline) -> None:
    """The versions say what the decisions say, and every model that stopped serving, or came from a training, is there."""
    versions = {version.id: version for version in known(run, pipeline)}
    changes = {0: None} | {each["data"]["generation"]: each for kind in CHANGES for each in run.of(kind)}
    trainings = {each["data"]["training"]: each["data"] for each in run.of("training.requested")}
    assert set(versions) == {f"0-g{number}" for number in changes} | {f"0-t{number}" for number in trainings}
    for number, change in changes.items():
        version = versions[f"0-g{number}"]
        assert version.began is not None
        if change is not None:
            assert (version.began.offset, version.replaced) == (change["data"]["offset"], f"0-g{number - 1}")
            said = {"reset": "reset", "promoted": change["data"].get("how", "")}.get(change["type"].split(".")[3], "lead")
            assert version.came == {"promote": "promoted", "rollback": "rolled_back"}.get(said, said)
        assert (version.ended is None) == (number == max(changes))
    joined = {each["data"]["training"]: each["data"] for each in run.of("training.joined")}
    for number, data in joined.items():
        version = versions[f"0-t{number}"]
        assert version.trained_on is not None
        assert (version.duel, version.trained_on.lessons, version.cause) == (data["duel"], data["lessons"], trainings[number]["cause"])
    stopped = {f"0-g{number}" for number in changes if number != max(changes)}
    assert set(models(run, pipeline)) == stopped | {f"0-t{number}" for number in joined}


class TestKept:
    def test_every_generation_is_a_version(self, whole: LiveRun) -> None:
        assert [version.came for version in known(whole)] == ["new", "reset", "lead", "reset"]
        assert_it_is_what_was_put_out(whole, RACING)

    def test_every_training_is_one_too(self, trained: LiveRun) -> None:
        assert_it_is_what_was_put_out(trained, TRAINING)
        ended = {version.id: version.ended_by for version in known(trained, TRAINING)}
        assert ended == {
            "0-t0": "promoted",
            "0-t1": "rejected",
            "0-t2": "undecided",
            "0-g0": "lead",
            "0-g1": "reset",
            "0-g2": "reset",
            "0-g3": None,
        }

    def test_it_says_why_it_serves_and_what_it_goes_on_from(self, whole: LiveRun, trained: LiveRun) -> None:
        [racing] = [version for version in known(whole) if version.came == "lead"]
        assert (racing.challenger, racing.cause, racing.loss, racing.parent) == ("since_change", "drift:error", "log", "")
        assert racing.duel_events > 300
        [led] = [version for version in known(trained, TRAINING) if version.came == "lead"]
        assert (led.training, led.parent, led.cause) == (0, "0-t0", "every:700_events")
        [first] = [version for version in known(trained, TRAINING) if version.id == "0-t0"]
        assert first.trained_on is not None
        assert first.trained_on.window == "the last 500 rows"
        assert first.trained_on.seconds is not None
        assert [standing.name for standing in led.standings] == ["champion", "retrained"]

    def test_a_copy_is_of_the_end_of_a_generation_and_of_the_beginning_of_a_challenger(self, whole: LiveRun) -> None:
        kept = models(whole)
        served = {version.id for version in known(whole) if version.generation is not None and version.ended is not None}
        assert served <= set(kept)
        for version in known(whole):
            if version.id in served:
                assert version.ended is not None
                assert version.artifact.learned_through == version.ended.offset

    def test_nothing_is_left_over_in_the_store(self, whole: LiveRun) -> None:
        named = {version.artifact.name for version in known(whole)} - {""}
        assert set(whole.stores.models.names(shard_of(RACING))) == named

    def test_the_aliases_name_who_serves_and_who_served_before(self, whole: LiveRun) -> None:
        last = max(version.generation or 0 for version in known(whole))
        assert aliases_of(known(whole))["champion"] == f"0-g{last}"
        assert aliases_of(known(whole))["previous"] == f"0-g{last - 1}"

    def test_who_serves_is_found_as_the_checkpoint_has_it(self, whole: LiveRun) -> None:
        found = Registry(whole.stores, RACING, KEYRING).find(shard_of(RACING), "champion")
        assert found.learned_through == COUNT - 1

    def test_nobody_is_told_to_keep_anything_without_limits(self) -> None:
        run = LiveRun()
        run.work(COUNT, RACING, stop=True)
        assert (known(run), run.stores.models.names(shard_of(RACING))) == ([], [])

    def test_the_same_is_put_out_whether_somebody_keeps_versions_or_not(self, whole: LiveRun) -> None:
        run = LiveRun()
        run.work(COUNT, RACING, stop=True)
        assert run.topics == whole.topics

    def test_without_copies_what_is_known_is_kept(self, whole: LiveRun) -> None:
        run = LiveRun()
        run.work(COUNT, RACING, keeps=VersionLimits(models_max=0), stop=True)
        assert [version.id for version in known(run)] == [version.id for version in known(whole)]
        assert {version.artifact.state for version in known(run)} == {"none"}
        with pytest.raises(StateError, match="no copy of it was kept"):
            Registry(run.stores, RACING, KEYRING).find(shard_of(RACING), "previous")


class DiedError(Exception):
    pass


def killed_at(point: FailPoint, pipeline: Pipeline) -> LiveRun:
    """A run whose worker dies at some of the times at which it comes to a step."""
    run, reached = LiveRun(), 0

    def die(at: FailPoint) -> None:
        nonlocal reached
        if at == point:
            reached += 1
            if reached in (1, 2, 5):
                raise DiedError

    arm(die)
    try:
        for _ in range(12):
            try:
                run.work(COUNT, pipeline, keeps=ALL, stop=True)
            except DiedError:
                continue
            break
    finally:
        disarm()
    assert reached >= 2, "it died, and came back"
    return run


class TestCrashes:
    @pytest.mark.parametrize(
        "point", ["version.kept", "version.written", "checkpoint.sealed", "checkpoint.saved", "commit.noted", "poll.learned"]
    )
    def test_a_worker_that_dies_at_any_step_loses_none(self, whole: LiveRun, point: FailPoint) -> None:
        run = killed_at(point, RACING)
        assert told(known(run)) == told(known(whole))
        assert models(run) == models(whole)
        named = {version.artifact.name for version in known(run)} - {""}
        run.work(COUNT, RACING, keeps=ALL)
        assert set(run.stores.models.names(shard_of(RACING))) == named, "what a crash left over is swept"

    @pytest.mark.parametrize("point", ["version.kept", "version.written", "input.come", "input.kept", "input.received", "input.saved"])
    def test_nor_one_that_is_trained(self, point: FailPoint) -> None:
        assert_it_is_what_was_put_out(killed_at(point, TRAINING), TRAINING)

    def test_a_store_that_takes_no_copy_takes_no_checkpoint_either(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run = LiveRun()
        away = [False]
        keep, save = run.stores.models.keep, run.stores.checkpoints.save
        offsets = []

        def refused(*given: Any) -> None:
            if away[0]:
                raise StoreError("it is full")
            keep(*given)

        def saved(shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
            offsets.append(offset)
            save(shard, epoch, offset, sealed)

        monkeypatch.setattr(run.stores.models, "keep", refused)
        monkeypatch.setattr(run.stores.checkpoints, "save", saved)
        run.work(800, RACING, keeps=ALL)
        away[0] = True
        run.work(1_800, RACING, keeps=ALL)
        reset = run.of("model.reset")[0]["data"]["offset"]
        assert max(offsets) <= reset, "nothing that has learned more is saved"
        away[0] = False
        run.work(COUNT, RACING, keeps=ALL, stop=True)
        assert "0-g0" in models(run)

    def test_a_rebuild_ends_what_it_forgets_and_begins_anew(self) -> None:
        run = LiveRun()
        run.work(2_000, RACING, keeps=ALL, stop=True)
        before = known(run)
        epoch = run.stores.checkpoints.claim(shard_of(RACING))
        run.stores.checkpoints.delete(shard_of(RACING), epoch)
        run.work(2_010, RACING, keeps=ALL)
        assert len(known(run)) >= len(before)
        assert sum(version.serves for version in known(run)) == 1


class TestTold:
    def test_who_is_told_knows_what_is_stored_and_is_told_only_what_changes(self) -> None:
        run, facts = LiveRun(), list[Any]()
        shown = Models(TRAINING.name)
        run.work(900, TRAINING, keeps=ALL, tell=facts.append)
        run.work(COUNT, TRAINING, keeps=ALL, stop=True, tell=facts.append)
        told = [fact for fact in facts if isinstance(fact, VersionsKnown)]
        for fact in told:
            shown(fact)
        assert [fact.whole for fact in told].count(True) == 2, "each time the shard is opened"
        stored = known(run, TRAINING)
        found = json.loads(msgspec.json.encode(shown.snapshot()))
        assert found["shards"]["0"] == json.loads(msgspec.json.encode([as_values(each, aliases_of(stored)) for each in stored]))
        assert found["unwritten"] == {"0": 0}
        changes = sum(fact.news for fact in told)
        assert changes <= 12 * len(stored), "begins, is learned, joins, ends, and is written each time"
        assert len(told) - changes <= sum(isinstance(fact, Checkpointed) for fact in facts), "its quality, with a checkpoint"

    def test_while_the_store_is_away_it_is_told_at_once_what_is_not_written_down(self, monkeypatch: pytest.MonkeyPatch) -> None:
        run, facts = LiveRun(), list[Any]()

        def away(*_: Any) -> None:
            raise StoreError("it does not answer")

        run.work(400, RACING, keeps=ALL)
        with monkeypatch.context() as outage:
            outage.setattr(run.stores.versions, "put", away)
            run.work(1_300, RACING, keeps=ALL, tell=facts.append)
        told = [fact for fact in facts if isinstance(fact, VersionsKnown)]
        assert (told[-1].unwritten, [each.id for each in told[-1].versions]) == (2, ["0-g0", "0-g1"])
        assert [each.id for each in known(run)] == ["0-g0"]
        run.work(COUNT, RACING, keeps=ALL, tell=facts.append)
        assert [fact.unwritten for fact in facts if isinstance(fact, VersionsKnown)][-1] == 0


def test_what_is_promoted_and_rolled_back_comes_from_the_registry_and_goes_there() -> None:
    run = LiveRun()
    asks = [
        (1_800, Asked(token="t1", do="promote", version="0-g0", reason="it was better", by="cli:ann")),
        (2_050, Asked(token="t2", do="rollback", by="cli:bob")),
        (2_100, Asked(token="t3", do="promote", version="0-g9", by="cli:bob")),
    ]
    run.work(COUNT, RACING, keeps=ALL, asks=asks, versions=OfRegistry(run.stores, RACING, KEYRING), stop=True)
    assert_it_is_what_was_put_out(run, RACING)
    [promoted, back] = [version for version in known(run) if version.came in ("promoted", "rolled_back")]
    assert (promoted.parent, promoted.by, promoted.reason, promoted.token) == ("0-g0", "cli:ann", "it was better", "t1")
    assert (back.came, back.parent, back.replaced, back.by) == ("rolled_back", promoted.replaced, promoted.id, "cli:bob")
    assert "has no version 0-g9" in run.of("request.refused")[0]["data"]["detail"]
    assert [version.ended_by for version in known(run) if version.id in (promoted.replaced, promoted.id)] == ["promoted", "rolled_back"]
    report = verified(run, pipeline=RACING)
    assert (report.impossible, report.tally.wrong) == ((), 0)


class TestLimits:
    def test_the_oldest_copies_go_and_what_an_alias_names_stays(self) -> None:
        run, facts = LiveRun(), []
        run.work(COUNT, RACING, keeps=VersionLimits(models_max=2), tell=facts.append, stop=True)
        held = [version.id for version in known(run) if version.artifact.state == "kept"]
        dropped = [version for version in known(run) if version.artifact.state == "dropped"]
        assert len(held) <= 3
        assert aliases_of(known(run))["previous"] in held
        assert len(dropped) == sum(fact.copies for fact in facts if isinstance(fact, CopiesDropped)) > 0
        with pytest.raises(StateError, match=r"its copy was dropped, because it was beyond a limit"):
            Registry(run.stores, RACING, KEYRING).find(shard_of(RACING), dropped[0].id)

    def test_what_is_too_old_goes(self) -> None:
        run = LiveRun()
        run.work(COUNT, RACING, keeps=VersionLimits(models_max=100, age_max_s=-1.0), stop=True)
        held = {version.id for version in known(run) if version.artifact.state == "kept"}
        assert held <= {aliases_of(known(run))["previous"], *(version.id for version in known(run) if version.ended is None)}
