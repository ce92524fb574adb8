"""What a driver tells the engine that feeds it: what to commit, and where to read."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from stream_retrain.facts.values import ShardId
from stream_retrain.lane.step import Output

__all__ = ["Opened", "Unsent"]


@dataclasses.dataclass(frozen=True, slots=True)
class Unsent:
    """What one transaction must hold: outputs, and by shard the next offset to read."""

    outputs: list[Output]
    offsets: dict[ShardId, int]


class Opened(NamedTuple):
    """A lane is open: read from `offset`; from `live_from` on it puts something out."""

    id: ShardId
    offset: int
    live_from: int
