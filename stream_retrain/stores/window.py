"""A window as chunks: the part of a window store that does not depend on where it keeps the chunks.

A chunk is what was appended in one call. Its span is kept beside its bytes, so that a store can trim and skip it without decoding, and a
seal beside both (`codec.chunks`). A store seals what it keeps and checks what it finds: a chunk that is damaged, forged or of another
place is left out, with one line in the log, and its rows are missing like trimmed ones.
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from stream_retrain.codec.chunks import Span, check_seal, chunk_seal, decode_chunk, encode_chunk
from stream_retrain.codec.keyring import Keyring
from stream_retrain.errors import StateError
from stream_retrain.facts.values import Learned, ShardId

__all__ = ["LeftOut", "WindowChunk", "last_rows", "next_rows"]


class WindowChunk(NamedTuple):
    """Consecutive rows of a window, encoded, with their offsets and times; the seal is empty until a store keeps it."""

    first_offset: int
    last_offset: int
    rows: int
    oldest_time_s: float
    newest_time_s: float
    data: bytes
    seal: bytes = b""

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

    def sealed(self, shard: ShardId, keyring: Keyring) -> WindowChunk:
        """The chunk, to be kept for a shard."""
        return self._replace(seal=chunk_seal(str(shard), self._span, self.data, keyring))

    def check(self, shard: ShardId, keyring: Keyring) -> None:
        """Raises `StateError` for a chunk that was not sealed for this shard and this span."""
        check_seal(self.seal, str(shard), self._span, self.data, keyring)

    def learned(self) -> list[Learned]:
        """The rows. Raises `StateError` where they are not those of the span: an unsigned chunk may be anybody's."""
        rows = decode_chunk(self.data)
        offsets = [row.offset for row in rows]
        ascend = all(map(operator.lt, offsets, offsets[1:]))
        if not ascend or len(rows) != self.rows or offsets[:1] + offsets[-1:] != [self.first_offset, self.last_offset]:
            raise StateError("A chunk of the window holds other rows than it says")
        if not all(math.isfinite(row.time_s) for row in rows):
            raise StateError("A chunk of the window has a row without a time")
        return rows

    @property
    def _span(self) -> Span:
        return self.first_offset, self.last_offset, self.rows, self.oldest_time_s, self.newest_time_s


LeftOut: TypeAlias = Callable[[int, StateError], None]
"""Called with the last offset of a chunk that cannot be read, and why."""


def last_rows(
    newest_first: Iterable[WindowChunk], rows_max: int, since_time_s: float | None, through_offset: int | None, left_out: LeftOut
) -> list[Learned]:
    """The result of `WindowStore.last`; reads no more chunks than it needs."""
    picked: list[list[Learned]] = []
    for chunk in newest_first if rows_max > 0 else ():
        if through_offset is not None and chunk.first_offset > through_offset:
            continue
        if since_time_s is not None and chunk.newest_time_s < since_time_s:
            continue
        rows = _within(_learned(chunk, left_out), since_time_s, through_offset)
        picked.append(rows[-rows_max:])
        rows_max -= len(picked[-1])
        if rows_max == 0:
            break
    return list(itertools.chain.from_iterable(reversed(picked)))


def next_rows(oldest_first: Iterable[WindowChunk], offset: int, rows_max: int, left_out: LeftOut) -> list[Learned]:
    """The result of `WindowStore.after`; reads no more chunks than it needs."""
    picked: list[Learned] = []
    for chunk in oldest_first if rows_max > 0 else ():
        if chunk.last_offset > offset:
            rows = _learned(chunk, left_out)
            picked.extend(rows[bisect.bisect_right(rows, offset, key=operator.attrgetter("offset")) :])
        if len(picked) >= rows_max:
            break
    return picked[: max(0, rows_max)]


def _learned(chunk: WindowChunk, left_out: LeftOut) -> list[Learned]:
    try:
        return chunk.learned()
    except StateError as error:
        left_out(chunk.last_offset, error)
        return []


def _within(rows: list[Learned], since_time_s: float | None, through_offset: int | None) -> list[Learned]:
    if through_offset is not None:
        rows = [row for row in rows if row.offset <= through_offset]
    if since_time_s is not None:
        rows = [row for row in rows if row.time_s >= since_time_s]
    return rows
