"""The versions of a pipeline, for an integration that takes them to another system: how the process that makes the calls comes to them.

`RegistryAccess` goes to that process as a message, and names the file of the signing keys: the keys are read where they are needed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stream_retrain.codec.exported import exported
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.versions import open_version
from stream_retrain.core.callbacks import VersionFile
from stream_retrain.core.contest.challenger import Challenger
from stream_retrain.core.inside import named
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Race
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry
from stream_retrain.stores.version_words import card_of, lineage_of

__all__ = ["PipelineVersions", "RegistryAccess"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegistryAccess:
    """Where the versions are, and by which keys their models are verified."""

    redis_url: str = dataclasses.field(repr=False)
    artifacts_url: str | None = dataclasses.field(default=None, repr=False)
    signing_key_file: Path | None = None
    """None: models are not signed."""

    def open(self, pipeline: Pipeline) -> PipelineVersions:
        """Those of a pipeline. Nothing is asked yet. Raises `SettingsError`."""
        keyring = Keyring.unsigned() if self.signing_key_file is None else Keyring.from_file(self.signing_key_file)
        return PipelineVersions(connect(self.redis_url, artifacts_url=self.artifacts_url), pipeline, keyring)


class PipelineVersions:
    """The `VersionsTold` of a pipeline."""

    def __init__(self, stores: Stores, pipeline: Pipeline, keyring: Keyring) -> None:
        self._registry = Registry(stores, pipeline, keyring)
        self._versions = stores.versions
        self._pipeline = pipeline
        self._keyring = keyring

    @property
    def pipeline(self) -> str:
        return self._pipeline.name

    @property
    def source(self) -> str:
        return self._pipeline.source

    def model_words(self, family: str) -> str:
        races = [rule.do for rule in self._pipeline.react if isinstance(rule.do, Race)]
        declared: dict[str, Challenger] = {each.name: each for race in races for each in race.contestants()}
        if family and family not in declared:
            return family
        model = declared[family].model if family else None
        return named(self._pipeline.model if model is None else model)

    def of(self, partition: int) -> list[Version]:
        return self._versions.all(self._shard(partition))

    def file(self, partition: int, version: str) -> VersionFile:
        shard = self._shard(partition)
        found = self._registry.find(shard, version)
        _, model = open_version(found.sealed, version, self._pipeline, shard, self._keyring)
        card = card_of(found.version, lineage_of(found.version, self._registry.of(shard)), self._pipeline, str(model))
        return VersionFile(exported(found.sealed, self._pipeline, self._keyring), card)

    def _shard(self, partition: int) -> ShardId:
        return ShardId(self._pipeline.name, self._pipeline.source, partition)
