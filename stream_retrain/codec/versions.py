"""Versions of models under a seal (`facts.version`): kept while they may be wanted again, for a promotion, an export or a new shard.

The header says of which pipeline, shard and version a model is. A genuine seal of another is refused like a forged one, and nothing is
unpickled before all of that holds (law 11). What a later pipeline may change without touching the model (metrics, watches, rules) does
not make a version unfit.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from stream_retrain.codec.checkpoint import STATE_SCHEMA, checkpoint_header, header_misfit, open_payload, versions_here
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, seal, unseal
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Software, imports_of
from stream_retrain.lane.change import unfit_parts

__all__ = ["copy_name", "digest_of", "open_version", "seal_version", "software", "verify_version"]

DIGEST_CHARS: Final = 12


def digest_of(payload: bytes) -> str:
    """The digest of a model, by its bytes (`dump_state`)."""
    return hashlib.sha256(payload).hexdigest()


def copy_name(version: str, sealed: bytes) -> str:
    """The name of a copy: another copy of the same version has another."""
    return f"{version}-{hashlib.sha256(sealed).hexdigest()[:DIGEST_CHARS]}"


def software() -> Software:
    """By what this process makes models."""
    versions = versions_here()
    return Software(
        stream_retrain=versions.stream_retrain,
        river=versions.river,
        python=versions.python,
        numpy=versions.numpy,
        state_schema=STATE_SCHEMA,
    )


def seal_version(
    payload: bytes,
    version: str,
    pipeline: Pipeline,
    shard: ShardId,
    keyring: Keyring,
    *,
    learned_through: int,
    generation: int = 0,
    family: str = "",
) -> bytes:
    """A model as `dump_state` made it, as a version of a shard, or of what was brought in (`imports_of`)."""
    extra = {"version": version, "family": family, "digest": digest_of(payload)}
    header = checkpoint_header(pipeline, shard, learned_through + 1, generation, kind="model", extra=extra)
    return seal(header, payload, keyring)


def verify_version(sealed: bytes, version: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, bytes]:
    """Header and payload of a copy whose seal holds, and which is that version and fits the pipeline. Raises `StateError`.

    `shard`: whose version it is; an import is found under any. Nothing is unpickled.
    """
    of = imports_of(pipeline.name) if version.startswith("import-") else shard
    header, payload = unseal(sealed, keyring, where=f"Version {version} of {of}")
    wanted = checkpoint_header(pipeline, of, header.offset, header.generation, kind="model")
    if (misfit := header_misfit(header, wanted)) is not None:
        raise StateError(f"Version {version} of {of} cannot be used: {misfit}")
    if (found := header.extra.get("version")) != version:
        raise StateError(f"Version {version} of {of} cannot be used: what is kept of it is {found or 'no version'}")
    if differs := unfit_parts(header.parts, pipeline):
        raise StateError(f"Version {version} of {of} cannot be used: the pipeline has another {' and another '.join(differs)} since")
    if version.startswith("import-") and not digest_of(payload).startswith(version.removeprefix("import-")):
        raise StateError(f"Version {version} of {of} cannot be used: its model is another")
    return header, payload


def open_version(sealed: bytes, version: str, pipeline: Pipeline, shard: ShardId, keyring: Keyring) -> tuple[Header, Any]:
    """The model of a copy that holds and fits, and its header; `header.extra["family"]` is its family. Raises `StateError`."""
    header, payload = verify_version(sealed, version, pipeline, shard, keyring)
    return header, open_payload(payload, pipeline, f"version {version} of {shard}")
