"""Models under a seal: how they travel between a worker and its trainers.

The header names the pipeline by its digest, the shard, and the offset with which learning goes on; what else it must say stands in
`extra`, which the signature covers too. A genuine seal of another shard or training is refused like a forged one, and nothing
is unpickled before all of that holds (law 11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, seal, unseal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.restore import checkpoint_header, open_payload
from stream_retrain.errors import StateError

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
    header = checkpoint_header(pipeline, shard, learned_through + 1, generation)
    header = msgspec.structs.replace(header, kind="model", extra=dict(extra or {}))
    return seal(header, dump_state(model), keyring)


def open_model(sealed: bytes, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, Any]:
    """The model of a seal that holds and fits, and its header. Raises `StateError`."""
    header, payload = verify_model(sealed, pipeline, shard, keyring)
    return header, open_payload(payload, pipeline, f"the model of {shard}")


def verify_model(sealed: bytes, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, bytes]:
    """The header and the payload of a seal that holds and fits; nothing is unpickled. Raises `StateError`."""
    header, payload = unseal(sealed, keyring, where=f"A model of {shard}")
    wanted = checkpoint_header(pipeline, shard, header.offset, header.generation)
    for field in ("pipeline", "topic", "partition", "pipeline_digest"):
        if getattr(header, field) != getattr(wanted, field):
            raise StateError(f"A model that should be of {shard} is of another {field}: {getattr(header, field)!r}")
    if header.kind != "model":
        raise StateError(f"What should be a model of {shard} is a {header.kind}")
    theirs, ours = header.versions, wanted.versions
    if not theirs.unpickles_under(ours):
        raise StateError(
            f"A model of {shard} was made by River {theirs.river} on Python {theirs.python},"
            f" this is River {ours.river} on Python {ours.python}: give workers and trainers the same"
        )
    return header, payload
