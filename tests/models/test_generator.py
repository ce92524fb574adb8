"""The models' generator draws the same in Python and compiled, goes on from its state, and prefers no number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.generator import SEED_MAX, Generator
from stream_retrain.native import extension
from tests.models.twins import needs_extension

SEEDS = st.one_of(st.integers(0, 100), st.integers(0, SEED_MAX))


def block(generator: Generator) -> tuple[bytes, bytes]:
    to = Writer()
    generator.write(to)
    return to.block()


@needs_extension
@given(SEEDS, st.lists(st.integers(1, 2**32), max_size=20))
def test_it_draws_the_same_in_python_and_compiled(seed: int, limits: list[int]) -> None:
    built, ours = extension(), Generator(seed)
    assert built is not None
    assert built.draw(seed, limits) == ([ours.below(limit) for limit in limits], ours.next(), block(ours))


@given(SEEDS, st.integers(0, 5))
def test_it_goes_on_from_its_state(seed: int, before: int) -> None:
    generator = Generator(seed)
    for _ in range(before):
        generator.next()
    reader = Reader(block(generator))
    other = Generator.read(reader)
    reader.end()
    assert [other.next() for _ in range(3)] == [generator.next() for _ in range(3)]


def test_a_state_that_draws_nothing_is_damaged() -> None:
    with pytest.raises(ValueError, match="damaged"):
        Generator.read(Reader((bytes(8), b"")))


def test_it_draws_what_it_always_drew() -> None:
    generator = Generator(1)
    assert [generator.next() for _ in range(3)] == [5424204624148110235, 15555979849632202484, 6851360858507811590]


@pytest.mark.parametrize("seed", range(5))
def test_small_seeds_differ_and_every_number_is_drawn_as_often(seed: int) -> None:
    generator = Generator(seed)
    counts = [0] * 7
    for _ in range(7_000):
        counts[generator.below(7)] += 1
    assert 880 < min(counts) <= max(counts) < 1_120
    assert len({Generator(other).below(1_000) for other in range(50)}) > 40
    assert all(0.0 <= generator.unit() < 1.0 for _ in range(1_000))
