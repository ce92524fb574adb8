"""The versions of a pipeline, as a store has them, and the copy of the model that a promotion or an export begins with.

`find` takes what a person writes: an id or an alias. What it returns is verified (seal, pipeline, shard, River and Python) and not
unpickled. Where a version serves now, its model learns on: what is found is its newest checkpoint, if that has it, because a copy of it
was made when it began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.versions import seal_version, verify_version
from stream_retrain.codec.warm import served_by
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import ALIASES, Version, aliases_of, imports_of, is_version_id, partition_of
from stream_retrain.stores.ports import Stores

__all__ = ["Found", "Registry"]

SHOWN_MAX = 12


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """A version, and its model as verified bytes (`codec.versions.open_version`)."""

    version: Version
    sealed: bytes = dataclasses.field(repr=False)
    family: str = ""
    learned_through: int | None = None


class Registry:
    """The versions of one pipeline."""

    def __init__(self, stores: Stores, pipeline: Pipeline, keyring: Keyring) -> None:
        self._stores = stores
        self._pipeline = pipeline
        self._keyring = keyring

    def of(self, shard: ShardId) -> list[Version]:
        """The versions of a shard, and after them what was brought in from outside. Raises `StoreError`."""
        return [*self._stores.versions.all(shard), *self.imports()]

    def imports(self) -> list[Version]:
        """What was brought in from outside."""
        return self._stores.versions.all(imports_of(self._pipeline.name))

    def known(self, shard: ShardId, wanted: str) -> Version:
        """The version of an id or an alias. Raises `StateError` where there is none, with what there is; `StoreError`."""
        versions = self.of(shard)
        aliases = aliases_of(versions)
        if wanted in ALIASES:
            if wanted not in aliases:
                raise StateError(f"{shard} has no {wanted} now; there are {_shown(versions)}")
            wanted = aliases[wanted]
        for version in versions:
            if version.id == wanted:
                return version
        if not is_version_id(wanted):
            raise StateError(f"{wanted!r} is no version: write one as in {shard.partition}-g3, {shard.partition}-t2, or an alias")
        of = partition_of(wanted)
        if of is not None and of != shard.partition:
            raise StateError(
                f"version {wanted} is of partition {of}, and this is partition {shard.partition}: a model serves its own shard"
            )
        raise StateError(f"{shard} has no version {wanted}; there are {_shown(versions)}")

    def find(self, shard: ShardId, wanted: str) -> Found:
        """The version of an id or an alias, with its model verified and sealed.

        Raises `StateError` where there is none, or its model is not kept, damaged, forged or misfit; `StoreError`.
        """
        version = self.known(shard, wanted)
        if version.serves and (serving := self._serving(shard, version)) is not None:
            return serving
        of = imports_of(self._pipeline.name) if version.partition is None else shard
        sealed = self._load(of, version)
        if sealed is None:
            raise StateError(f"the model of version {version.id} of {shard} cannot be had: {_why(version)}")
        header, _ = verify_version(sealed, version.id, self._pipeline, shard, self._keyring)
        return Found(version, sealed, header.extra.get("family", ""), header.offset - 1)

    def _load(self, of: ShardId, version: Version) -> bytes | None:
        """From the store of the shards, where what waits is too; else from where copies belong."""
        name = version.artifact.name
        if not name or version.artifact.state in ("none", "dropped"):
            return None
        found = self._stores.models.load(of, name)
        if found is None and self._stores.objects is not None:
            found = self._stores.objects.load(of, name)
        return found

    def _serving(self, shard: ShardId, version: Version) -> Found | None:
        """The model that serves, as the newest checkpoint has it; None where that is of another generation, or is not to be used."""
        stored, parts = self._stores.checkpoints.load(shard), self._stores.parts.load(shard)
        for sealed in stored:
            try:
                header, warm = served_by(sealed, parts, self._pipeline, shard, self._keyring)
            except StateError:
                continue
            if header.generation != version.generation:
                continue
            through = header.offset - 1
            bound: dict[str, Any] = {"learned_through": through, "generation": header.generation, "family": warm.family}
            copy = seal_version(dump_state(warm.model), version.id, self._pipeline, shard, self._keyring, **bound)
            return Found(version, copy, warm.family, through)
        return None


def _why(version: Version) -> str:
    match version.artifact.state:
        case "none":
            return version.error or "no copy of it was kept, because it began untrained or never came back from its training"
        case "dropped":
            return "its copy was dropped, because it was beyond a limit (versions_models_max, versions_retention_ms)"
        case "failed":
            return f"its copy is lost: {version.error or 'see the log of its worker'}"
        case _:
            return "its copy is not where it belongs: see that artifacts_url is the one of the workers, and that nobody deletes there"


def _shown(versions: Iterable[Version]) -> str:
    ids = [version.id for version in versions]
    listed = ", ".join(ids[-SHOWN_MAX:])
    return f"{len(ids)} versions, the last {listed}" if len(ids) > SHOWN_MAX else listed or "no versions yet"
