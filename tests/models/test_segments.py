"""The segments of packed models, beside a plain dict that does the same."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain.models import segments
from stream_retrain.models.segments import KEY_BYTES, PackedModel, Segment, Segments

ROWS = 4
steps = st.lists(st.tuples(st.sampled_from(["put", "put", "put", "take", "drop", "save"]), st.integers(0, 12)), max_size=120)


@pytest.fixture(scope="module", autouse=True)
def _small_segments() -> object:
    patched = pytest.MonkeyPatch()
    patched.setattr(segments, "SEGMENT_ROWS", ROWS)
    yield patched
    patched.undo()


@given(steps)
@settings(max_examples=200, deadline=None)
def test_they_do_what_a_dict_in_order_of_use_does(steps: list[tuple[str, int]]) -> None:
    made, twin = Segments(), dict[str, PackedModel]()
    for used, (step, number) in enumerate(steps):
        key = f"key {number}"
        match step:
            case "put" if key not in twin:
                twin[key] = PackedModel(number, number / 7, used, number * 100, bytes([number]) * (number * 3))
                made.put(key, twin[key])
            case "take":
                assert made.take(key) == twin.pop(key, None)
            case "drop" if twin:
                made.drop_oldest()
                del twin[next(iter(twin))]
            case "save":
                made = pickle.loads(pickle.dumps(made))
        assert len(made) == len(twin)
        assert [key in made for key in twin] == [True] * len(twin)
        assert made.oldest_used() == (next(iter(twin.values())).used if twin else None)
        assert made.bytes == sum(len(model.packed) + KEY_BYTES for model in twin.values())
        there = sum(len(segment) for segment in made.whole)
        assert sum(len(segment.keys) for segment in made.whole) <= 2 * there + 4 * ROWS
    for key, model in list(twin.items()):
        assert made.take(key) == model


def test_a_segment_is_a_function_of_its_rows_and_never_changes() -> None:
    rows = [(number, PackedModel(number, 0.5, number, 9, b"packed" * number)) for number in range(4)]
    one, other = Segment.of(rows), Segment.of(rows)
    before = one.data
    assert one.digest == other.digest
    one.taken |= 0b101
    assert [key for key, _ in one.rows()] == [1, 3]
    assert (one.data, one.first, len(one)) == (before, 1, 2)
    again: Segment = pickle.loads(pickle.dumps(one))
    assert (list(again.rows()), again.digest) == (list(one.rows()), one.digest)


def test_neighbours_of_which_most_was_taken_are_merged_in_order() -> None:
    made = Segments()
    for number in range(8):
        made.put(number, PackedModel(0, 0.0, number, 9, b"x"))
    first, second = made.whole
    for number in (0, 1, 5, 6):
        made.take(number)
    for number in range(8, 12):
        made.put(number, PackedModel(0, 0.0, number, 9, b"x"))
    assert [segment.keys for segment in made.whole] == [(2, 3, 4, 7), (8, 9, 10, 11)]
    assert not {id(first), id(second)} & {id(segment) for segment in made.whole}
    assert made.oldest_used() == 2


@pytest.mark.parametrize("data", [b"", b"\0\0\0\1\xff", b"\0\0\0\1\x90"])
def test_bytes_that_are_no_segment_are_refused(data: bytes) -> None:
    with pytest.raises(Exception, match=r"unpack_from|invalid|expected|Expected|array|truncated|malformed"):
        Segment(data)
