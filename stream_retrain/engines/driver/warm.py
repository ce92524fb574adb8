"""How a new shard gets the model of an old one, before its first worker opens it.

1. The newest checkpoint of the old shard whose seal holds and that fits: task, schema and model must be the same, and River and Python.
2. Claim the new shard, which must have no state yet.
3. Keep the model as an artifact of the new shard, so that a replay can begin as it did.
4. Save a checkpoint at the offset where the new shard begins: the state of a shard that has had no event, with that model. Its header
   says that nobody was told yet; the first live event tells it (`driver.origin`).

Offsets are committed by the caller, and last: until then a worker refuses to open the shard, because it has a checkpoint and its group
has committed nothing. All of it may be repeated then.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.warm import seal_warm, served_by, warm_name
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver.origin import begins, untold
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.warm import WarmModel, state_with
from stream_retrain.stores.ports import ArtifactLimits, Stores

__all__ = ["OldModel", "begin_warm", "old_model"]

WARM: Final = "warm"


@dataclasses.dataclass(frozen=True, slots=True)
class OldModel:
    """The model of an old shard, as its newest checkpoint has it."""

    shard: ShardId
    offset: int
    warm: WarmModel

    @property
    def origin(self) -> str:
        """In words: which state it is of."""
        return f"{self.shard} at offset {self.offset}"


def old_model(pipeline: Pipeline, old: ShardId, stores: Stores, keyring: Keyring) -> OldModel:
    """Step 1. Raises `StateError` where there is none that can be used, with the reasons."""
    reasons = []
    stored, parts = stores.checkpoints.load(old), stores.parts.load(old)
    for sealed in stored:
        try:
            header, warm = served_by(sealed, parts, pipeline, old, keyring)
            return OldModel(old, header.offset, warm)
        except StateError as error:
            reasons.append(str(error))
    raise StateError(f"no model of {old} can be had: {'; '.join(reasons) or 'no checkpoint of it is stored'}")


def begin_warm(
    pipeline: Pipeline, new: ShardId, begins_at: int, topic_id: str, old: OldModel, stores: Stores, keyring: Keyring, limits: ArtifactLimits
) -> str:
    """Steps 2 to 4; the name of the artifact. Raises `StateError` where the shard has learned something, `StoreError`."""
    for sealed in stores.checkpoints.load(new):
        header, _ = unseal(sealed, keyring, where=f"The checkpoint of {new}")
        if header.extra.get("how") != WARM:
            raise StateError(f"{new} has a state already, of offset {header.offset}: a warm start is for a shard that never began")
    epoch = stores.checkpoints.claim(new)
    name = warm_name(old.warm)
    artifact = seal_warm(old.warm, pipeline, new, keyring, begins_at=begins_at, origin=old.origin)
    stores.artifacts.keep(new, epoch, name, artifact, limits)
    told = untold(begins(WARM, begins_at, model=name, origin=old.origin))
    header = checkpoint_header(pipeline, new, begins_at, 0, topic_id=topic_id, extra=told)
    stores.checkpoints.delete(new, epoch)  # one of an earlier attempt may stand at a higher offset
    stores.checkpoints.save(new, epoch, begins_at, seal(header, dump_state(state_with(pipeline, old.warm)), keyring))
    return name
