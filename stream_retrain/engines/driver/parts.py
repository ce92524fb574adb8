"""What of a shard's checkpoints is written once: the segments of models that were put away (`models.segments`).

1. `ahead` writes a few segments that no checkpoint has yet, between batches, so that little is left when one is due.
2. `keep` writes the rest before the checkpoint that needs them. If the store has fewer than it was given, it has lost some: then all are
   written again.
3. `saved` drops those that neither the checkpoint just saved nor the one before it needs.

A segment is named by its digest, so writing one twice changes nothing, and a crash between these steps leaves at most some that nothing
needs: the next owner drops them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from stream_retrain.facts.values import ShardId
from stream_retrain.models.segments import Segment
from stream_retrain.stores.ports import PartStore

__all__ = ["KeptParts"]

AHEAD_BYTES_MAX: Final = 1_000_000
"""Written between two batches, if more waits: some milliseconds."""


class KeptParts:
    """The segments of one shard that the store has."""

    def __init__(self, shard: ShardId, epoch: int, store: PartStore, stored: Iterable[str], needed: Iterable[str]) -> None:
        """`stored`: the digests the store has; `needed`: of those, the ones the checkpoint needs that was restored."""
        self._shard = shard
        self._epoch = epoch
        self._store = store
        self._stored = set(stored)
        self._needed = frozenset(needed)
        """By the checkpoint saved last."""

    def ahead(self, segments: Iterable[Segment]) -> None:
        """Write some of those the store has not. Raises `StoreError`."""
        found, size = dict[str, bytes](), 0
        for segment in segments:
            if size >= AHEAD_BYTES_MAX:
                break
            if segment.digest not in self._stored:
                found[segment.digest] = segment.data
                size += len(segment.data)
        if found:
            self._write(found)

    def keep(self, parts: Mapping[str, bytes]) -> int:
        """Write all that the store has not; how many bytes. Raises `StoreError`."""
        if not parts and not self._stored:
            return 0
        missing = {digest: part for digest, part in parts.items() if digest not in self._stored}
        written = sum(map(len, missing.values()))
        if self._write(missing) < len(self._stored):
            self._stored.clear()
            self._write(parts)
        return written

    def saved(self, parts: Iterable[str]) -> None:
        """A checkpoint that needs these is saved. Raises `StoreError`: then they are dropped after the next one."""
        before, self._needed = self._needed, frozenset(parts)
        if idle := self._stored - self._needed - before:
            self._store.drop(self._shard, self._epoch, sorted(idle))
            self._stored -= idle

    def _write(self, parts: Mapping[str, bytes]) -> int:
        there = self._store.keep(self._shard, self._epoch, parts)
        self._stored |= parts.keys()
        return there
