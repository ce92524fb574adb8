"""Outputs beside expected outputs, as both come along in pieces."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import pytest

from stream_retrain.engines.replay import comparison as module
from stream_retrain.engines.replay.comparison import EXAMPLES_MAX, Comparison, Tally
from stream_retrain.engines.replay.output_stream import OutputStream
from stream_retrain.lane.put import Found, Put, identity_of
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS


def prediction(offset: int, **changes: object) -> Put:
    value = {"id": f"e{offset}", "offset": offset, "prediction": True, "probability": 0.5, "generation": 0}
    return Put(PREDICTIONS, b"k", json.dumps({**value, **changes}, separators=(",", ":")).encode())


def decision(offset: int, number: int = 0, fact: str = "drift.detected", **data: object) -> Put:
    event = {"id": f"t/0/{offset}/{number}/{fact}", "data": {"offset": offset, "standings": [{"name": "a", "loss": 1}], **data}}
    return Put(DECISIONS, b"k", json.dumps(event, separators=(",", ":")).encode(), (("sr_river", b"1"),))


def letter(offset: int) -> Put:
    return Put(DEAD_LETTERS, None, b"what came", (("sr_reason", b"decode"), ("sr_offset", b"%d" % offset)))


def found(puts: Sequence[Put], first: int = 0) -> list[Found]:
    return [Found.of(first + at, put) for at, put in enumerate(puts)]


def compared(expected: Sequence[Put], there: Sequence[Found], piece: int = 10**9) -> Tally:
    """The tally where both are given in pieces of so many source offsets."""
    comparison, stream, at = Comparison(), OutputStream(iter(there)), 0
    last = max((identity_of(put).offset for put in expected), default=0)
    while at <= last:
        comparison.take([put for put in expected if at <= identity_of(put).offset < at + piece], stream.through(at + piece - 1))
        at += piece
    comparison.take([], stream.through(10**12, last=True))
    return comparison.tally


ALL = [prediction(offset) for offset in range(100)]


@pytest.mark.parametrize("piece", [1, 7, 100, 1_000])
def test_equal_is_equal_however_it_is_cut(piece: int) -> None:
    tally = compared(ALL, found(ALL), piece)
    assert (tally.wrong, tally.compared[PREDICTIONS], tally.first, tally.examples) == (0, 100, None, [])


@pytest.mark.parametrize("piece", [1, 7, 1_000])
@pytest.mark.parametrize("seed", range(5))
def test_damage_is_counted_alike_however_it_is_cut(piece: int, seed: int) -> None:
    rng = random.Random(seed)
    lost = set(rng.sample(range(100), 3))
    twice = set(rng.sample(sorted(set(range(100)) - lost), 3))
    changed = rng.choice(sorted(set(range(100)) - lost - twice))
    there: list[Put] = []
    for offset, put in enumerate(ALL):
        copies = 0 if offset in lost else 2 if offset in twice else 1
        there += [prediction(offset, probability=0.25) if offset == changed else put] * copies
    tally = compared(ALL, found(there), piece)
    assert (tally.lost, tally.duplicated, tally.different) == (3, 3, 1)
    assert tally.first
    assert tally.first.identity.offset == min(*lost, *twice, changed)


def test_one_that_comes_late_is_out_of_order_and_not_lost() -> None:
    moved = [*ALL[:10], *ALL[11:60], ALL[10], *ALL[60:]]
    tally = compared(ALL, found(moved), piece=7)
    assert (tally.lost, tally.duplicated, tally.different) == (0, 0, 1)
    assert tally.first
    assert (tally.first.kind, tally.first.identity.offset, tally.first.at) == ("different", 10, 59)
    assert "after the output of source offset" in tally.first.detail
    assert [each.kind for each in tally.examples] == ["different"], "that it was missed at first is forgotten"


def test_one_that_comes_late_and_changed_shows_its_fields() -> None:
    late = prediction(10, generation=3)
    tally = compared(ALL, found([*ALL[:10], *ALL[11:60], late, *ALL[60:]]), piece=7)
    assert tally.first
    assert tally.first.fields == (("generation", 0, 3),)


def test_only_the_last_ones_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_MAX", 20)
    tally = compared(ALL, found([*ALL, ALL[95], ALL[3]]), piece=7)
    assert (tally.duplicated, tally.different) == (1, 1), "of the older one nobody knows any more that it was there"
    tally = compared(ALL, found([*ALL[25:], ALL[3], ALL[24]]), piece=7)
    assert (tally.lost, tally.different) == (24, 2)


def test_no_more_than_a_few_are_shown() -> None:
    tally = compared(ALL, found([prediction(offset, generation=1) for offset in range(100)]))
    assert (tally.different, len(tally.examples)) == (100, EXAMPLES_MAX)
    assert tally.first == tally.examples[0]


def test_a_decision_is_shown_field_by_field() -> None:
    ours = decision(5, generation=1, gone="x")
    theirs = decision(5, generation=1, new=True)
    value = (theirs.value or b"").replace(b'"loss":1', b'"loss":1.0')
    tally = compared([ours], found([theirs._replace(key=None, value=value, headers=(("sr_river", b"2"), ("extra", b"")))]))
    assert tally.first
    fields = {each.field: (each.expected, each.found) for each in tally.first.fields}
    assert fields == {
        "key": (b"k", None),
        "data.standings[0].loss": (1, 1.0),
        "data.gone": ("x", None),
        "data.new": (None, True),
        "headers.sr_river": (b"1", b"2"),
        "headers.extra": (None, b""),
    }
    assert "data.gone is None, not 'x'" in tally.first.words


@pytest.mark.parametrize("value", [b"{", b"", b"\xff\xfe", b'{"offset":1} '])
def test_what_is_no_json_or_differs_in_its_blanks_is_shown_whole(value: bytes) -> None:
    ours = Put(DEAD_LETTERS, None, b'{"offset":1}', (("sr_offset", b"1"),))
    tally = compared([ours], found([ours._replace(value=value)]))
    assert tally.first
    assert [each.field for each in tally.first.fields] == ["value"]


def test_decisions_of_one_offset_are_told_apart_by_number_and_fact() -> None:
    decisions = [decision(5, 0, "shard.restored"), decision(5, 0), decision(5, 1), decision(6, 0)]
    assert compared(decisions, found(decisions)).wrong == 0
    tally = compared(decisions, found([*decisions[:2], decisions[1], decisions[3]]))
    assert (tally.lost, tally.duplicated, tally.different) == (1, 1, 0)


def test_kinds_have_orders_of_their_own() -> None:
    expected = [prediction(8), decision(3), letter(5)]
    tally = compared(expected, found([letter(5), prediction(8), decision(3)]))
    assert (tally.wrong, tally.compared) == (0, {PREDICTIONS: 1, DECISIONS: 1, DEAD_LETTERS: 1})


def stub(put: Put, size: int | None = None) -> Put:
    size = len(put.value or b"") if size is None else size
    return put._replace(value=None, headers=(*put.headers, ("sr_refused", b"x"), ("sr_refused_bytes", b"%d" % size)))


@pytest.mark.parametrize("piece", [1, 7, 1_000])
def test_a_stub_stands_for_the_one_of_its_size(piece: int) -> None:
    expected = [prediction(offset, id="x" * offset) for offset in range(100)]
    there = [stub(put) if offset in (20, 21, 27, 99) else put for offset, put in enumerate(expected)]
    tally = compared(expected, found(there), piece)
    assert (tally.wrong, tally.stubs) == (0, 4)


def test_a_stub_of_another_size_is_a_difference_and_what_it_hides_is_lost() -> None:
    tally = compared(ALL, found([*ALL[:20], stub(ALL[20], 7), *ALL[21:]]))
    assert (tally.lost, tally.different, tally.stubs) == (1, 1, 0)


def test_a_stub_of_a_dead_letter_stands_for_that_one_only() -> None:
    letters = [letter(1), letter(2)]
    assert compared(letters, found([letters[0], stub(letters[1])])).wrong == 0
    tally = compared(letters, found([letters[0], stub(letters[0])]))
    assert (tally.lost, tally.duplicated) == (1, 1)


def test_something_without_a_place_is_a_difference() -> None:
    for put in (Put(PREDICTIONS, None, None), Put(DECISIONS, None, b"{}"), Put(DEAD_LETTERS, None, b"x", (("sr_offset", b"-3"),))):
        tally = compared([prediction(1)], found([put, prediction(1)]))
        assert (tally.different, tally.lost) == (1, 0)


def test_a_tally_that_is_copied_does_not_follow() -> None:
    comparison = Comparison()
    before = comparison.tally.copy()
    difference = comparison.take([prediction(1)], [])
    assert difference
    assert (difference.kind, comparison.tally.lost, before.lost, before.compared[PREDICTIONS], before.examples) == ("lost", 1, 0, 0, [])
    assert comparison.take([prediction(2)], found([prediction(2)])) is None
