"""What a lane tells first of where its state comes from, whatever it was restored from and however often it dies before that."""

from __future__ import annotations

import msgspec
import pytest
from river import linear_model

from stream_retrain.codec.artifacts import artifact_name, open_artifact
from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.driver.origin import begins, goes_on, untold
from stream_retrain.facts.request import Asked
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import ArtifactsEvicted, WorkerFact
from stream_retrain.lane.batch import Records
from stream_retrain.lane.step import DECISIONS
from stream_retrain.stores.ports import ArtifactLimits
from tests.engines.past_support import COUNT, KEYRING, PIPELINE, PLAIN, RECORDS, LiveRun, declared

ID = ShardId(PLAIN.name, PLAIN.source, 0)


def told(run: LiveRun) -> list[tuple[str, int, int]]:
    """How, from where, and at which offset it was told."""
    return [(each["data"]["how"], each["data"]["from_offset"], each["data"]["offset"]) for each in run.of("shard.restored")]


def test_a_new_shard_at_the_beginning_and_one_that_goes_on_say_nothing() -> None:
    run = LiveRun()
    run.work(900, PLAIN)
    run.work(1_800, PLAIN)
    assert told(run) == []


def test_a_pipeline_that_takes_inputs_says_from_which_checkpoint_it_goes_on() -> None:
    run = LiveRun()
    run.work(900, PIPELINE)
    run.work(1_000, PIPELINE)
    [(how, from_offset, offset)] = told(run)
    assert (how, offset) == ("checkpoint", 900)
    assert 0 < from_offset <= 900
    assert PIPELINE.takes_inputs
    assert not PLAIN.takes_inputs
    assert run.of("shard.restored")[0]["data"]["training"] in (None, 0)


def test_it_says_which_request_it_had_last_and_what_serves() -> None:
    run = LiveRun()
    run.work(870, requests_at=[300, 600])
    run.work(1_000)
    [data] = [each["data"] for each in run.of("shard.restored")]
    assert data["request"] == run.of("policy.requested")[-1]["data"]["token"] != ""
    assert data["generation"] == 2


def test_it_is_told_before_all_else_and_shifts_no_other_decision() -> None:
    run = LiveRun()
    run.work(900)
    run.stores.requests.ask(ID, Asked(token="now", reason="now"))
    run.work(901, checkpoint_events=10**9)
    run.work(1_100)
    [restored] = [each.identity for each in run.topics[DECISIONS] if each.identity.fact == "shard.restored" and each.identity.offset > 900]
    there = [each.identity for each in run.topics[DECISIONS] if each.identity.offset == restored.offset]
    assert there[0] == restored
    assert [each.number for each in there] == [0, *range(len(there) - 1)]
    assert len(there) > 1, "the request takes effect with the same event"


@pytest.mark.parametrize("wrote", ["stream_retrain", "numpy", "python"])
def test_another_release_says_so(wrote: str) -> None:
    run = LiveRun()
    run.work(900, PLAIN, stop=True)
    [sealed, *_] = run.stores.checkpoints.load(ID)
    header, payload = unseal(sealed, KEYRING)
    version = header.versions.python.rsplit(".", 1)[0] + ".99" if wrote == "python" else "0.0.9"
    changed = msgspec.structs.replace(header, versions=msgspec.structs.replace(header.versions, **{wrote: version}))
    run.stores.checkpoints.save(ID, run.stores.checkpoints.claim(ID), header.offset, seal(changed, payload, KEYRING))
    run.work(1_000, PLAIN)
    assert told(run) == [("checkpoint", 900, 900)]


def test_a_changed_pipeline_names_its_parts() -> None:
    run = LiveRun()
    run.work(900, PLAIN)
    run.work(1_000, declared(react=PLAIN.react, rolling_events=77))
    [data] = [each["data"] for each in run.of("shard.restored")]
    assert (data["how"], data["differs"]) == ("checkpoint", ["rolling_events"])


def test_one_that_had_answered_nothing_is_as_new() -> None:
    """Where a group begins is committed at once, before there is a record or a checkpoint."""
    for missing in ("earliest", "latest"):
        run = LiveRun()
        run.committed = 0
        run.work(90, PLAIN, checkpoint_missing=missing)
        assert told(run) == []


def lost_everything(run: LiveRun) -> None:
    run.stores = LiveRun().stores


@pytest.mark.parametrize("dies_after", [0, 90, 300])
def test_one_that_dies_before_it_was_told_is_followed_by_one_that_tells_it(dies_after: int) -> None:
    """Its checkpoints are those of a shard that learned again; the next lane goes on from one, and does not know unless it is kept."""
    run = LiveRun()
    run.work(1_200, PLAIN)
    lost_everything(run)
    driver = Driver(PLAIN, run.stores, KEYRING, DriverLimits(checkpoint_events=50), lambda _: None)
    driver.open(0, Log(run.committed, 0, COUNT), 0.0)
    for first in range(0, dies_after, 90):
        driver.take(0, Records.of(RECORDS[first : first + 90]))
        driver.settle(float(first))
    assert bool(run.stores.checkpoints.load(ID)) == (dies_after > 0)
    run.work(1_400, PLAIN)
    assert told(run) == [("earliest", 0, 1_200)]


