"""Rows and chunks for the tests of the stores."""

from __future__ import annotations

from collections.abc import Sequence

from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.ports import WindowLimits
from stream_retrain.stores.window import WindowChunk

SHARD = ShardId("flights", "flights.events", 0)
ROOMY = WindowLimits(rows_max=1_000)


def rows(first: int, last: int, step_s: float = 1.0) -> list[Learned]:
    """One row an offset, `step_s` seconds apart, so that the row at offset n has time `n * step_s`."""
    return [
        Learned(offset, offset * step_s, {"delay": offset / 3, "carrier": "AA", "late": offset % 2 == 0}, offset % 3 == 0, None)
        for offset in range(first, last + 1)
    ]


def chunk(first: int, last: int, step_s: float = 1.0) -> WindowChunk:
    return WindowChunk.of(rows(first, last, step_s))


def offsets(found: Sequence[Learned]) -> list[int]:
    return [row.offset for row in found]
