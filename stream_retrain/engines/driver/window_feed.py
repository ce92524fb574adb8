"""The way of a shard's labelled rows into its window, across outages of the store.

1. Rows are cut into chunks while they are warm, and wait: a window never holds a row whose offset could be taken back.
2. Once their offsets are committed, chunks are appended in order; one that was appended is kept here as well, as far as the
   window reaches (`KEPT_ROWS_MAX` rows at most).
3. Each append names the offset the window had reached. A store that was emptied, or came back without its last second, ends
   below it: then all that is kept is appended again.

While the store is away chunks wait. The oldest go when enough rows are behind them to fill the window without them.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Sequence
from typing import Final

from stream_retrain.engines.failpoints import FailPoint, reach
from stream_retrain.errors import WindowGapError
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.facts.worker import WindowSeen
from stream_retrain.stores.ports import WindowLimits, WindowStore
from stream_retrain.stores.window import WindowChunk

__all__ = ["WindowFeed"]

CHUNK_ROWS: Final = 500
KEPT_ROWS_MAX: Final = 50_000
"""Encoded rows kept in memory for each shard: some 5 MB with eight features."""


class WindowFeed:
    """The rows of one shard on their way into its window; without `limits` there is none."""

    def __init__(self, shard: ShardId, epoch: int, store: WindowStore, limits: WindowLimits | None) -> None:
        self._shard = shard
        self._epoch = epoch
        self._store = store
        self._limits = limits
        self._rows: list[Learned] = []
        self._chunks: collections.deque[WindowChunk] = collections.deque()
        self._chunk_rows = 0
        self._through: int | None = None
        """The last offset appended; None: nothing was, by this feed."""

    def remember(self, through_offset: int) -> None:
        """Keep what the store holds up to an offset, to give it back should it be lost. Raises `StoreError`."""
        if self._limits is None:
            return
        rows = self._store.last(self._shard, min(self._limits.rows_max, KEPT_ROWS_MAX), through_offset=through_offset)
        for first in range(0, len(rows), CHUNK_ROWS):
            self._keep(WindowChunk.of(rows[first : first + CHUNK_ROWS]))
        if rows:
            self._through = rows[-1].offset

    def add(self, rows: Sequence[Learned]) -> None:
        """Take the rows of a batch."""
        if self._limits is None:
            return
        self._rows.extend(rows)
        if len(self._rows) >= CHUNK_ROWS:  # encoded while it is warm: rows kept as objects until a commit slow the models down
            self._cut()

    @property
    def waiting(self) -> bool:
        """Whether a chunk is ready and not appended."""
        return bool(self._chunks) and self._is_new(self._chunks[-1])

    def observe(self) -> WindowSeen | None:
        """How the window stands, as far as is known here; None where there is none."""
        if self._limits is None:
            return None
        new = sum(chunk.rows for chunk in itertools.takewhile(self._is_new, reversed(self._chunks)))
        oldest_s = self._chunks[0].oldest_time_s if self._chunks and self._chunk_rows > new else None
        return WindowSeen(rows=self._chunk_rows - new, waiting_rows=new + len(self._rows), oldest_time_s=oldest_s)

    def append(self, on_gap: Callable[[WindowGapError], None], appended: FailPoint, *, confirm: bool = False) -> None:
        """Append all that waits; every offset of it must be committed. Raises `StoreError`, and the rest goes on waiting.

        `confirm`: where nothing waits, ask all the same whether the window still has what it had.
        """
        self._cut()
        try:
            self._append_new(confirm)
        except WindowGapError as gap:
            on_gap(gap)
            self._through = None
            self._append_new(confirm=False)
        reach(appended)

    def _append_new(self, confirm: bool) -> None:
        if self._limits is None:
            return
        new = list(itertools.takewhile(self._is_new, reversed(self._chunks)))
        if confirm and not new and self._chunks:
            new = [self._chunks[-1]]
        for chunk in reversed(new):
            self._store.append(self._shard, self._epoch, chunk, self._limits, after=self._through)
            self._through = chunk.last_offset
        self._forget()

    def _is_new(self, chunk: WindowChunk) -> bool:
        return self._through is None or chunk.last_offset > self._through

    def _cut(self) -> None:
        if self._rows:
            self._keep(WindowChunk.of(self._rows))
            self._rows.clear()

    def _keep(self, chunk: WindowChunk) -> None:
        self._chunks.append(chunk)
        self._chunk_rows += chunk.rows
        self._forget()

    def _forget(self) -> None:
        """Drop the oldest chunks that the window would drop, and of appended ones beyond what is kept."""
        assert self._limits is not None
        while len(self._chunks) > 1:
            without = self._chunk_rows - self._chunks[0].rows
            if without < self._limits.rows_max and (self._is_new(self._chunks[0]) or without < KEPT_ROWS_MAX):
                return
            self._chunks.popleft()
            self._chunk_rows = without
