"""The versions of a worker's shards for `/models` and the page: a fold over what the worker knows of them.

A version has the fields of `stream-retrain models list --json`, made by the same function. Of each shard the newest versions are shown,
and whatever an alias names. How many that are depends on how many shards there are, so that an answer stays below `SHOWN_OF_ALL`
versions, and a shard has `SHOWN_MIN` all the same.

A shard's part of the answer is encoded when somebody asks for it, and again only after it has changed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.telling import without_values
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version, aliases_of, in_order
from stream_retrain.facts.version_values import as_values
from stream_retrain.facts.worker import Released, Retrying, WorkerFact, WorkerStateChanged
from stream_retrain.views.shard_status import EVIDENCE_MAX

__all__ = ["SHOWN_MAX", "SHOWN_MIN", "SHOWN_OF_ALL", "Models"]

SHOWN_MAX: Final = 100
"""Versions of one shard."""
SHOWN_OF_ALL: Final = 1_600
"""Versions of all shards together."""
SHOWN_MIN: Final = 10
"""Versions of one shard, however many shards there are."""
EVIDENCE: Final = ("e_value", "e_value_against")


@dataclasses.dataclass(frozen=True, slots=True)
class _Shard:
    """What is known of a shard's versions; each change makes another of these."""

    versions: Mapping[str, Version]
    unwritten: int


class Models:
    """Folds worker facts; `snapshot` may be called by other threads."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._shards: dict[ShardId, _Shard] = {}
        self._encoded: dict[ShardId, tuple[_Shard, int, msgspec.Raw]] = {}

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        match fact:
            case VersionsKnown():
                self._known(fact)
            case Released():
                self._shards.pop(fact.shard, None)
            case Retrying() | WorkerStateChanged(state="stopped" | "failed"):
                self._shards = {}

    def snapshot(self) -> dict[str, Any]:
        """By partition: the versions, the oldest first; how many are known, of which these are some; and how many are not stored yet."""
        shards = dict(sorted(self._shards.copy().items()))
        most = max(SHOWN_MIN, min(SHOWN_MAX, SHOWN_OF_ALL // max(1, len(shards))))
        for id_ in self._encoded.copy().keys() - shards.keys():
            self._encoded.pop(id_, None)
        return {
            "pipeline": self._pipeline,
            "versions_max": most,
            "known": {str(id_.partition): len(shard.versions) for id_, shard in shards.items()},
            "unwritten": {str(id_.partition): shard.unwritten for id_, shard in shards.items()},
            "shards": {str(id_.partition): self._shown(id_, shard, most) for id_, shard in shards.items()},
        }

    def _known(self, fact: VersionsKnown) -> None:
        before = self._shards.get(fact.shard)
        if before is None and not fact.whole:
            return  # of a shard that was given up
        kept = {} if before is None or fact.whole else before.versions
        versions = {id_: each for id_, each in kept.items() if id_ not in fact.forgotten} | {each.id: each for each in fact.versions}
        self._shards[fact.shard] = _Shard(versions, fact.unwritten)

    def _shown(self, id_: ShardId, shard: _Shard, most: int) -> msgspec.Raw:
        held = self._encoded.get(id_)
        if held is not None and held[0] is shard and held[1] == most:
            return held[2]
        encoded = msgspec.Raw(msgspec.json.encode(_newest(shard.versions.values(), most)))
        self._encoded[id_] = shard, most, encoded
        return encoded


def _newest(versions: Iterable[Version], most: int) -> list[dict[str, Any]]:
    known = in_order(versions)
    aliases = aliases_of(known)
    newest = len(known) - most
    shown = [each for place, each in enumerate(known) if place >= newest or each.id in aliases.values()]
    return [as_values(_told(each), aliases) for each in shown]


def _told(version: Version) -> Version:
    """Without a value of a record, and with evidence that JSON has a number for."""
    standings = [
        dataclasses.replace(each, **{name: min(getattr(each, name), EVIDENCE_MAX) for name in EVIDENCE}) for each in version.standings
    ]
    return dataclasses.replace(version, error=without_values(version.error), standings=tuple(standings))
