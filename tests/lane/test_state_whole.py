"""What is saved of a shard is there as a whole, or it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from stream_retrain import Shard
from stream_retrain.errors import StateError
from tests.core import streams


def saved() -> dict[str, Any]:
    shard = Shard(streams.pipeline())
    shard.process(streams.events(streams.rows(50)))
    return shard.snapshot()


@pytest.mark.parametrize("part", ["questions", "scores", "reactions"])
def test_a_part_that_is_none_is_not_begun_afresh_in_silence(part: str) -> None:
    with pytest.raises(StateError, match=f"it has no {part}"):
        Shard(streams.pipeline(), {**saved(), part: None})


@pytest.mark.parametrize("part", ["policy", "watches", "succession", "adaptation"])
def test_nor_is_a_part_of_the_reactions(part: str) -> None:
    state = saved()
    with pytest.raises(StateError, match=f"it has no {part}"):
        Shard(streams.pipeline(), {**state, "reactions": {**state["reactions"], part: None}})
