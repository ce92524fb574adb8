"""Artifacts: the challengers that came from a trainer and the versions that were promoted, as they came, under a seal, for whoever replays
what happened then.

A challenger is named by its training and by the digest of its model (`core.digest`), a version by that digest and the token of its request.
Both stand in the decision that tells of it.
What else the shard was told of the challenger stands in the header, under the signature, so that a replay believes nothing that a
decision says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.core.contest.inputs import Promote, Trained
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.warm import WarmModel

__all__ = ["artifact_name", "open_artifact", "open_promoted", "promoted_name", "seal_artifact", "seal_promoted"]

_PROMOTED: Final = "promoted-"


def artifact_name(training: int, digest: str) -> str:
    """Two trainings may come to the same model, and were told to the shard in different words."""
    return f"{training}-{digest}"


def seal_artifact(trained: Trained, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> bytes:
    """A challenger as it is now, before it has raced."""
    extra = {
        "digest": trained.digest,
        "training": str(trained.training),
        "lessons": str(trained.lessons),
        "learned_through": str(trained.learned_through),
        "caught_up": str(trained.caught_up),
        "gap": "yes" if trained.gap else "no",
    }
    return seal_model(trained.model, pipeline, shard, keyring, learned_through=trained.learned_through, extra=extra)


def open_artifact(sealed: bytes, name: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> Trained:
    """The challenger of that name. Raises `StateError` where it is another one, damaged or forged."""
    header, model = open_model(sealed, pipeline, shard, keyring)
    try:
        trained = _trained(header.extra, model)
    except (KeyError, ValueError) as error:
        raise StateError(f"what is kept as artifact {name} is none: its header lacks {error}") from None
    if (found := artifact_name(trained.training, trained.digest)) != name:
        raise StateError(f"what is kept as artifact {name} is {found}")
    return trained


def promoted_name(digest: str, token: str) -> str:
    """One version may be promoted twice, and be another model by then."""
    return f"{_PROMOTED}{digest}-{token}"


def seal_promoted(given: Promote, pipeline: Pipeline, shard: ShardId, keyring: Keyring, *, offset: int) -> bytes:
    """The model of a version as it is now, before the shard's event at `offset`."""
    extra = {"digest": given.digest, "token": given.token, "version": given.version, "family": given.family}
    return seal_model(given.model, pipeline, shard, keyring, learned_through=offset - 1, extra=extra)


def open_promoted(sealed: bytes, name: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> WarmModel:
    """The model of that name. Raises `StateError` where it is another one, damaged or forged."""
    header, model = open_model(sealed, pipeline, shard, keyring)
    if (found := promoted_name(digest(model), header.extra.get("token", ""))) != name:
        raise StateError(f"what is kept as artifact {name} is {found}")
    return WarmModel(model, header.extra.get("family", ""))


def _trained(extra: Mapping[str, str], model: Any) -> Trained:
    return Trained(
        training=int(extra["training"]),
        model=model,
        lessons=int(extra["lessons"]),
        learned_through=int(extra["learned_through"]),
        gap=extra["gap"] == "yes",
        caught_up=int(extra["caught_up"]),
        digest=digest(model),
    )
