"""Models under a seal: how they travel between a worker and its trainers.

The header names the pipeline by its digest, the shard, and the offset with which learning goes on; what else it must say stands in
`extra`, which the signature covers too. A genuine seal of another shard or training is refused like a forged one, and nothing
is unpickled before all of that holds (law 11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit, open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, seal, unseal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId

__all__ = ["open_model", "seal_model", "verify_model"]


def seal_model(
    model: Any,
    pipeline: Pipeline,
    shard: ShardId,
    keyring: Keyring,
    *,
    learned_through: int,
    generation: int = 0,
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """`model`, which has learned the shard's rows through `learned_through`, as bytes under a seal."""
    header = checkpoint_header(pipeline, shard, learned_through + 1, generation, kind="model", extra=extra)
    return seal(header, dump_state(model), keyring)


def open_model(sealed: bytes, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, Any]:
    """The model of a seal that holds and fits, and its header. Raises `StateError`."""
    header, payload = verify_model(sealed, pipeline, shard, keyring)
    return header, open_payload(payload, pipeline, f"the model of {shard}")


def verify_model(sealed: bytes, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, bytes]:
    """The header and the payload of a seal that holds and fits; nothing is unpickled. Raises `StateError`."""
    header, payload = unseal(sealed, keyring, where=f"A model of {shard}")
    wanted = checkpoint_header(pipeline, shard, header.offset, header.generation, kind="model")
    if (misfit := header_misfit(header, wanted)) is not None:
        raise StateError(f"A model of {shard} was refused: {misfit}. Give workers and trainers the same release, River and Python")
    if header.pipeline_digest != wanted.pipeline_digest:
        raise StateError(f"A model of {shard} was refused: its pipeline_digest is another, so worker and trainer have loaded two pipelines")
    return header, payload
