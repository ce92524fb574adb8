"""Which offsets of which partitions are verified, and what comes of all of them; and the command's words for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from stream_retrain.cli import app
from stream_retrain.cli import verify as command
from stream_retrain.engines.replay.past import Bound, KeptStates, RunRange
from stream_retrain.engines.replay.report import RunReport
from stream_retrain.engines.replay.run import verify_run
from stream_retrain.errors import SettingsError
from stream_retrain.lane.step import DECISIONS, PREDICTIONS
from tests.engines.past_support import COUNT, KEYRING, PIPELINE, LiveRun, MemoryPast


class Commit(NamedTuple):
    offset: int
    other_topic: bool = False


class MemoryRun:
    """A run of which partition 0 was alive, and of partition 1 nothing is committed."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.partitions = [0, 1]
        self.committed = {0: Commit(live.committed or 0)}
        self.past: MemoryPast = live.past()

    def offset_at(self, partition: int, time_s: float) -> int | None:  # noqa: ARG002 - one second an offset in each
        return int(time_s) if time_s < COUNT else None

    def of(self, partition: int) -> MemoryPast:
        assert partition == 0
        return self.past


@pytest.fixture(scope="module")
def live() -> LiveRun:
    run = LiveRun()
    run.work(1_000, requests_at=[900])
    run.work(COUNT, stop=True)
    return run


def verified(run: MemoryRun, checkpoints: Callable[[Any], list[bytes]] | None = None, **wanted: Any) -> RunReport:
    stores = run.live.stores
    kept = KeptStates(checkpoints or stores.checkpoints.load, stores.artifacts.load)
    return verify_run(PIPELINE, run, kept, KEYRING, RunRange(**wanted), group="g", record_bytes_max=1_000_000)


def spans(report: RunReport) -> list[tuple[int, int, int]]:
    return [(each.partition, each.from_offset, each.to_offset) for each in report.partitions]


def test_all_of_it_is_verified_unless_asked(live: LiveRun) -> None:
    report = verified(MemoryRun(live), predictions=True)
    assert (report.verdict, spans(report)) == ("equal", [(0, 0, COUNT), (1, 0, 0)])
    assert (report.pipeline, report.topic, report.group) == (PIPELINE.name, PIPELINE.source, "g")
    assert report.partitions[1].notes == ("the group has committed no offset of it",)
    assert report.partitions[0].tally.compared[PREDICTIONS] > 2_000


@pytest.mark.parametrize(
    ("begin", "end", "span"),
    [
        (Bound("offset", 500), Bound("offset", 700), (500, 700)),
        (Bound("time", 500.0), Bound("time", 700.0), (500, 700)),
        (Bound("start"), Bound("offset", 9), (0, 9)),
        (Bound("offset", 2_900), Bound("end"), (2_900, COUNT)),
        (Bound("offset", 2_900), Bound("time", 1e9), (2_900, COUNT)),
    ],
)
def test_the_range_is_by_offset_or_by_time(live: LiveRun, begin: Bound, end: Bound, span: tuple[int, int]) -> None:
    report = verified(MemoryRun(live), begin=begin, end=end, partitions=(0,))
    assert (report.verdict, spans(report)) == ("equal", [(0, *span)])


def test_no_more_than_is_committed_is_verified(live: LiveRun) -> None:
    [report] = verified(MemoryRun(live), end=Bound("offset", COUNT + 5), partitions=(0,)).partitions
    assert report.to_offset == COUNT
    assert report.notes == ("no more than offset 3,000 is committed",)


def test_nothing_between_is_said(live: LiveRun) -> None:
    report = verified(MemoryRun(live), begin=Bound("time", 1e9), partitions=(0,))
    assert (report.verdict, report.partitions[0].notes) == ("equal", ("there is nothing between offsets 3,000 and 3,000",))


def test_from_a_checkpoint_means_from_the_oldest_that_is_stored(live: LiveRun) -> None:
    report = verified(MemoryRun(live), begin=Bound("checkpoint"), partitions=(0,), predictions=True)
    [each] = report.partitions
    assert report.verdict == "equal"
    assert each.began[0].startswith("with the checkpoint at offset")
    assert each.records == COUNT - each.from_offset < 600
    assert each.tally.compared[PREDICTIONS] > 0


@pytest.mark.parametrize("stored", [[], [b"none of ours"]])
def test_without_one_that_is_impossible(live: LiveRun, stored: list[bytes]) -> None:
    report = verified(MemoryRun(live), lambda _: stored, begin=Bound("checkpoint"), partitions=(0,))
    assert (report.verdict, report.partitions[0].impossible[0].reason) == ("impossible", "no checkpoint is stored")


def test_what_was_committed_for_an_earlier_topic_says_nothing(live: LiveRun) -> None:
    run = MemoryRun(live)
    run.committed = {0: Commit(COUNT, other_topic=True)}
    report = verified(run)
    assert report.verdict == "impossible"
    assert "made anew" in report.partitions[0].impossible[0].reason


def test_a_partition_that_is_not_there_is_usage(live: LiveRun) -> None:
    with pytest.raises(SettingsError, match=r"has the partitions \[0, 1\], and not 7"):
        verified(MemoryRun(live), partitions=(0, 7))


