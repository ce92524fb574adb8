"""When models are measured: often enough to meet a limit, seldom enough to cost little, and the same after a restore."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain import On
from stream_retrain.core.contest.ceiling import APART_EVENTS, FIRST_EVENTS, PRUNED_MAX, Ceiling, pruned
from stream_retrain.core.react.triggers import Memory, Moment
from stream_retrain.facts.observation import MemorySeen
from stream_retrain.lane.reactor import PART
from tests.core import streams

LIMIT = 1_000_000


class Sized:
    """A model that says how much memory it takes."""

    def __init__(self, size: float) -> None:
        self.size = size
        self.shrinks = 0

    def memory_bytes(self) -> int:
        return int(self.size)

    def shrink(self) -> bool:
        self.shrinks += 1
        self.size /= 2
        return self.shrinks <= 3


def ceiling(saved: Any = None, **limits: int) -> Ceiling:
    rule = On.memory(**{"model_bytes_max": LIMIT, **limits}, do="ignore")  # type: ignore[arg-type]
    return Ceiling(streams.pipeline(react=[rule]), saved)


def met(size_at: Any, until: int = 400_000) -> tuple[int | None, list[int]]:
    """At how many events the limit was met, and when the model was measured."""
    watched, measured = ceiling(), []
    at = FIRST_EVENTS
    while at <= until:
        measured.append(at)
        if watched.measure([Sized(size_at(at))], at):
            return at, measured
        at = int(watched.next_at)
        assert at - measured[-1] >= FIRST_EVENTS
    return None, measured


@given(rate=st.floats(5.0, 3_000.0), begins=st.integers(0, 500_000))
@settings(max_examples=100, deadline=None)
def test_one_that_grows_evenly_is_met_within_15_percent(rate: float, begins: int) -> None:
    at, measured = met(lambda events: begins + rate * events)
    assert at is not None
    assert begins + rate * at <= 1.15 * LIMIT + rate * FIRST_EVENTS
    assert len(measured) < 80


@given(factor=st.floats(1e-4, 5e-2))
@settings(max_examples=50, deadline=None)
def test_one_that_grows_faster_and_faster_is_met_within_half(factor: float) -> None:
    at, _ = met(lambda events: factor * events**2)
    assert at is not None
    assert factor * at**2 <= 1.5 * LIMIT + factor * 2 * at * FIRST_EVENTS


@pytest.mark.parametrize("size", [5_000, 90_000, 900_000])
def test_one_that_keeps_its_size_is_measured_as_seldom_as_its_size_allows(size: int) -> None:
    at, measured = met(lambda _: size)
    assert at is None
    late = [later - earlier for earlier, later in itertools.pairwise(measured) if earlier > 100_000]
    assert min(late) >= min(APART_EVENTS, 0.1 * 100_000)
    assert len(measured) * size <= 400_000 * 60, "at most some 60 bytes measured for each event, 1 us"


def test_it_goes_on_after_a_restore_as_if_it_had_never_stopped() -> None:
    whole = ceiling()
    whole.measure([Sized(400_000), Sized(200_000)], 500)
    again = ceiling(whole.snapshot())
    assert again.next_at == whole.next_at
    assert again.seen == whole.seen == MemorySeen(400_000, 600_000, LIMIT, None)
    for each in (whole, again):
        assert each.measure([Sized(1_200_000)], int(each.next_at))
        assert not each.measure([Sized(1_300_000)], int(each.next_at))
        each.made_room(5_000, 700_000)
    assert again.snapshot() == whole.snapshot()
    assert whole.next_at == 5_000 + FIRST_EVENTS


def test_the_lowest_limits_that_are_declared_are_shown() -> None:
    rules = [On.memory(model_bytes_max=each, do="ignore") for each in (800_000, 500_000)] + [
        On.memory(shard_bytes_max=9_000_000, do="reset")
    ]
    watched = Ceiling(streams.pipeline(react=rules))
    watched.measure([Sized(600_000)], 100)
    assert watched.seen == MemorySeen(600_000, 600_000, 500_000, 9_000_000)


def test_a_state_of_before_there_were_ceilings_begins_with_a_fresh_one() -> None:
    values = {name: None for name in PART.keys if name != "ceiling"}
    assert PART.load({"schema": 2, **values})["ceiling"] is None


def test_pruning_goes_on_until_it_is_well_within_the_limit() -> None:
    model = Sized(2_500_000)
    assert pruned([model], Memory(model_bytes_max=LIMIT)) == (2_500_000, 625_000)
    assert model.shrinks == 2


def test_pruning_that_does_not_help_says_so() -> None:
    assert pruned([Sized(50_000_000)], Memory(model_bytes_max=LIMIT)) is None


class Boasting(Sized):
    """A model that says that it has shrunk, and has not."""

    def shrink(self) -> bool:
        self.shrinks += 1
        return True


def test_a_model_that_only_says_that_it_shrinks_is_asked_some_times_and_no_more() -> None:
    model = Boasting(2_500_000)
    assert pruned([model], Memory(model_bytes_max=LIMIT)) is None
    assert model.shrinks == PRUNED_MAX


def test_a_model_that_takes_nothing_is_measured_as_seldom_as_any() -> None:
    at, measured = met(lambda _: 0)
    assert at is None
    assert len(measured) < 500


@pytest.mark.parametrize(
    ("limits", "seen", "fires"),
    [
        ({"model_bytes_max": LIMIT}, None, False),
        ({"model_bytes_max": LIMIT}, (LIMIT, 9 * LIMIT), False),
        ({"model_bytes_max": LIMIT}, (LIMIT + 1, LIMIT + 1), True),
        ({"shard_bytes_max": LIMIT}, (10, LIMIT + 1), True),
        ({"model_bytes_max": LIMIT, "shard_bytes_max": LIMIT}, (10, LIMIT), False),
    ],
)
def test_a_trigger_holds_where_a_limit_is_passed(limits: dict[str, int], seen: tuple[int, int] | None, fires: bool) -> None:
    memory = None if seen is None else MemorySeen(*seen, None, None)
    assert Memory(**limits).build().fires(Moment(1, 0.0, 0, memory=memory)) is fires
