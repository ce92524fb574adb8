"""The model that serves in a checkpoint; and that of a warm start under a seal.

A warm start's is an artifact of the shard that began with it, for whoever replays that. It is named by its digest, and the decision that
tells of the beginning (`facts.restored`) names it. Where it comes from stands in the header, under the signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit, open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.codec.seal import Header, unseal
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.change import unfit_parts
from stream_retrain.lane.warm import WarmModel, served_in

__all__ = ["open_warm", "seal_warm", "served_by", "warm_name"]

_PREFIX: Final = "warm-"


def warm_name(warm: WarmModel) -> str:
    """The name of the artifact."""
    return f"{_PREFIX}{digest(warm.model)}"


def seal_warm(warm: WarmModel, pipeline: Pipeline, shard: ShardId, keyring: Keyring, *, begins_at: int, origin: str) -> bytes:
    """The model with which `shard` begins at an offset; `origin` names the state that it is of."""
    extra = {"family": warm.family, "origin": origin}
    return seal_model(warm.model, pipeline, shard, keyring, learned_through=begins_at - 1, extra=extra)


def served_by(sealed: bytes, parts: Mapping[str, bytes], pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, WarmModel]:
    """The model that serves in a checkpoint of `shard`, and its header; `parts` are what the store has of its checkpoints, by digest.

    Raises `StateError` where it is damaged or forged, or of another task, schema, model, River or Python.
    """
    header, payload = unseal(sealed, keyring, where=f"The checkpoint of {shard}")
    if (misfit := header_misfit(header, checkpoint_header(pipeline, shard, header.offset, header.generation))) is not None:
        raise StateError(misfit)
    if differs := unfit_parts(header.parts, pipeline):
        raise StateError(f"it is of a pipeline with another {' and another '.join(differs)}")
    return header, served_in(open_payload(payload, pipeline, f"the checkpoint of {shard}", parts))


def open_warm(sealed: bytes, name: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> WarmModel:
    """The model of that name. Raises `StateError` where it is another one, damaged or forged."""
    header, model = open_model(sealed, pipeline, shard, keyring)
    warm = WarmModel(model, header.extra.get("family", ""))
    if (found := warm_name(warm)) != name:
        raise StateError(f"what is kept as artifact {name} is {found}")
    return warm
