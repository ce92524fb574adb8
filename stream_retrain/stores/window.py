"""A window as chunks: the part of a window store that does not depend on where it keeps the chunks.

A chunk is what was appended in one call. Its span is kept beside its bytes, so that a store can trim and skip it without decoding.
"""

from __future__ import annotations

import bisect
import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stream_retrain.codec.chunks import decode_chunk, encode_chunk
from stream_retrain.facts.values import Learned

__all__ = ["WindowChunk", "last_rows", "next_rows"]


class WindowChunk(NamedTuple):
    """Consecutive rows of a window, encoded, with their offsets and times."""

    first_offset: int
    last_offset: int
    rows: int
    oldest_time_s: float
    newest_time_s: float
    data: bytes

    @classmethod
    def of(cls, rows: Sequence[Learned]) -> WindowChunk:
        """The chunk of one or more rows, whose offsets ascend."""
        offsets = [row.offset for row in rows]
        times_s = [row.time_s for row in rows]
        assert all(map(operator.lt, offsets, offsets[1:])), f"offsets of a window's rows do not ascend: {offsets}"
        return cls(int(offsets[0]), int(offsets[-1]), len(rows), float(min(times_s)), float(max(times_s)), encode_chunk(rows))

    def above(self, offset: int) -> WindowChunk | None:
        """The part beyond `offset`; None if there is none. Decodes the chunk only if `offset` is within it."""
        if offset < self.first_offset:
            return self
        if offset >= self.last_offset:
            return None
        rows = decode_chunk(self.data)
        return WindowChunk.of(rows[bisect.bisect_right(rows, offset, key=operator.attrgetter("offset")) :])


def last_rows(newest_first: Iterable[WindowChunk], rows_max: int, since_time_s: float | None, through_offset: int | None) -> list[Learned]:
    """The result of `WindowStore.last`; reads no more chunks than it needs. Raises StateError if one of them is damaged."""
    picked: list[list[Learned]] = []
    for chunk in newest_first if rows_max > 0 else ():
        if through_offset is not None and chunk.first_offset > through_offset:
            continue
        if since_time_s is not None and chunk.newest_time_s < since_time_s:
            continue
        rows = _within(decode_chunk(chunk.data), since_time_s, through_offset)
        picked.append(rows[-rows_max:])
        rows_max -= len(picked[-1])
        if rows_max == 0:
            break
    return list(itertools.chain.from_iterable(reversed(picked)))


def next_rows(oldest_first: Iterable[WindowChunk], offset: int, rows_max: int) -> list[Learned]:
    """The result of `WindowStore.after`; reads no more chunks than it needs. Raises StateError if one of them is damaged."""
    picked: list[Learned] = []
    for chunk in oldest_first if rows_max > 0 else ():
        if (beyond := chunk.above(offset)) is not None:
            picked.extend(decode_chunk(beyond.data))
        if len(picked) >= rows_max:
            break
    return picked[: max(0, rows_max)]


def _within(rows: list[Learned], since_time_s: float | None, through_offset: int | None) -> list[Learned]:
    if through_offset is not None:
        rows = [row for row in rows if row.offset <= through_offset]
    if since_time_s is not None:
        rows = [row for row in rows if row.time_s >= since_time_s]
    return rows
