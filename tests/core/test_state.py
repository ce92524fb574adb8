"""A part of a snapshot: saved whole, loaded whole, migrated from an earlier number, or refused by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.core.state import SCHEMA, Part, Saved
from stream_retrain.errors import StateError

PLAIN = Part.of("counter", "count", "total")


def seconds_to_ms(values: Saved) -> Saved:
    return {"age_ms": values["age_s"] * 1_000}


def with_a_limit(values: Saved) -> Saved:
    return {**values, "limit_ms": None}


MIGRATED = Part.of("clock", "age_ms", "limit_ms", schema=4, migrations={2: seconds_to_ms, 3: with_a_limit})

keys = st.sampled_from(["count", "total", "more", SCHEMA])


def test_what_was_saved_is_loaded() -> None:
    saved = PLAIN.save(count=3, total=1.5)
    assert saved == {SCHEMA: 1, "count": 3, "total": 1.5}
    assert PLAIN.load(saved) == {"count": 3, "total": 1.5}
    assert saved == {SCHEMA: 1, "count": 3, "total": 1.5}, "loading leaves it as it was"


def test_a_part_without_keys_has_a_number_all_the_same() -> None:
    empty = Part.of("nothing")
    assert empty.load(empty.save()) == {}
    with pytest.raises(StateError, match="the part 'nothing' of the saved state has no schema number"):
        empty.load({})


def test_saving_what_is_not_declared_is_our_own_mistake() -> None:
    for values in ({"count": 1}, {"count": 1, "total": 1, "more": 1}):
        with pytest.raises(AssertionError, match="counter saves"):
            PLAIN.save(**values)


@given(st.dictionaries(keys, st.none() | st.integers(-1, 3)))
def test_only_the_very_keys_and_the_very_number_are_loaded(saved: dict[str, Any]) -> None:
    if saved.get(SCHEMA) == 1 and saved.keys() == {SCHEMA, "count", "total"}:
        assert PLAIN.load(saved) == {"count": saved["count"], "total": saved["total"]}
    else:
        with pytest.raises(StateError, match="the part 'counter' of the saved state"):
            PLAIN.load(saved)


def test_what_is_wrong_is_listed_with_what_can_be_done() -> None:
    with pytest.raises(StateError) as caught:
        PLAIN.load({SCHEMA: 1, "sum": 2, "mean": 1})
    told = str(caught.value)
    assert "is not whole: it lacks count, total; it has besides mean, sum." in told
    assert "start with --rebuild" in told
    assert "--warm-restart" in told


@pytest.mark.parametrize("given_", [None, [], (), "state", 1, {}, {SCHEMA: None}, {SCHEMA: "1"}, {SCHEMA: 1.0}])
def test_what_is_no_part_is_refused(given_: Any) -> None:
    with pytest.raises(StateError, match="the part 'counter' of the saved state has no schema number"):
        PLAIN.load(given_)


@pytest.mark.parametrize(
    "saved",
    [
        {SCHEMA: 2, "age_s": 7},
        {SCHEMA: 3, "age_ms": 7_000},
        {SCHEMA: 4, "age_ms": 7_000, "limit_ms": None},
    ],
    ids=["two before", "one before", "now"],
)
def test_an_earlier_number_is_migrated_step_by_step(saved: Saved) -> None:
    before = dict(saved)
    assert MIGRATED.load(saved) == {"age_ms": 7_000, "limit_ms": None}
    assert saved == before, "what was saved stays as it was, for whoever reads it next"


@pytest.mark.parametrize("number", [-1, 0, 1, 5, 99])
def test_a_number_nobody_migrates_is_refused_by_name(number: int) -> None:
    with pytest.raises(StateError) as caught:
        MIGRATED.load({SCHEMA: number, "age_ms": 7_000, "limit_ms": None})
    assert f"the part 'clock' of the saved state has schema {number}, and this release reads 4" in str(caught.value)
    assert "start the release that wrote it" in str(caught.value)


def test_what_a_migration_makes_must_be_whole_too() -> None:
    with pytest.raises(StateError, match="the part 'clock' of the saved state is not whole: it lacks age_ms"):
        MIGRATED.load({SCHEMA: 3, "age_minutes": 1})
