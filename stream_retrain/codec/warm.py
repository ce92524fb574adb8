"""The model of a warm start under a seal: an artifact of the shard that began with it, for whoever replays it.

It is named by its digest, and the decision that tells of the beginning (`facts.restored`) names it. Where it comes from stands in the
header, under the signature.
"""

from __future__ import annotations

from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.warm import WarmModel

__all__ = ["open_warm", "seal_warm", "warm_name"]

_PREFIX: Final = "warm-"


def warm_name(warm: WarmModel) -> str:
    """The name of the artifact."""
    return f"{_PREFIX}{digest(warm.model)}"


def seal_warm(warm: WarmModel, pipeline: Pipeline, shard: ShardId, keyring: Keyring, *, begins_at: int, origin: str) -> bytes:
    """The model with which `shard` begins at an offset; `origin` names the state that it is of."""
    extra = {"family": warm.family, "origin": origin}
    return seal_model(warm.model, pipeline, shard, keyring, learned_through=begins_at - 1, extra=extra)


def open_warm(sealed: bytes, name: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> WarmModel:
    """The model of that name. Raises `StateError` where it is another one, damaged or forged."""
    header, model = open_model(sealed, pipeline, shard, keyring)
    warm = WarmModel(model, header.extra.get("family", ""))
    if (found := warm_name(warm)) != name:
        raise StateError(f"what is kept as artifact {name} is {found}")
    return warm
