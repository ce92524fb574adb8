"""The model with which the new shards of a pipeline begin (`Pipeline.start`): read, verified and tried before it serves anything.

It is a file under the project's seal (`codec.exported`), or a model that was brought in (`stores.bringing_in`). Where it cannot be had, or
does not fit, a shard does not begin: an untrained model in its place would look as if nothing were wrong.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.exported import is_sealed
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.versions import digest_of, verify_version
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import PipelineError, SettingsError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import import_id, imports_of, is_version_id
from stream_retrain.lane.change import unfit_parts
from stream_retrain.lane.warm import WarmModel
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.stores.bringing_in import checked
from stream_retrain.stores.keys import keyring_of
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry

__all__ = ["Start", "start_of", "starts_of"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A verified model as bytes, which can be sent to another process; `origin` says in words where it is from."""

    payload: bytes = dataclasses.field(repr=False)
    family: str
    origin: str

    def model(self, pipeline: Pipeline) -> WarmModel:
        """A copy of its own for a shard."""
        return WarmModel(open_payload(self.payload, pipeline, f"the start of pipeline {pipeline.name!r}"), self.family)


def start_of(pipeline: Pipeline, stores: Stores, keyring: Keyring) -> Start | None:
    """With what new shards of a pipeline begin; None: with its model, untrained.

    Raises `PipelineError` where its `start` cannot be had, is not genuine or does not fit; `StoreError`.
    """
    wanted = pipeline.start
    if wanted is None:
        return None
    try:
        return _imported(wanted, pipeline, stores, keyring) if is_version_id(wanted) else _of_file(wanted, pipeline, keyring)
    except PipelineError as error:
        faults = [f"start={wanted!r}: {fault}" for fault in error.faults]
    except (SettingsError, StateError) as error:
        faults = [f"start={wanted!r}: {error}"]
    raise PipelineError(faults, f"pipeline {pipeline.name!r}")


def starts_of(pipelines: Iterable[Pipeline], settings: Settings) -> dict[str, Start]:
    """The starts of several pipelines by their names, from the store and with the keys of the settings. Raises what `start_of` raises."""
    found: dict[str, Start] = {}
    for pipeline in pipelines:
        if pipeline.start is not None and pipeline.start not in found:
            stores = connect(settings.redis_url, artifacts_url=settings.artifacts_url)
            start = start_of(pipeline, stores, keyring_of(settings))
            assert start is not None, "it has one"
            found[pipeline.start] = start
    return found


def _imported(wanted: str, pipeline: Pipeline, stores: Stores, keyring: Keyring) -> Start:
    if not wanted.startswith("import-"):
        raise StateError("a generation or a training is of one shard: export it to a file, and name that")
    shard = ShardId(pipeline.name, pipeline.source, 0)  # an import is found under any
    if all(version.id != wanted for version in stores.versions.all(imports_of(pipeline.name))):
        raise StateError(f"no such model was brought into pipeline {pipeline.name!r}: see stream-retrain models list")
    found = Registry(stores, pipeline, keyring).find(shard, wanted)
    header, payload = verify_version(found.sealed, wanted, pipeline, shard, keyring)
    return Start(payload=payload, family=header.extra.get("family", ""), origin=wanted)


def _of_file(wanted: str, pipeline: Pipeline, keyring: Keyring) -> Start:
    try:
        data = Path(wanted).read_bytes()
    except OSError as error:
        raise StateError(f"the file cannot be read: {error.strerror or error}") from None
    if not is_sealed(data):
        raise StateError("it is no file of stream-retrain train or models export. Bring it in with models import, and name the import")
    brought = checked(data, wanted, pipeline, keyring)
    assert brought.header is not None, "it is sealed"
    if differs := [name for name in unfit_parts(brought.header.parts, pipeline) if name != "model"]:
        raise StateError(f"it is of a pipeline with another {' and another '.join(differs)}")
    origin = f"{Path(wanted).name} ({import_id(digest_of(brought.payload)).removeprefix('import-')})"
    return Start(payload=brought.payload, family=brought.family, origin=origin)
