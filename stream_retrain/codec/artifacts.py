"""Artifacts: the challengers that came from a trainer, as they came, under a seal, for whoever replays what happened then.

An artifact is named by its training and by the digest of its model (`core.digest`), both of which stand in the decision that tells of it.
What else the shard was told of the challenger stands in the header, under the signature, so that a replay believes nothing that a
decision says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId

__all__ = ["artifact_name", "open_artifact", "seal_artifact"]


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
