"""How a shard comes back: which checkpoint holds, whether it fits the log and the pipeline, and from where to read.

1. Claim the shard: from here on no older owner can write. (The committed offset was read before: it may be lower than the
   newest by then only if an older owner was still to commit, and Kafka answers no offset while a transaction holds one.)
2. Take the newest checkpoint whose seal holds; a broken one is passed over for the one before it, and said so.
3. Before anything is unpickled, compare what it was made with: pipeline, River and Python.
4. Compare its offset with the log: above the committed offset it was made from events that were never answered, and nothing here
   may go on; below the log's first offset the events between are gone.
5. Unpickle it, and read from its offset: silently up to the committed offset, live from there.

Where nothing can be restored, the operator has said what then, and it is told whichever it was:

- none is stored, and nothing was committed: the shard is new;
- none is stored, though offsets were committed (`checkpoint_missing`): learn again from the first retained offset, silently up to
  the committed one; or begin untrained at the committed one; or refuse;
- none that is stored fits (`checkpoint_unfit`): refuse; or learn again from the first retained offset; or begin at the committed
  offset with a model trained on the window. What a window has taught is an outside input, no function of the log, so such a
  shard is checkpointed before anything later is committed.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
import platform
from importlib.metadata import version
from typing import Any, Literal, TypeAlias

import numpy
import river

from stream_retrain.codec.allowlist import modules_of
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, Versions, unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.messages import Event, ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Race
from stream_retrain.core.shard import Shard
from stream_retrain.engines.facts import CheckpointFailed, Restored, Tell
from stream_retrain.engines.failpoints import reach
from stream_retrain.errors import StateError
from stream_retrain.stores.base import Stores

__all__ = ["Log", "Missing", "Restore", "RestoredShard", "Unfit", "checkpoint_header", "open_payload", "restore"]

Missing: TypeAlias = Literal["earliest", "latest", "fail"]
Unfit: TypeAlias = Literal["fail", "rebuild", "window"]


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
    missing: Missing = "earliest"
    unfit: Unfit = "fail"


@dataclasses.dataclass(frozen=True, slots=True)
class RestoredShard:
    """A shard ready to go on: read from `offset`, put out from `live_from`."""

    shard: Shard
    epoch: int
    offset: int
    live_from: int
    unsaved: bool = False
    """It holds what no log can give back: write its checkpoint before anything else."""


@functools.cache
def _versions() -> Versions:
    return Versions(
        stream_retrain=version("stream_retrain"),
        river=river.__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
    )


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
        versions=_versions(),
    )


def open_payload(payload: bytes, pipeline: Pipeline, where: str) -> Any:
    """What a payload whose seal was verified holds. Raises `StateError` where it names what no state of this pipeline is made of."""
    races = [rule.do for rule in pipeline.react if isinstance(rule.do, Race)]
    others = [challenger.model for race in races for challenger in race.contestants() if challenger.model is not None]
    detectors = [detector for watch in pipeline.watch for detector in (watch.detector, watch.warning) if detector is not None]
    try:
        return load_state(payload, modules_of([pipeline.model, *others, *detectors, *pipeline.scores.metrics]))
    except pickle.UnpicklingError as error:
        raise StateError(
            f"{where} was not opened: {error}. If nobody else has its key, a model of this pipeline keeps something that a state may not"
            " hold: keep it in a class of its own module"
        ) from None


def restore(wanted: Restore, stores: Stores, tell: Tell) -> RestoredShard:
    """Bring a shard back, by the numbered steps of this module. Raises `StateError` and `StoreError`."""
    _check_committed(wanted)
    epoch = stores.checkpoints.claim(wanted.id)
    reach("assign.claimed")
    stored = stores.checkpoints.load(wanted.id)
    reach("assign.checkpoint_read")
    found, misfit = _newest_that_holds(wanted, stored, tell)
    if found is not None:
        header, payload = found
        shard = Shard(wanted.pipeline, open_payload(payload, wanted.pipeline, f"the checkpoint of {wanted.id}"))
        how: Literal["checkpoint", "previous"] = "checkpoint" if misfit is None else "previous"
        tell(Restored(shard=wanted.id, offset=header.offset, generation=shard.generation, how=how))
        return RestoredShard(shard, epoch, header.offset, _live_from(wanted.log))
    if misfit is None:
        return _without_checkpoint(wanted, epoch, tell)
    match wanted.unfit:
        case "fail":
            raise StateError(
                f"{misfit}. To learn again from what the topic retains, start with --rebuild; to begin with a model trained on the"
                " window, with --warm-restart"
            )
        case "rebuild":
            stores.checkpoints.delete(wanted.id, epoch)  # or a later one, at a lower offset, would be refused
            return _from_the_log(wanted, epoch, tell)
        case "window":
            return _from_the_window(wanted, epoch, stores, tell)


def _live_from(log: Log) -> int:
    if log.committed is not None:
        return max(log.committed, log.low)
    return log.low if log.start == "earliest" else log.high


def _without_checkpoint(wanted: Restore, epoch: int, tell: Tell) -> RestoredShard:
    log = wanted.log
    if log.committed is None:
        tell(Restored(shard=wanted.id, offset=None, generation=0, how="new"))
        return RestoredShard(Shard(wanted.pipeline), epoch, _live_from(log), _live_from(log))
    match wanted.missing:
        case "fail":
            raise StateError(
                f"{wanted.id}: offset {log.committed} is committed, and the store holds no checkpoint: see whether it was emptied, or is"
                " another one. checkpoint_missing says what to do instead: earliest learns again from the first retained offset,"
                " latest begins untrained"
            )
        case "earliest":
            return _from_the_log(wanted, epoch, tell)
        case "latest":
            tell(Restored(shard=wanted.id, offset=None, generation=0, how="latest"))
            return RestoredShard(Shard(wanted.pipeline), epoch, _live_from(log), _live_from(log), unsaved=True)


def _from_the_log(wanted: Restore, epoch: int, tell: Tell) -> RestoredShard:
    tell(Restored(shard=wanted.id, offset=None, generation=0, how="earliest"))
    return RestoredShard(Shard(wanted.pipeline), epoch, wanted.log.low, _live_from(wanted.log))


def _from_the_window(wanted: Restore, epoch: int, stores: Stores, tell: Tell) -> RestoredShard:
    """A shard that has learned the window as if it were the log; questions that wait for their answers are forgotten."""
    live_from = _live_from(wanted.log)
    rows = stores.window.last(wanted.id, max(1, wanted.pipeline.window_rows_max), through_offset=live_from - 1)
    if not rows:
        raise StateError(f"{wanted.id}: the window is empty, so there is nothing to restart from: start with --rebuild")
    shard = Shard(wanted.pipeline)
    shard.process(Event(row.offset, str(row.offset), row.time_s, row.x, row.y) for row in rows)
    tell(Restored(shard=wanted.id, offset=None, generation=shard.generation, how="window"))
    return RestoredShard(shard, epoch, live_from, live_from, unsaved=True)


def _check_committed(wanted: Restore) -> None:
    log = wanted.log
    if log.committed is None:
        return
    if log.committed > log.high:
        raise StateError(
            f"{wanted.id}: offset {log.committed} is committed, but the topic ends at {log.high}: it was made anew or cut."
            " Use another group (STREAM_RETRAIN_GROUP), or reset this group's offsets"
        )
    if log.committed < log.low and wanted.unfit != "rebuild":
        raise StateError(
            f"{wanted.id}: the events from offset {log.committed}, where the last commit ended, to {log.low} were never answered, and the"
            " topic retains them no more. To go on without them, start with --rebuild"
        )


def _newest_that_holds(wanted: Restore, stored: list[bytes], tell: Tell) -> tuple[tuple[Header, bytes] | None, str | None]:
    """The newest stored checkpoint that is sound and fits, and why a newer one does not. Raises `StateError` for one beyond the log."""
    first: str | None = None
    for sealed in stored:
        try:
            header, payload = unseal(sealed, wanted.keyring, where=f"The checkpoint of {wanted.id}")
        except StateError as error:
            misfit: str | None = str(error)
        else:
            if (beyond := _beyond(wanted, header)) is not None:
                tell(CheckpointFailed(shard=wanted.id, error=beyond))
                return None, beyond
            misfit = _misfit(wanted, header)
            if misfit is None:
                return (header, payload), first
        first = first or misfit
        tell(CheckpointFailed(shard=wanted.id, error=misfit or ""))
    return None, first


def _beyond(wanted: Restore, header: Header) -> str | None:
    """Why nothing that is stored can be used: the log is not the one it was made from. Raises `StateError` unless told to rebuild."""
    here = (wanted.id.pipeline, wanted.id.topic, wanted.id.partition)
    committed = wanted.log.committed
    if (header.pipeline, header.topic, header.partition) != here or (committed is not None and header.offset <= committed):
        return None
    beyond = (
        f"{wanted.id}: the checkpoint at offset {header.offset} is beyond the committed one ({committed}): another group or another"
        " cluster wrote it, or offsets were reset. To learn again from what the topic retains, start with --rebuild"
    )
    if wanted.unfit != "rebuild":
        raise StateError(beyond)
    return beyond


def _misfit(wanted: Restore, header: Header) -> str | None:
    """Why a genuine checkpoint of this log cannot be used; None: it can."""
    mine = checkpoint_header(wanted.pipeline, wanted.id, header.offset, header.generation)
    at = f"the checkpoint at offset {header.offset}"
    for field in ("kind", "pipeline", "topic", "partition"):
        if getattr(header, field) != getattr(mine, field):
            return f"{wanted.id}: the stored checkpoint is of another {field}: {getattr(header, field)!r}"
    if header.pipeline_digest != mine.pipeline_digest:
        return f"{wanted.id}: the pipeline has changed since {at} was written"
    theirs, ours = header.versions, mine.versions
    if not theirs.unpickles_under(ours):
        written = f"River {theirs.river} on Python {theirs.python}"
        return f"{wanted.id}: {at} was written by {written}, this is River {ours.river} on Python {ours.python}"
    if header.offset < wanted.log.low:
        return f"{wanted.id}: {at} needs events from there on, and the topic retains events from {wanted.log.low} on only"
    return None
