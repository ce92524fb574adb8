"""A model brought into a pipeline from outside: tried against the schema, sealed, and known as a version of no shard.

1. The model predicts and learns example events, as the pipeline's own models do at load; and it is written and opened again, as a
   checkpoint with it will be. Nothing is stored unless all of that holds.
2. Its copy is kept, and then the index names it: where it is named, it is there. Bringing the same in again changes nothing.
"""

from __future__ import annotations

import dataclasses
import time

from stream_retrain.codec.checkpoint import own_of
from stream_retrain.codec.exported import history_of, is_sealed, opened
from stream_retrain.codec.foreign import open_foreign, wrapped
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.trial import state_faults
from stream_retrain.codec.versions import copy_name, digest_of, seal_version, software
from stream_retrain.core.candidate import tried
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import PipelineError
from stream_retrain.facts.version import Artifact, Moment, Quality, TrainedOn, Version, import_id, imports_of
from stream_retrain.stores.ports import Stores

__all__ = ["Brought", "bring_in", "checked"]

FAMILY = "imported"
"""A model of another kind than the pipeline's own is of a family of its own: the pipeline's may have a rematch with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """A model that fits the pipeline, as bytes, and what its file says of it."""

    payload: bytes = dataclasses.field(repr=False)
    family: str = ""
    header: Header | None = None


def checked(data: bytes, where: str, pipeline: Pipeline, keyring: Keyring, *, trusted: bool = False) -> Brought:
    """The model of a file, tried against the pipeline.

    Raises `StateError` where it cannot be opened, `SettingsError` where nobody trusts it, `PipelineError` with everything it cannot do.
    """
    header = None
    if is_sealed(data):
        header, model = opened(data, keyring, where, pipeline)
    else:
        model = wrapped(open_foreign(data, where, trusted=trusted), pipeline, where)
    trial = tried(model, pipeline, where)
    own = own_of(pipeline)
    faults = [*trial.faults, *(fault for made in trial.made for fault in state_faults(made, own))]
    if faults:
        raise PipelineError(faults, f"the model of {where}, for pipeline {pipeline.name!r},")
    return Brought(dump_state(model), "" if type(model) is type(pipeline.model) else FAMILY, header)


def bring_in(
    brought: Brought,
    pipeline: Pipeline,
    stores: Stores,
    keyring: Keyring,
    *,
    by: str = "",
    reason: str = "",
    source: str = "",
) -> Version:
    """Step 2. Raises `StoreError`."""
    of, digest = imports_of(pipeline.name), digest_of(brought.payload)
    id_ = import_id(digest)
    for known in stores.versions.all(of):
        if known.id == id_ and known.artifact.state == "kept":
            return known
    sealed = seal_version(brought.payload, id_, pipeline, of, keyring, learned_through=-1, family=brought.family)
    name = copy_name(id_, sealed)
    (stores.models if stores.objects is None else stores.objects).keep(of, 0, name, sealed)
    header = brought.header
    history = None if header is None else history_of(header)
    learned, quality = None, Quality()
    if history is not None:
        learned = TrainedOn(source=history.source, lessons=history.events, seconds=history.seconds)
        quality = Quality(since=history.rolling, events=history.events)
    version = Version(
        id=id_,
        pipeline=pipeline.name,
        topic="",
        partition=None,
        came="imported",
        family=brought.family,
        began=Moment(offset=0, time_s=None, wall_s=time.time()),
        cause=source,
        parent="" if header is None else header.extra.get("version", ""),
        trained_on=learned,
        quality=quality,
        by=by,
        reason=reason,
        pipeline_digest=pipeline.digest(),
        model_digest=digest,
        software=software(),
        artifact=Artifact(name=name, bytes=len(sealed), state="kept", place="" if stores.objects is None else "objects"),
    )
    stores.versions.put(of, 0, [version])
    return version
