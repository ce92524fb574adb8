"""The table of occasions: what it names exists, and every decision is the occasions that it should be."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from stream_retrain.facts.occasions import OCCASIONS, is_asked_for, occasions_of
from stream_retrain.facts.shard import SHARD_FACTS

KINDS = {kind.kind: kind for kind in SHARD_FACTS if kind.published}
ROWS = [(occasion, row) for occasion, rows in OCCASIONS.items() for row in rows]


@pytest.mark.parametrize(("occasion", "row"), ROWS, ids=[f"{occasion} {row.kind}" for occasion, row in ROWS])
def test_what_a_row_names_is_a_kind_of_decision_and_what_its_field_may_be(occasion: str, row: typing.Any) -> None:
    kind = KINDS[row.kind]
    if row.field is not None:
        hint = typing.get_type_hints(kind)[row.field]
        assert row.field in {field.name for field in dataclasses.fields(kind)}
        assert not typing.get_args(hint) or set(row.values) <= set(typing.get_args(hint))


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("drift.detected", {}, ["drift"]),
        ("drift.warned", {}, []),
        ("duel.started", {}, ["challenge"]),
        ("training.requested", {}, ["challenge"]),
        ("training.joined", {}, ["success", "completion"]),
        ("training.failed", {}, ["failure", "completion"]),
        ("duel.ended", {"result": "promoted"}, ["promotion", "success", "completion"]),
        ("duel.ended", {"result": "kept"}, ["success", "completion"]),
        ("duel.ended", {"result": "undecided"}, ["completion"]),
        ("duel.lead_changed", {"now": "fresh"}, []),
        ("duel.lead_changed", {"now": "champion"}, ["rollback"]),
        ("duel.contestant_failed", {}, ["failure"]),
        ("intake.paused", {}, ["failure"]),
        ("model.promoted", {"how": "promote"}, ["promotion", "success", "completion"]),
        ("model.promoted", {"how": "rollback"}, ["rollback", "success", "completion"]),
        ("request.refused", {}, ["failure", "completion"]),
        ("something.newer", {}, []),
    ],
)
def test_a_decision_is_these_occasions(kind: str, data: dict[str, str], expected: list[str]) -> None:
    assert list(occasions_of(kind, data)) == expected


def test_a_kind_may_be_asked_for_by_its_name() -> None:
    assert is_asked_for(("drift.warned",), "drift.warned", {})
    assert is_asked_for(("promotion",), "duel.ended", {"result": "promoted"})
    assert not is_asked_for(("promotion", "drift"), "duel.ended", {"result": "kept"})