def test_a_difference_counts_whatever_else_is_impossible(live: LiveRun) -> None:
    run = MemoryRun(live)
    run.past.change(DECISIONS, 0, lambda value: value.replace(b'"generation":0', b'"generation":1'))
    assert verified(run).verdict == "different"
    run.past = live.past(whole={PREDICTIONS: 10})
    assert verified(run, predictions=True).verdict == "impossible"
    run.past.change(PREDICTIONS, 50, lambda value: value + b" ")
    assert verified(run, predictions=True).verdict == "different"


def test_progress_is_told_with_where_it_began_and_ends(live: LiveRun) -> None:
    told: list[tuple[int, ...]] = []
    run = MemoryRun(live)
    kept = KeptStates(live.stores.checkpoints.load, live.stores.artifacts.load)
    wanted = RunRange(begin=Bound("offset", 100), end=Bound("offset", 500), partitions=(0,))
    verify_run(PIPELINE, run, kept, KEYRING, wanted, group="g", record_bytes_max=1_000_000, progress=lambda *each: told.append(each))
    assert told[0] == (0, 0, 70, 500)
    assert told[-1] == (0, 0, 500, 500)
    assert [each[2] for each in told] == sorted(each[2] for each in told)


# the command


@pytest.fixture
def invoked(live: LiveRun, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command on a run in memory; what is read of Kafka and Redis is put in its place."""

    def invoke(*options: str, edit: Callable[[MemoryPast], None] = lambda _: None) -> Any:
        run = MemoryRun(live)
        edit(run.past)

        def verify_pipeline(pipeline: Any, settings: Any, keyring: Any, wanted: RunRange, progress: Any) -> RunReport:
            assert pipeline is PIPELINE
            kept = KeptStates(live.stores.checkpoints.load, live.stores.artifacts.load)
            return verify_run(PIPELINE, run, kept, KEYRING, wanted, group="g", record_bytes_max=1_000_000, progress=progress)

        monkeypatch.setattr(command, "verify_pipeline", verify_pipeline)
        monkeypatch.setattr(command, "loaded", lambda _: PIPELINE)
        return CliRunner().invoke(app(), ["verify", "shop.py", "--allow-unsigned", *options])

    return invoke


def test_equal_is_exit_code_0_and_one_json_object(invoked: Callable[..., Any]) -> None:
    result = invoked("--json", "--predictions")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["verdict"], report["first"], report["impossible"]) == ("equal", None, [])
    assert (report["lost"], report["duplicated"], report["different"], report["stubs"]) == (0, 0, 0, 0)
    assert report["records"] == COUNT
    assert [each["partition"] for each in report["partitions"]] == [0, 1]
    assert report["partitions"][0]["compared"] == report["compared"]


def tampered(past: MemoryPast) -> None:
    was = past.change(DECISIONS, 3, lambda value: re.sub(rb'"generation":\d', b'"generation":5', value))
    assert was != past.topics[DECISIONS][3]


def test_a_difference_is_exit_code_1_and_placed(invoked: Callable[..., Any]) -> None:
    result = invoked("--json", edit=tampered)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    first = report["first"]
    assert (report["verdict"], report["different"]) == ("different", 1)
    assert (first["kind"], first["topic"], first["partition"], first["offset"]) == ("different", f"{PIPELINE.name}.decisions", 0, 6)
    assert [(each["field"], each["found"]) for each in first["fields"]] == [("data.generation", 5)]
    assert first["output"]["fact"]
    assert report["partitions"][0]["examples"] == [first]


def test_what_is_impossible_is_exit_code_3_and_said(invoked: Callable[..., Any]) -> None:
    def deleted(past: MemoryPast) -> None:
        past.first = 50

    result = invoked("--json", edit=deleted)
    assert result.exit_code == 3
    [why] = json.loads(result.stdout)["impossible"]
    assert (why["partition"], why["from_offset"], why["to_offset"]) == (0, 0, COUNT)
    assert "retention has deleted" in why["reason"]


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda _: None, ["replayed with a fresh shard at offset 0", "equal: the replay came to everything"]),
        (tampered, ["first difference, topic", "data.generation is 5, not", ": different"]),
        (lambda past: setattr(past, "first", 50), ["cannot be compared, offsets 0 to 3,000", "not everything could be compared"]),
    ],
)
def test_for_a_person_it_is_said_in_words(invoked: Callable[..., Any], edit: Callable[[MemoryPast], None], words: Sequence[str]) -> None:
    result = invoked(edit=edit)
    assert all(each in result.stdout for each in words), result.stdout
    assert "partition 1: the group has committed no offset of it" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "yesterday"], "--from 'yesterday' is none of start, checkpoint, an offset, or a time"),
        (["--to", "start"], "--to 'start' is none of end, an offset"),
        (["--from", "7", "--to", "7"], "--from 7 is not before --to 7"),
        (["--from", "2026-02-01T00:00Z", "--to", "2026-01-01"], "is not before"),
        (["--partition", "9"], "and not 9"),
    ],
)
def test_a_range_that_is_none_is_a_fault_of_whoever_asks(invoked: Callable[..., Any], options: list[str], words: str) -> None:
    result = invoked(*options)
    assert isinstance(result.exception, SettingsError)
    assert words in str(result.exception)


def test_times_without_a_zone_are_utc() -> None:
    bounds = [command._bound(text, "--from", ()) for text in ("2026-01-31T12:00", "2026-01-31T12:00Z", "2026-01-31T14:00+02:00")]
    assert bounds == [Bound("time", 1_769_860_800.0)] * 3
    assert command._bound("0012", "--from", ()) == Bound("offset", 12)
