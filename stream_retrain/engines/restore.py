"""How a shard comes back: which checkpoint holds, whether it fits the log and the pipeline, and from where to read.

1. Claim the shard: from here on no older owner can write.
2. Take the newest checkpoint whose seal holds; a broken one is passed over for the one before it, and said so.
3. Before anything is unpickled, compare what it was made with: pipeline, River and Python.
4. Compare its offset with the log: above the committed offset it was made from events that were never answered, and nothing here
   may go on; below the log's first offset the events between are gone.
5. Unpickle it, and read from its offset: silently up to the committed offset, live from there.

Without a checkpoint the log is read from its first offset: silently up to the committed offset, if there is one.
"""

from __future__ import annotations

import dataclasses
import platform
from importlib.metadata import version

import numpy
import river

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, Versions, unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.shard import Shard
from stream_retrain.engines.facts import CheckpointFailed, Restored, Tell
from stream_retrain.errors import StateError
from stream_retrain.stores.base import CheckpointStore

__all__ = ["Log", "Restore", "RestoredShard", "checkpoint_header", "restore"]


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """A partition's log as the engine finds it."""

    committed: int | None
    """The next offset to answer, as last committed; None: nothing was."""
    low: int
    """The first offset that is retained."""
    high: int
    """The offset the next record will get."""
    start: str = "earliest"
    """Where to begin when nothing was committed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Restore:
    """What is to be restored, and what it must fit."""

    pipeline: Pipeline
    id: ShardId
    log: Log
    keyring: Keyring
    rebuild: bool
    """Pass over checkpoints that do not fit, and learn again from what the log retains."""


@dataclasses.dataclass(frozen=True, slots=True)
class RestoredShard:
    """A shard ready to go on: read from `offset`, put out from `live_from`."""

    shard: Shard
    epoch: int
    offset: int
    live_from: int


def checkpoint_header(pipeline: Pipeline, id_: ShardId, offset: int, generation: int) -> Header:
    """The header of a checkpoint made by this process."""
    return Header(
        kind="checkpoint",
        pipeline=id_.pipeline,
        pipeline_digest=pipeline.digest(),
        topic=id_.topic,
        partition=id_.partition,
        offset=offset,
        generation=generation,
        versions=Versions(
            stream_retrain=version("stream_retrain"),
            river=river.__version__,
            python=platform.python_version(),
            numpy=numpy.__version__,
        ),
    )


def restore(wanted: Restore, checkpoints: CheckpointStore, tell: Tell) -> RestoredShard:
    """Bring a shard back, by the numbered steps of this module. Raises `StateError` and `StoreError`."""
    log = wanted.log
    _check_committed(wanted)
    epoch = checkpoints.claim(wanted.id)
    found = _newest_that_holds(wanted, checkpoints.load(wanted.id), tell)
    live_from = log.committed if log.committed is not None else (log.low if log.start == "earliest" else log.high)
    if found is None:
        offset = log.low if log.committed is not None else live_from
        tell(Restored(shard=wanted.id, offset=None, generation=0))
        return RestoredShard(Shard(wanted.pipeline), epoch, min(offset, live_from), live_from)
    header, payload = found
    shard = Shard(wanted.pipeline, load_state(payload))
    tell(Restored(shard=wanted.id, offset=header.offset, generation=shard.generation))
    return RestoredShard(shard, epoch, header.offset, live_from)


def _check_committed(wanted: Restore) -> None:
    log = wanted.log
    if log.committed is not None and log.committed > log.high:
        raise StateError(
            f"{wanted.id}: offset {log.committed} is committed, but the topic ends at {log.high}: it was made anew or cut."
            " Use another group (STREAM_RETRAIN_GROUP), or reset this group's offsets"
        )


def _newest_that_holds(wanted: Restore, stored: list[bytes], tell: Tell) -> tuple[Header, bytes] | None:
    """The newest stored checkpoint that is sound and fits; None if nothing is stored, or if all may be passed over."""
    last: StateError | None = None
    for sealed in stored:
        try:
            header, payload = unseal(sealed, wanted.keyring, where=f"The checkpoint of {wanted.id}")
            _check_fits(wanted, header)
        except StateError as error:
            last = error
            tell(CheckpointFailed(shard=wanted.id, error=str(error)))
        else:
            return header, payload
    if last is not None and not wanted.rebuild:
        raise StateError(f"{last}. To learn again from what the topic retains, start with --rebuild")
    return None


def _check_fits(wanted: Restore, header: Header) -> None:
    mine = checkpoint_header(wanted.pipeline, wanted.id, header.offset, header.generation)
    for field in ("kind", "pipeline", "topic", "partition"):
        if getattr(header, field) != getattr(mine, field):
            raise StateError(f"{wanted.id}: the stored checkpoint is of another {field}: {getattr(header, field)!r}")
    if header.pipeline_digest != mine.pipeline_digest:
        raise StateError(f"{wanted.id}: the pipeline has changed since the checkpoint at offset {header.offset} was written")
    theirs, ours = header.versions, mine.versions
    if theirs.river != ours.river or theirs.python.split(".")[:2] != ours.python.split(".")[:2]:
        raise StateError(
            f"{wanted.id}: the checkpoint at offset {header.offset} was written by River {theirs.river} on Python {theirs.python},"
            f" this is River {ours.river} on Python {ours.python}"
        )
    if wanted.log.committed is None or header.offset > wanted.log.committed:
        raise StateError(
            f"{wanted.id}: the checkpoint is at offset {header.offset}, beyond the committed one ({wanted.log.committed}):"
            " another group or another cluster wrote it, or offsets were reset"
        )
    if header.offset < wanted.log.low:
        raise StateError(
            f"{wanted.id}: the checkpoint is at offset {header.offset}, and the topic retains events from {wanted.log.low} on only"
        )
