"""What the decisions say of how the outputs of a partition came about."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from stream_retrain.codec.stamp import Stamp, stamp_of
from stream_retrain.core.contest.inputs import NotTrained, Refused, Request, Reset
from stream_retrain.engines.replay.recorded import Came, Promoted, recorded_in, recorded_of
from stream_retrain.engines.replay.sections import Section, lineages_of, sections_of
from stream_retrain.facts.restored import RestoredFrom, ShardRestored
from stream_retrain.facts.shard import ModelPromoted, ModelReset, ShardFact
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.put import Found, Put
from stream_retrain.lane.step import DECISIONS
from tests.core import streams
from tests.facts.examples import EXAMPLES

SHARD = ShardId("p", "t", 0)
OURS = stamp_of(streams.pipeline(), 1_000)
OTHERS = dataclasses.replace(OURS, fields={**OURS.fields, "river": "0.1"})


def said(fact: ShardFact, stamp: Stamp | None = OURS) -> Found:
    [(_, value)] = encode_decisions(SHARD, [fact])
    headers = [] if stamp is None else stamp.headers
    return Found.of(0, Put(DECISIONS, None, value, tuple((name, text) for name, text in headers if isinstance(text, bytes))))


def drift(offset: int) -> ShardFact:
    [fact] = [fact for kind, fact in EXAMPLES.items() if kind.kind == "drift.detected"]
    return dataclasses.replace(fact, offset=offset)


def restored(offset: int, how: RestoredFrom, from_offset: int, **changes: Any) -> ShardRestored:
    told = ShardRestored(offset=offset, time_s=0.0, how=how, from_offset=from_offset, training=None, request="", generation=0)
    return dataclasses.replace(told, **changes)


def spans(sections: list[Section]) -> list[tuple[int, int | None, int | None]]:
    return [(each.since, each.until, each.begins_at) for each in lineages_of(sections)]


def test_a_run_without_restores_is_one_section_from_the_beginning() -> None:
    sections = sections_of([said(drift(5)), said(drift(9))], OURS, 100)
    assert [(each.since, each.restored, each.stamp, each.decisions) for each in sections] == [(0, None, OURS, 2)]
    assert spans(sections) == [(0, None, 0)]


def test_without_a_decision_nobody_knows_by_what_it_was_made() -> None:
    [section] = sections_of([], OURS, 100)
    assert (section.stamp, section.headers, section.decisions) == (None, None, 0)


def test_what_went_on_from_a_checkpoint_is_the_same_lineage() -> None:
    decisions = [said(drift(5)), said(restored(30, "checkpoint", 20)), said(restored(60, "previous", 20), OTHERS), said(drift(70), OTHERS)]
    sections = sections_of(decisions, OURS, 100)
    assert [(each.since, each.stamp == OURS) for each in sections] == [(0, True), (30, True), (60, False)]
    [lineage] = lineages_of(sections)
    assert (lineage.since, lineage.begins_at, lineage.stamp) == (0, 0, OURS)
    spans = [(0, 9), (0, 30), (29, 59), (30, 99), (70, 70)]
    assert [[each.since for each in lineage.between(*span)] for span in spans] == [[0], [0, 30], [0, 30], [30, 60], [60]]
    assert [lineage.section_at(offset).since for offset in (0, 29, 30, 59, 60, 99)] == [0, 0, 30, 30, 60, 60]


def test_a_warm_start_begins_at_its_offset_with_its_model_however_often_it_is_told() -> None:
    again = restored(60, "warm", 20, model="warm-1f")
    sections = sections_of([said(restored(25, "warm", 20, model="warm-1f")), said(drift(40)), said(again)], OURS, 100)
    assert spans(sections) == [(20, 60, 20), (60, None, 20)]
    assert [each.model for each in lineages_of(sections)] == ["warm-1f", "warm-1f"]
    assert spans(sections_of([said(restored(25, "warm", 0, model="warm-1f"))], OURS, 100)) == [(0, None, 0)]


def test_what_comes_after_the_range_is_not_read() -> None:
    assert len(sections_of([said(drift(5)), said(restored(30, "latest", 30))], OURS, 30)) == 1


def test_a_lane_that_began_again_begins_a_lineage() -> None:
    decisions = [said(drift(5)), said(restored(30, "earliest", 0)), said(restored(50, "latest", 45)), said(restored(80, "window", 75))]
    sections = sections_of(decisions, OURS, 100)
    assert spans(sections) == [(0, 30, 0), (30, 45, 0), (45, 80, 45), (80, None, None)]
    assert "trained on its window" in lineages_of(sections)[-1].unknown


def test_what_is_said_again_after_another_restart_does_not_reach_back() -> None:
    decisions = [said(drift(5)), said(restored(50, "latest", 45)), said(restored(60, "latest", 45))]
    assert spans(sections_of(decisions, OURS, 100)) == [(0, 45, 0), (45, 60, 45), (60, None, 45)]


def test_a_changed_pipeline_that_kept_its_state_has_no_beginning_in_the_log() -> None:
    sections = sections_of([said(drift(5)), said(restored(30, "checkpoint", 20, differs=("metric F1",)))], OURS, 100)
    assert spans(sections) == [(0, 30, 0), (30, None, None)]
    assert "the pipeline was changed" in lineages_of(sections)[-1].unknown


def test_before_the_first_lane_of_a_group_there_is_nothing() -> None:
    assert spans(sections_of([said(restored(41, "new", 40))], OURS, 100)) == [(40, None, 40)]
    earlier = [said(drift(5)), said(restored(41, "new", 40))]
    assert spans(sections_of(earlier, OURS, 100)) == [(0, 40, 0), (40, None, 40)], "another group has put something out"


def test_one_decision_whose_stamp_was_changed_does_not_speak_for_its_section() -> None:
    for decisions in ([said(drift(1), OTHERS), said(drift(2))], [said(drift(1)), said(drift(2), OTHERS)]):
        [section] = sections_of(decisions, OURS, 100)
        assert section.stamp == OURS
    [section] = sections_of([said(drift(1), None), said(drift(2), None)], OURS, 100)
    assert (section.stamp, section.headers) == (None, [])


def promoted() -> ModelPromoted:
    fact = EXAMPLES[ModelPromoted]
    assert isinstance(fact, ModelPromoted)
    return fact


def test_a_reset_is_an_input_where_somebody_asked_for_it() -> None:
    fact = EXAMPLES[ModelReset]
    assert isinstance(fact, ModelReset)
    asked = dataclasses.replace(fact, token="t", reason="it is odd", by="cli:ann")
    assert recorded_in([said(fact), said(asked)]) == [(fact.offset, Reset(token="t", reason="it is odd", by="cli:ann"))]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("training.joined", Came(5, "5-5e1f")),
        ("training.waits", Came(5, "5-5e1f")),
        ("training.failed", NotTrained(training=5, error="took longer than 600 s")),
        ("policy.requested", Request(reason="a new season", token="8f3a")),
        ("request.refused", Refused(do="promote", detail="there is no version 0-g9", reason="", token="8f3b", by="cli:ann")),
        ("model.promoted", Promoted(promoted(), "promoted-5e1f-8f3c")),
    ],
)
def test_what_came_from_outside_is_read_again(kind: str, expected: object) -> None:
    [fact] = [fact for each, fact in EXAMPLES.items() if each.kind == kind]
    assert recorded_in([said(fact)]) == [(fact.offset, expected)]


def test_a_restore_is_read_as_it_was_told() -> None:
    told = restored(30, "checkpoint", 20, training=4, request="8f3a", generation=2, differs=("metric F1", "rule 0 drift:error"))
    assert recorded_of(said(told).put.value) == told


def test_no_other_decision_records_anything() -> None:
    recording = {
        "training.joined",
        "training.waits",
        "training.failed",
        "policy.requested",
        "shard.restored",
        "model.promoted",
        "request.refused",
    }
    facts = [fact for kind, fact in EXAMPLES.items() if kind.published and kind.kind not in recording]
    assert len(facts) > 8
    assert recorded_in(map(said, facts)) == []


@pytest.mark.parametrize("edit", [{"training": "five"}, {"digest": None}, {}])
def test_what_cannot_be_read_records_nothing(edit: dict[str, object]) -> None:
    [fact] = [fact for kind, fact in EXAMPLES.items() if kind.kind == "training.joined"]
    event = json.loads(said(fact).put.value or b"")
    event["data"] = {**event["data"], **edit} if edit else {"offset": 20, "time_s": 0.0}
    assert recorded_of(json.dumps(event, separators=(",", ":")).encode()) is None
    for value in (None, b"", b"{", b'"type":"io.streamretrain.training.joined.v1"', b'"type":"io.streamretrain.nothing.v1"'):
        assert recorded_of(value) is None


def test_headers_that_were_carried_from_a_record_are_no_part_of_a_stamp() -> None:
    plain, traced = said(drift(5)), said(drift(9))
    traced = traced._replace(put=traced.put._replace(headers=(*traced.put.headers, ("traceparent", b"00-1-2-01"))))
    for given in ([plain, traced], [traced, plain], [traced]):
        [section] = sections_of(given, OURS, 100)
        assert (section.stamp, section.headers) == (OURS, OURS.headers)
