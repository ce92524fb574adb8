"""A version as text in a store: JSON, checked when it is read, because others can write there."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stream_retrain.errors import StateError
from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version, in_order
from stream_retrain.stores.version_ports import VERSION_BYTES_MAX

__all__ = ["read_version", "readable", "written_version"]

LOG: Final = logging.getLogger("stream_retrain.stores")
_DECODER: Final = msgspec.json.Decoder(Version)
TEXT_CHARS_MAX: Final = 4_000


def written_version(version: Version) -> bytes:
    """The text that is stored: texts from elsewhere are cut, and where it is too long still, the standings are left out."""
    texts = {name: getattr(version, name)[:TEXT_CHARS_MAX] for name in ("cause", "reason", "by", "error")}
    standings = tuple(dataclasses.replace(each, **_finite(each)) for each in version.standings)
    written = msgspec.json.encode(dataclasses.replace(version, **texts, standings=standings))
    if len(written) > VERSION_BYTES_MAX:
        written = msgspec.json.encode(dataclasses.replace(version, **texts, standings=()))
    return written


def _finite(standing: ContestantStanding) -> dict[str, Any]:
    """JSON has no infinity."""
    values = {name: getattr(standing, name) for name in ("loss_mean", "e_value", "e_value_against")}
    return {name: min(value, sys.float_info.max) if value == value else 0.0 for name, value in values.items()}


def read_version(text: bytes, shard: ShardId, id_: str) -> Version:
    """What is stored under an id of a shard. Raises `StateError` where it is no version, or another's."""
    if len(text) > VERSION_BYTES_MAX:
        raise StateError(f"what is stored as version {id_[:40]!r} of {shard} has {len(text):,} bytes, and a version has fewer")
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"what is stored as version {id_[:40]!r} of {shard} is none: {error}") from None
    partition = None if shard.partition < 0 else shard.partition
    if (found.id, found.pipeline, found.partition) != (id_, shard.pipeline, partition):
        raise StateError(f"what is stored as version {id_[:40]!r} of {shard} is of another: {found.id[:40]!r}")
    return found


def readable(shard: ShardId, texts: Iterable[tuple[bytes, bytes]]) -> list[Version]:
    """The versions among what is stored, the oldest first; what is none is left out, and the log says so."""
    found = []
    for id_, text in texts:
        try:
            found.append(read_version(text, shard, id_[:80].decode("utf-8", "replace")))
        except StateError as error:
            LOG.warning("a version is left out: %s", error)
    return in_order(found)
