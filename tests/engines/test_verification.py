"""A live run is replayed to the same decisions; what differs is found and placed, and what cannot be compared is said."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest
from river import linear_model

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.engines.replay.past import KeptStates
from stream_retrain.engines.replay.report import PartitionReport
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.put import Found
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS, OutputKind
from tests.engines.past_support import COUNT, KEYRING, PIPELINE, PLAIN, RECORDS, SMALL_ARTIFACTS, LiveRun, MemoryPast, declared, verified

ID = ShardId(PIPELINE.name, PIPELINE.source, 0)


@pytest.fixture(scope="module")
def run() -> LiveRun:
    """Two kills, two requests, three trained challengers."""
    live = LiveRun()
    live.work(700, requests_at=[650])
    live.work(1_900)
    live.work(COUNT, requests_at=[2_500], stop=True)
    assert [len(live.of(fact)) for fact in ("shard.restored", "policy.requested", "training.joined")] == [2, 2, 3]
    return live


def place(past: MemoryPast, fact: str, which: int = 0) -> int:
    """Where the decision of a kind stands."""
    return [at for at, each in enumerate(past.topics[DECISIONS]) if each.identity.fact == fact][which]


def is_equal(report: PartitionReport) -> bool:
    return not report.tally.wrong and not report.impossible


def test_the_whole_run_is_replayed_to_every_byte(run: LiveRun) -> None:
    report = verified(run)
    assert is_equal(report), report
    assert report.tally.compared == {kind: len(run.topics[kind]) for kind in report.tally.compared}
    assert (report.records, report.inputs, report.began) == (COUNT, 5, ("with a fresh shard at offset 0",))


def test_how_the_records_are_read_changes_nothing(run: LiveRun) -> None:
    assert verified(run, run.past(chunk=1_999)).tally == verified(run, run.past(chunk=13)).tally


@pytest.mark.parametrize(("first", "last"), [(0, 1), (701, 2_000), (1_900, 1_901), (2_990, COUNT)])
def test_what_comes_before_the_range_is_learned_and_not_compared(run: LiveRun, first: int, last: int) -> None:
    past = run.past()
    for at in range(len(past.topics[PREDICTIONS])):
        if not first <= past.topics[PREDICTIONS][at].identity.offset < last:
            past.change(PREDICTIONS, at, lambda value: re.sub(rb'"id":"e', b'"id":"f', value))
    report = verified(run, past, from_offset=first, to_offset=last)
    assert is_equal(report), report
    assert report.records == last
    assert report.tally.compared[PREDICTIONS] == sum(first <= each.identity.offset < last for each in run.topics[PREDICTIONS])


def test_decisions_alone_are_compared_unless_asked(run: LiveRun) -> None:
    past = run.past()
    past.change(PREDICTIONS, 5, lambda value: value + b" ")
    report = verified(run, past, predictions=False)
    assert is_equal(report)
    assert (report.tally.compared[PREDICTIONS], report.tally.compared[DEAD_LETTERS]) == (0, 0)


def test_it_can_begin_with_a_checkpoint(run: LiveRun) -> None:
    report = verified(run, from_offset=COUNT - 10, from_checkpoint=True)
    assert is_equal(report)
    assert report.began[0].startswith("with the checkpoint at offset 2,")
    assert report.records < 500


def test_a_checkpoint_beyond_the_range_is_none_to_begin_with(run: LiveRun) -> None:
    report = verified(run, from_offset=100, from_checkpoint=True)
    [why] = report.impossible
    assert "is not of what came before offset 100" in why.reason
    assert (why.from_offset, why.to_offset, report.records) == (100, COUNT, 0)


# what differs

EDITS: list[tuple[OutputKind, int, Callable[[bytes], bytes], str]] = [
    (PREDICTIONS, 1_000, lambda value: value.replace(b"true", b"null").replace(b"false", b"true"), "prediction"),
    (PREDICTIONS, 2_000, lambda value: re.sub(rb'"probability":0\.(\d)', rb'"probability":1.\1', value), "probability"),
    (DECISIONS, 2, lambda value: re.sub(rb'"generation":\d', b'"generation":8', value), "data.generation"),
    (DECISIONS, 4, lambda value: re.sub(rb'"time":"1970', b'"time":"1971', value), "time"),
]


@pytest.mark.parametrize(("kind", "at", "edit", "field"), EDITS)
def test_a_changed_output_is_found_placed_and_shown_field_by_field(
    run: LiveRun, kind: OutputKind, at: int, edit: Callable[[bytes], bytes], field: str
) -> None:
    past = run.past()
    was = past.change(kind, at, edit)
    assert past.topics[kind][at] != was
    report = verified(run, past)
    first = report.tally.first
    assert first
    assert (report.tally.different, report.tally.wrong, report.impossible) == (1, 1, ())
    assert (first.kind, first.identity, first.at) == ("different", was.identity, was.at)
    assert [each.field for each in first.fields] == [field]


def without(found: list[Found]) -> list[Found]:
    return found[:100] + found[101:]


def doubled(found: list[Found]) -> list[Found]:
    return [*found[:101], found[100], *found[101:]]


def doubled_at_the_end(found: list[Found]) -> list[Found]:
    return [*found, found[100]]


def swapped(found: list[Found]) -> list[Found]:
    return [*found[:100], found[101], found[100], *found[102:]]


def moved_far(found: list[Found]) -> list[Found]:
    return [*found[:100], *found[101:1_500], found[100], *found[1_500:]]


def forged(found: list[Found]) -> list[Found]:
    put = found[100].put._replace(value=(found[100].put.value or b"").replace(b'"offset":', b'"offset":10'))
    return [*found[:101], Found.of(7, put), *found[101:]]


def unreadable(found: list[Found]) -> list[Found]:
    return [*found[:100], Found.of(7, found[100].put._replace(value=b"{}")), *found[101:]]


def other_key(found: list[Found]) -> list[Found]:
    return [*found[:100], Found.of(7, found[100].put._replace(key=b"other")), *found[101:]]


@pytest.mark.parametrize(
    ("damage", "lost", "duplicated", "different"),
    [
        (without, 1, 0, 0),
        (doubled, 0, 1, 0),
        (doubled_at_the_end, 0, 1, 0),
        (swapped, 0, 0, 1),
        (moved_far, 0, 0, 1),
        (unreadable, 1, 0, 1),
        (other_key, 0, 0, 1),
    ],
)
def test_every_kind_of_damage_has_its_count(
    run: LiveRun, damage: Callable[[list[Found]], list[Found]], lost: int, duplicated: int, different: int
) -> None:
    past = run.past()
    past.topics[PREDICTIONS] = damage(past.topics[PREDICTIONS])
    tally = verified(run, past).tally
    assert (tally.lost, tally.duplicated, tally.different) == (lost, duplicated, different)
    assert tally.first
    assert tally.first.identity.offset in (run.topics[PREDICTIONS][100].identity.offset, -1)


def test_an_output_that_nobody_expects_is_different(run: LiveRun) -> None:
    past = run.past()
    past.topics[PREDICTIONS] = forged(past.topics[PREDICTIONS])
    tally = verified(run, past).tally
    assert (tally.lost, tally.duplicated, tally.different) == (0, 0, 1)
    assert tally.first
    assert "no such output" in tally.first.detail
    assert tally.first.at == 7


def test_what_was_told_of_a_challenger_is_believed_of_the_artifact_and_not_of_the_decision(run: LiveRun) -> None:
    past = run.past()
    was = past.change(DECISIONS, place(past, "training.joined"), lambda value: re.sub(rb'"lessons":\d+', b'"lessons":1', value))
    first = verified(run, past).tally.first
    assert first
    assert first.identity == was.identity
    assert [(each.field, each.found) for each in first.fields] == [("data.lessons", 1)]


def test_a_request_that_is_not_recorded_is_missed_where_it_had_an_effect(run: LiveRun) -> None:
    past = run.past()
    offset = past.topics[DECISIONS].pop(place(past, "policy.requested")).identity.offset
    report = verified(run, past)
    assert report.tally.wrong
    assert report.tally.first
    assert report.tally.first.identity.offset >= offset


def test_a_header_that_was_changed_is_a_difference(run: LiveRun) -> None:
    for at in (0, 5):
        past = run.past()
        found = past.topics[DECISIONS][at]
        headers = tuple((name, b"9.9" if name == "sr_river" else text) for name, text in found.put.headers)
        past.topics[DECISIONS][at] = Found.of(found.at, found.put._replace(headers=headers))
        first = verified(run, past).tally.first
        assert first
        assert [each.field for each in first.fields] == ["headers.sr_river"]
        assert first.identity == found.identity


def test_a_stub_counts_as_the_output_in_whose_place_it_went_out(run: LiveRun) -> None:
    past = run.past()
    for kind, at in ((PREDICTIONS, 69), (PREDICTIONS, 70), (DECISIONS, 3), (DEAD_LETTERS, 4)):
        found = past.topics[kind][at]
        size = str(len(found.put.value or b"")).encode()
        headers = (*found.put.headers, ("sr_refused", b"MSG_SIZE_TOO_LARGE"), ("sr_refused_bytes", size))
        past.topics[kind][at] = Found.of(found.at, found.put._replace(value=None, headers=headers))
    report = verified(run, past)
    assert is_equal(report), report
    assert report.tally.stubs == 4


# what makes a comparison impossible


def test_a_missing_artifact_is_said_and_what_came_before_is_compared(run: LiveRun) -> None:
    joined = run.of("training.joined")[1]["data"]
    kept = KeptStates(lambda _: [], lambda id_, name: run.stores.artifacts.load(id_, name) if not name.startswith("1-") else None)
    report = verified(run, kept=kept)
    [why] = report.impossible
    assert (why.from_offset, why.to_offset) == (joined["offset"], COUNT)
    assert joined["digest"] in why.reason
    assert "not kept" in why.reason
    assert not report.tally.wrong
    assert report.tally.compared[PREDICTIONS] == sum(each.identity.offset < joined["offset"] for each in run.topics[PREDICTIONS])


@pytest.mark.parametrize("tampered", [lambda sealed: sealed[:-1] + b"x", lambda _: b"none", lambda sealed: sealed[:200]])
def test_a_tampered_artifact_is_said(run: LiveRun, tampered: Callable[[bytes], bytes]) -> None:
    kept = KeptStates(lambda _: [], lambda id_, name: tampered(run.stores.artifacts.load(id_, name) or b""))
    report = verified(run, kept=kept)
    [why] = report.impossible
    assert "cannot be used" in why.reason
    assert not report.tally.wrong


def test_the_artifact_of_another_training_is_none(run: LiveRun) -> None:
    name = "0-" + run.of("training.joined")[0]["data"]["digest"]
    kept = KeptStates(lambda _: [], lambda id_, _: run.stores.artifacts.load(id_, name))
    report = verified(run, kept=kept)
    assert report.impossible[0].from_offset == run.of("training.joined")[1]["data"]["offset"]


def test_a_key_that_is_not_known_is_said(run: LiveRun) -> None:
    report = verified(run, keyring=Keyring(keys=(Key(id="other", secret=b"0123456789abcdef"),)))
    assert "signed with the key 'k'" in report.impossible[0].reason


def test_artifacts_beyond_the_limit_are_gone() -> None:
    live = LiveRun()
    live.work(COUNT, artifacts=SMALL_ARTIFACTS)
    report = verified(live)
    [why] = report.impossible
    assert why.from_offset == live.of("training.joined")[0]["data"]["offset"]


def test_another_pipeline_is_said_with_the_parts_that_differ(run: LiveRun) -> None:
    report = verified(run, pipeline=declared(model=linear_model.LogisticRegression(), window_rows_max=5_000))
    [why] = report.impossible
    assert why[:2] == (0, COUNT)
    assert "another pipeline, which differs in its model and its window_rows_max" in why.reason
    assert report.records == 0


def stamped(past: MemoryPast, name: str, value: bytes) -> None:
    """Every decision says that it was made by something else."""
    for at, found in enumerate(past.topics[DECISIONS]):
        headers = tuple((header, value if header == name else text) for header, text in found.put.headers)
        past.topics[DECISIONS][at] = Found.of(found.at, found.put._replace(headers=headers))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("sr_release", "release 0.0.1, and this is"),
        ("sr_river", "River 0.0.1"),
        ("sr_sources", "another code of its own"),
        ("sr_record_bytes_max", "record_bytes_max = 0.0.1"),
    ],
)
def test_under_other_software_equal_is_equal_and_a_difference_says_nothing(run: LiveRun, header: str, words: str) -> None:
    past = run.past()
    stamped(past, header, b"0.0.1")
    assert is_equal(verified(run, past))
    was = past.change(PREDICTIONS, 1_200, lambda value: value.replace(b"true", b"null").replace(b"false", b"true"))
    report = verified(run, past)
    [why] = report.impossible
    assert (why.from_offset, why.to_offset, report.tally.wrong) == (was.identity.offset, COUNT, 0)
    assert words in why.reason


def test_what_other_software_has_learned_is_in_what_comes_after(run: LiveRun) -> None:
    """The first section was made under another River, the last by ours: its state rests on the first."""
    past, ends = run.past(), run.of("shard.restored")[1]["data"]["offset"]
    for at, found in enumerate(past.topics[DECISIONS]):
        if found.identity.offset < ends:
            headers = tuple((header, b"0.1" if header == "sr_river" else text) for header, text in found.put.headers)
            past.topics[DECISIONS][at] = Found.of(found.at, found.put._replace(headers=headers))
    assert past.topics[DECISIONS][0].identity.offset < ends
    was = past.change(PREDICTIONS, 2_600, lambda value: value + b" ")
    [why] = verified(run, past).impossible
    assert (why.from_offset, "River 0.1" in why.reason) == (was.identity.offset, True)
    report = verified(run, past, from_offset=COUNT - 10, from_checkpoint=True)
    assert is_equal(report), "what a checkpoint of ours holds is ours"


def test_decisions_without_a_stamp_are_of_an_earlier_release(run: LiveRun) -> None:
    past = run.past()
    past.topics[DECISIONS] = [Found.of(each.at, each.put._replace(headers=())) for each in past.topics[DECISIONS]]
    report = verified(run, past)
    assert is_equal(report)
    assert "no decision says by what software" in report.notes[0]
    past.change(PREDICTIONS, 1_500, lambda value: value + b" ")
    assert "an earlier release made them" in verified(run, past).impossible[0].reason


def test_where_retention_has_deleted_records_a_checkpoint_is_gone_on_from(run: LiveRun) -> None:
    report = verified(run, run.past(first=100), from_offset=COUNT - 10)
    assert is_equal(report)
    assert report.began[0].startswith("with the checkpoint")
    report = verified(run, run.past(first=100))
    [why] = report.impossible
    assert "retention has deleted the records of offsets 0 to 100" in why.reason
    assert why[:2] == (0, COUNT)


def test_in_a_compacted_topic_a_difference_says_nothing(run: LiveRun) -> None:
    past = run.past(holes="the topic is compacted")
    assert is_equal(verified(run, past))
    past.all = [each for each in RECORDS if each.offset != 200]
    report = verified(run, past)
    assert (report.tally.wrong, report.impossible[0].from_offset) == (0, 200)
    assert "the topic is compacted" in report.impossible[0].reason
    assert verified(run, dataclasses.replace(past, holes="")).tally.wrong


@pytest.mark.parametrize("kind", [PREDICTIONS, DEAD_LETTERS])
def test_outputs_that_retention_has_deleted_are_not_called_lost(run: LiveRun, kind: OutputKind) -> None:
    past = run.past()
    deleted = past.topics[kind][:20]
    del past.topics[kind][:20]
    begins = past.whole[kind] = deleted[-1].identity.offset + 1
    report = verified(run, past)
    assert (report.tally.wrong, report.impossible[0][:2]) == (0, (0, begins))
    assert report.tally.compared[kind] == len(past.topics[kind])
    assert f"the {kind.replace('_', ' ')} of these offsets" in report.impossible[0].reason
    assert is_equal(verified(run, past, from_offset=begins))


def test_where_nothing_is_left_of_a_topic_nothing_of_it_is_compared(run: LiveRun) -> None:
    past = run.past(whole={PREDICTIONS: 2**63})
    past.topics[PREDICTIONS].clear()
    report = verified(run, past)
    assert [why[:2] for why in report.impossible] == [(0, COUNT)]
    assert (report.tally.wrong, report.tally.compared[PREDICTIONS]) == (0, 0)
    assert report.tally.compared[DECISIONS] == len(run.topics[DECISIONS])


def test_without_the_first_decisions_nobody_knows_how_it_began(run: LiveRun) -> None:
    past = run.past(whole={DECISIONS: 900})
    assert "retention has deleted the first decisions" in verified(run, past).impossible[0].reason
    assert is_equal(verified(run, past, from_offset=COUNT - 10))


# runs whose state the log alone does not give


def test_a_group_that_began_in_the_middle() -> None:
    live = LiveRun()
    live.high = 900
    live.work(COUNT, PLAIN, log={"start": "latest"})
    [told] = live.of("shard.restored")
    assert (told["data"]["how"], told["data"]["from_offset"]) == ("new", 900)
    report = verified(live, pipeline=PLAIN)
    assert is_equal(report)
    assert (report.records, report.began) == (COUNT - 900, ("with a fresh shard at offset 900",))


@pytest.mark.parametrize("pipeline", [PLAIN, PIPELINE], ids=["plain", "takes inputs"])
def test_a_shard_that_learned_again_after_its_store_was_emptied(pipeline: Pipeline) -> None:
    """Inputs of before are not in it: it is replayed from the beginning without them."""
    live = LiveRun()
    live.work(1_990, pipeline)
    live.stores = LiveRun().stores
    live.work(COUNT, pipeline)
    [told] = live.of("shard.restored")
    assert (told["data"]["how"], told["data"]["from_offset"]) == ("earliest", 0)
    report = verified(live, pipeline=pipeline, from_offset=told["data"]["offset"])
    assert is_equal(report), report
    assert report.records == COUNT
    whole = verified(live, pipeline=pipeline)
    assert not whole.tally.wrong
    if pipeline is PLAIN:
        assert whole.began == ("with a fresh shard at offset 0",) * 2
        assert not whole.impossible
    else:
        assert "is not kept" in whole.impossible[0].reason, "the artifacts were lost with the rest"
        assert whole.impossible[0].to_offset == told["data"]["offset"]


def test_a_shard_that_began_untrained_where_it_had_lost_its_state() -> None:
    live = LiveRun()
    live.work(1_000, PLAIN)
    live.stores = LiveRun().stores
    live.work(1_400, PLAIN, checkpoint_missing="latest")
    live.work(COUNT, PLAIN)
    assert [told["data"]["how"] for told in live.of("shard.restored")] == ["latest"]
    report = verified(live, pipeline=PLAIN)
    assert is_equal(report), report
    assert report.began == ("with a fresh shard at offset 0", "with a fresh shard at offset 1,000")


def test_what_a_window_has_taught_no_log_gives_back() -> None:
    before = declared(react=PLAIN.react, model=linear_model.LogisticRegression())
    live = LiveRun()
    live.work(1_800, before, stop=True)
    live.work(1_900, PLAIN, checkpoint_unfit="window")
    live.work(COUNT, PLAIN)
    assert [told["data"]["how"] for told in live.of("shard.restored")] == ["window"]
    report = verified(live, pipeline=PLAIN)
    before_it, after = report.impossible
    assert "another pipeline, which differs in its model" in before_it.reason
    assert before_it[:2] == (0, 1_800)
    assert "trained on its window" in after.reason
    assert after[:2] == (1_800, COUNT)
    assert is_equal(verified(live, pipeline=PLAIN, from_offset=COUNT - 10)), "a checkpoint of it can be gone on from"
    assert not verified(live, pipeline=before).tally.wrong


def test_a_pipeline_that_was_changed_while_its_state_was_kept() -> None:
    changed = declared(react=PLAIN.react, rolling_events=333)
    live = LiveRun()
    live.work(1_800, PLAIN)
    live.work(COUNT, changed)
    report = verified(live, pipeline=changed)
    assert [why[:2] for why in report.impossible] == [(0, 1_800), (1_800, COUNT)]
    assert "differs in its rolling_events" in report.impossible[0].reason
    assert "the pipeline was changed" in report.impossible[1].reason
    assert is_equal(verified(live, pipeline=changed, from_offset=COUNT - 10))
    first = verified(live, pipeline=PLAIN)
    assert [why[:2] for why in first.impossible] == [(1_800, COUNT)]
    assert first.tally.compared[PREDICTIONS] == sum(each.identity.offset < 1_800 for each in live.topics[PREDICTIONS])


@pytest.mark.parametrize("lost", ["the challenger of training 0", "a request"])
def test_an_input_that_a_store_had_lost_is_said(lost: str) -> None:
    """The store came back without its last second, in which an input was saved, and the worker died before it noticed."""
    live = LiveRun()
    at = 900 if lost == "a request" else 799 + 3 * 90
    live.work(750)
    [older, *_] = live.stores.checkpoints.load(ID)
    live.work(at + 90, requests_at=[at - 50] if lost == "a request" else [], stop=True)
    shards = live.stores.checkpoints._shards  # type: ignore[attr-defined]
    with shards.locked(ID) as stored:
        stored.checkpoints = [(unseal(older, KEYRING)[0].offset, older)]
    live.work(COUNT)
    report = verified(live)
    [why] = report.impossible
    assert f"lacks {lost}" in why.reason
    assert why.from_offset == live.of("shard.restored")[-1]["data"]["offset"]
    assert not report.tally.wrong
