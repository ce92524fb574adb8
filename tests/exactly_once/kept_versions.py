"""Whether a shard's versions are whole: every change of who serves that was put out is known, and the model that stopped is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.versions import open_version
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.put import Found
from stream_retrain.lane.step import DECISIONS
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry

__all__ = ["faults_of_versions"]

CHANGES: Final = ("model.reset", "model.promoted", "duel.lead_changed")


def faults_of_versions(put_out: Sequence[Found], stores: Stores, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> list[str]:
    """What is wrong with them, in words."""
    registry, versions = Registry(stores, pipeline, keyring), {version.id: version for version in stores.versions.all(shard)}
    faults = []
    changes = [
        json.loads(each.put.value or b"")["data"] for each in put_out if each.put.kind == DECISIONS and each.identity.fact in CHANGES
    ]
    for number, change in {change["generation"]: change["offset"] for change in changes}.items():
        version, before = (versions.get(f"{shard.partition}-g{each}") for each in (number, number - 1))
        if version is None or version.began is None or version.began.offset != change:
            faults.append(f"generation {number} began at offset {change}, and what is known of it is {version}")
        if before is None or before.ended is None or before.ended.offset != change:
            faults.append(f"generation {number - 1} ended at offset {change}, and what is known of it is {before}")
        else:
            open_version(registry.find(shard, before.id).sealed, before.id, pipeline, shard, keyring)
    if sum(version.serves for version in versions.values()) != 1:
        faults.append(f"not one serves: {[version.id for version in versions.values() if version.serves]}")
    named = {version.artifact.name for version in versions.values() if version.artifact.state == "kept"}
    return [*faults, *(f"{name} is named and not there" for name in named - set(stores.models.names(shard)))]
