"""The memory twin and a real server return the same for random calls."""

from __future__ import annotations

import random
from typing import Any

import pytest

from stream_retrain.errors import StoreError
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores, WindowLimits
from stream_retrain.stores.window import WindowChunk
from tests.stores.support import SHARD, rows


@pytest.mark.services
@pytest.mark.parametrize("seed", range(5))
def test_the_memory_twin_and_a_real_server_answer_alike(real_url: str, seed: int) -> None:
    chance = random.Random(seed)
    steps = [_step(chance) for _ in range(150)]
    assert _answers(connect(real_url), steps) == _answers(connect("memory://"), steps)


def _step(chance: random.Random) -> tuple[Any, ...]:
    first, size, back = chance.randrange(200), chance.randrange(1, 20), chance.choice([0, 0, 0, 0, 1])
    match chance.choice(["claim", "append", "append", "append", "last", "span", "save", "save", "load", "delete"]):
        case "append":
            limits = WindowLimits(rows_max=chance.randrange(60), age_max_s=chance.choice([None, 30.0, 5.5]))
            appended = [row._replace(time_s=chance.uniform(-9, 9) + row.offset) for row in rows(first, first + size - 1)]
            return "append", back, appended, limits
        case "last":
            return "last", size, chance.choice([None, 50.5]), chance.choice([None, first])
        case "save":
            return "save", back, first, chance.randbytes(9)
        case other:
            return other, back


def _answers(stores: Stores, steps: list[tuple[Any, ...]]) -> list[object]:
    """The answers to `steps`, in which an epoch is said by how many claims ago it was given."""
    epochs = [stores.checkpoints.claim(SHARD), stores.checkpoints.claim(SHARD)]
    answers: list[object] = []
    for step in steps:
        try:
            match step:
                case "claim", _:
                    epochs.append(stores.checkpoints.claim(SHARD))
                case "append", back, appended, limits:
                    answers.append(stores.window.append(SHARD, epochs[-1 - back], WindowChunk.of(appended), limits))
                case "last", rows_max, since_time_s, through_offset:
                    answers.append(stores.window.last(SHARD, rows_max, since_time_s=since_time_s, through_offset=through_offset))
                case "span", _:
                    answers.append(stores.window.span(SHARD))
                case "save", back, offset, sealed:
                    stores.checkpoints.save(SHARD, epochs[-1 - back], offset, sealed)
                case "load", _:
                    answers.append(stores.checkpoints.load(SHARD))
                case "delete", back:
                    stores.checkpoints.delete(SHARD, epochs[-1 - back])
        except StoreError as error:
            answers.append(type(error))
    return answers