def test_it_is_told_once_a_checkpoint_knows_that_it_was() -> None:
    run = LiveRun()
    run.work(1_200, PLAIN)
    lost_everything(run)
    run.work(1_290, PLAIN)
    [header, *_] = [unseal(sealed, KEYRING)[0] for sealed in run.stores.checkpoints.load(ID)]
    assert (header.offset, header.extra) == (1_260, {}), "the one that is due at once, after the batch in which it was told"
    run.work(1_400, PLAIN)
    assert len(told(run)) == 1


@pytest.mark.parametrize(("missing", "expected"), [("earliest", ("earliest", 0)), ("latest", ("latest", 1_200))])
def test_what_was_lost_is_told_as_the_operator_has_it(missing: str, expected: tuple[str, int]) -> None:
    run = LiveRun()
    run.work(1_200, PLAIN)
    lost_everything(run)
    run.work(1_300, PLAIN, checkpoint_missing=missing)
    assert told(run) == [(*expected, 1_200)]


@pytest.mark.parametrize(("unfit", "expected"), [("rebuild", ("earliest", 0)), ("window", ("window", 1_200))])
def test_what_did_not_fit_is_told_too(unfit: str, expected: tuple[str, int]) -> None:
    run = LiveRun()
    run.work(1_200, declared(react=PLAIN.react, model=linear_model.LogisticRegression()), stop=True)
    run.work(1_300, PLAIN, checkpoint_unfit=unfit)
    assert told(run) == [(*expected, 1_200)]


def test_a_record_that_is_no_event_tells_nothing() -> None:
    """The fact needs a time, which only an event has."""
    run = LiveRun([each._replace(value=b"no event") if 1_200 <= each.offset < 1_250 else each for each in RECORDS])
    run.work(1_200, PLAIN)
    lost_everything(run)
    run.work(1_230, PLAIN)
    assert told(run) == []
    run.work(1_400, PLAIN)
    assert told(run) == [("earliest", 0, 1_250)]


class TestKept:
    """What the header of a checkpoint keeps until it was told."""

    OURS = checkpoint_header(PLAIN, ID, 5, 0)

    @pytest.mark.parametrize(
        "announcing",
        [
            begins("earliest", 7),
            begins("checkpoint", 9, ("metric F1", "rule 0 any_of(a, b)")),
            begins("warm", 0, model="warm-1f", origin="old/t/0 at offset 5"),
        ],
    )
    def test_it_comes_back(self, announcing: ShardRestored) -> None:
        header = checkpoint_header(PLAIN, ID, 5, 0, extra=untold(announcing))
        assert goes_on("checkpoint", header, self.OURS, PLAIN, ()) == announcing

    def test_nothing_is_kept_of_nothing(self) -> None:
        assert untold(None) == {}
        assert goes_on("checkpoint", self.OURS, self.OURS, PLAIN, ()) is None

    @pytest.mark.parametrize("extra", [{"how": "magic", "from": "1"}, {"how": "earliest"}, {"how": "earliest", "from": "x"}])
    def test_what_nobody_wrote_so_is_passed_over(self, extra: dict[str, str]) -> None:
        assert goes_on("checkpoint", checkpoint_header(PLAIN, ID, 5, 0, extra=extra), self.OURS, PLAIN, ()) is None

    def test_a_change_of_the_pipeline_is_the_news(self) -> None:
        header = checkpoint_header(declared(rolling_events=9), ID, 5, 0, extra=untold(begins("earliest", 7)))
        assert goes_on("previous", header, self.OURS, PLAIN, ("rolling_events",)) == begins("previous", 5, ("rolling_events",))
        assert goes_on("previous", header, self.OURS, PLAIN, ()) == begins("previous", 5, ("pipeline",))


def test_every_challenger_that_joined_is_kept_as_it_came() -> None:
    run = LiveRun()
    run.work(COUNT)
    joined = [each["data"] for each in run.of("training.joined")]
    assert len(joined) >= 2
    for data in joined:
        name = artifact_name(data["training"], data["digest"])
        trained = open_artifact(run.stores.artifacts.load(ID, name) or b"", name, PIPELINE, ID, KEYRING)
        assert digest(trained.model) == data["digest"]
        assert (trained.lessons, trained.learned_through) == (data["lessons"], data["learned_through"])


def test_what_is_beyond_the_limit_is_dropped_and_counted() -> None:
    run, facts = LiveRun(), list[WorkerFact]()
    run.work(COUNT, artifacts=ArtifactLimits(bytes_max=1), tell=facts.append)
    names = [artifact_name(each["data"]["training"], each["data"]["digest"]) for each in run.of("training.joined")]
    evicted = [fact for fact in facts if isinstance(fact, ArtifactsEvicted)]
    assert [run.stores.artifacts.load(ID, name) is not None for name in names] == [False] * (len(names) - 1) + [True]
    assert sum(fact.artifacts for fact in evicted) == len(names) - 1
    assert all(fact.bytes > 1_000 for fact in evicted)
