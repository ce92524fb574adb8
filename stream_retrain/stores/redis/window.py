"""Windows in Redis: one stream a shard, one entry a chunk (`stores.redis.scripts`).

An entry that cannot be read is passed over, and told once in the log. One at the end of the window, where it decides what can be appended,
costs the window: it begins anew, and who appends is told of a gap, as after any other loss.
"""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.errors import StateError
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.ports import WindowLimits, WindowSpan
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.parse import number, whole
from stream_retrain.stores.redis.server import RedisServer, WrongTypeError, key_of
from stream_retrain.stores.refusals import stale_epoch, window_gap
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["RedisWindowStore"]

LOG: Final = logging.getLogger("stream_retrain.stores")
_PAGE_ENTRIES: Final = (4, 8, 16, 32)
_TOLD_MAX: Final = 1_000


class RedisWindowStore:
    """A `WindowStore` of streams."""

    def __init__(self, server: RedisServer, keyring: Keyring) -> None:
        self._server = server
        self._keyring = keyring
        self._append = server.client.register_script(scripts.APPEND)
        self._span = server.client.register_script(scripts.SPAN)
        self._tail = server.client.register_script(scripts.TAIL)
        self._clear = server.client.register_script(scripts.CLEAR)
        self._told: set[tuple[ShardId, object]] = set()

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        new: WindowChunk | None = chunk
        while new is not None:
            match self._append_chunk(shard, epoch, new, limits, after):
                case [b"stale", stored]:
                    raise stale_epoch(shard, epoch, int(stored))
                case [b"gap", ends]:
                    raise window_gap(shard, after or 0, int(ends) if ends else None)
                case [b"overlap", last_offset]:
                    if (damage := self._damage_of_tail(shard)) is None:
                        new = new.above(int(last_offset))
                    else:
                        self._begin_anew(shard, epoch, damage)
                case [b"damaged", what]:
                    self._begin_anew(shard, epoch, f"entry or type {what[:40]!r} is none of this program's")
                case _:
                    return new.rows
        return 0

    def _append_chunk(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, after: int | None) -> Any:
        age_max_s = "" if limits.age_max_s is None else limits.age_max_s
        sealed = chunk.sealed(shard, self._keyring)
        args = [epoch, f"{chunk.last_offset + 1}-0", *sealed, limits.rows_max, age_max_s, "" if after is None else after]
        return self._server.call(
            f"append {chunk.rows} rows to the window of shard {shard}", lambda: self._append(keys=_keys(shard), args=args)
        )

    def _damage_of_tail(self, shard: ShardId) -> str | None:
        """What is wrong with the newest entry; where nothing is, what ends there was appended before."""
        tail: Any = self._server.call(f"read the end of the window of shard {shard}", lambda: self._tail(keys=_keys(shard)))
        if tail is None:
            return None
        try:
            self._chunk(shard, tail[0], dict(zip(tail[1][::2], tail[1][1::2], strict=True)))
        except StateError as error:
            return str(error)
        return None

    def _begin_anew(self, shard: ShardId, epoch: int, damage: str) -> None:
        LOG.error("the window of %s is damaged at its end and begins anew: %s", shard, damage)
        self.clear(shard, epoch)

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        left_out = functools.partial(self._left_out, shard)
        return last_rows(self._newest_first(shard), rows_max, since_time_s, through_offset, left_out)

    def _newest_first(self, shard: ShardId) -> Iterator[WindowChunk]:
        """Trimming meanwhile removes only the oldest chunks, which are read last."""
        sizes = itertools.chain(_PAGE_ENTRIES, itertools.repeat(_PAGE_ENTRIES[-1]))  # small at first, because most callers want few rows
        return self._pages(shard, self._server.client.xrevrange, "+", "-", sizes)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        return next_rows(self._oldest_first(shard, offset), offset, rows_max, functools.partial(self._left_out, shard))

    def _oldest_first(self, shard: ShardId, offset: int) -> Iterator[WindowChunk]:
        """The chunks that end beyond `offset`. The id of an entry is its last offset plus one."""
        beyond = f"({max(offset, -1) + 1}-0"
        return self._pages(shard, self._server.client.xrange, beyond, "+", itertools.repeat(_PAGE_ENTRIES[-1]))

    def _pages(self, shard: ShardId, read: Callable[..., Any], start: str, end: str, sizes: Iterable[int]) -> Iterator[WindowChunk]:
        """The chunks from `start` to `end`, read in pages of `sizes` entries."""
        for count in sizes:
            command = functools.partial(read, key_of(shard, "window"), start, end, count)
            try:
                page: Any = self._server.call(f"read the window of shard {shard}", command)
            except WrongTypeError as error:
                self._left_out(shard, "all", error)
                return
            for entry_id, fields in page:
                start = f"({entry_id.decode()}"
                try:
                    yield self._chunk(shard, entry_id, fields)
                except StateError as error:
                    self._left_out(shard, entry_id, error)
            if len(page) < count:
                return

    def _chunk(self, shard: ShardId, entry_id: bytes, fields: dict[bytes, bytes]) -> WindowChunk:
        """The chunk of an entry. Raises `StateError` for one that this program did not write for this shard and place."""
        get = (fields or {}).get
        chunk = WindowChunk(
            first_offset=whole(get(b"first_offset"), "a first offset"),
            last_offset=whole(get(b"last_offset"), "a last offset"),
            rows=whole(get(b"rows"), "a count of rows"),
            oldest_time_s=number(get(b"oldest_time_s"), "an oldest time"),
            newest_time_s=number(get(b"newest_time_s"), "a newest time"),
            data=get(b"chunk", b""),
            seal=get(b"seal", b""),
        )
        if entry_id != b"%d-0" % (chunk.last_offset + 1):
            raise StateError(f"an entry for offset {chunk.last_offset} stands in another place")
        chunk.check(shard, self._keyring)
        return chunk

    def _left_out(self, shard: ShardId, entry: object, error: Exception) -> None:
        """Told once an entry: a window is read again and again."""
        if (shard, entry) not in self._told and len(self._told) < _TOLD_MAX:
            self._told.add((shard, entry))
            LOG.warning("a part of the window of %s is left out (%s): %s", shard, entry, error)

    def span(self, shard: ShardId) -> WindowSpan | None:
        span: Any = self._server.call(f"read the span of the window of shard {shard}", lambda: self._span(keys=_keys(shard)))
        if span is None:
            return None
        first, last, rows, oldest, newest = span
        return WindowSpan(
            rows=whole(rows, "a count of rows"),
            first_offset=whole(first, "a first offset"),
            last_offset=whole(last, "a last offset"),
            oldest_time_s=number(oldest, "an oldest time"),
            newest_time_s=number(newest, "a newest time"),
        )

    def clear(self, shard: ShardId, epoch: int) -> bool:
        answer: Any = self._server.call(f"clear the window of shard {shard}", lambda: self._clear(keys=_keys(shard), args=[epoch]))
        if answer[0] == b"stale":
            raise stale_epoch(shard, epoch, int(answer[1]))
        return bool(answer[1] == b"1")


def _keys(shard: ShardId) -> list[str]:
    return [key_of(shard, "epoch"), key_of(shard, "window")]
