"""Which of the stored checkpoints of a shard can be used: what is to be restored, and what it must fit (`driver.restore`)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, unseal
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver.log import Log
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import CheckpointFailed, Tell
from stream_retrain.lane.change import unfit_parts
from stream_retrain.stores.ports import ArtifactLimits
from stream_retrain.stores.start import Start

__all__ = ["Missing", "Restore", "Search", "Unfit", "is_here", "list_of_parts", "made_anew", "search"]

Missing: TypeAlias = Literal["earliest", "latest", "fail"]
Unfit: TypeAlias = Literal["fail", "rebuild", "window"]


@dataclasses.dataclass(frozen=True, slots=True)
class Restore:
    """What is to be restored, and what it must fit."""

    pipeline: Pipeline
    id: ShardId
    log: Log
    keyring: Keyring
    missing: Missing = "earliest"
    unfit: Unfit = "fail"
    start: Start | None = None
    """With what a new shard begins; None: it is looked up where the pipeline names one."""
    artifacts: ArtifactLimits = dataclasses.field(default_factory=ArtifactLimits)


@dataclasses.dataclass(slots=True)
class Search:
    """What was found among the stored checkpoints."""

    fits: tuple[Header, bytes] | None = None
    sound: tuple[Header, bytes] | None = None
    """The newest whose seal holds, whether it fits or not."""
    needed: frozenset[str] = frozenset()
    """The digests of the parts that the one that fits needs, and of their list."""
    misfit: str | None = None
    """Why the newest cannot be used."""


def search(wanted: Restore, stored: list[bytes], parts: Mapping[str, bytes], tell: Tell) -> Search:
    """The newest stored checkpoint that is sound and fits, and why a newer one does not. Raises `StateError` for one beyond the log."""
    found = Search()
    for sealed in stored:
        try:
            header, payload = unseal(sealed, wanted.keyring, where=f"The checkpoint of {wanted.id}")
        except StateError as error:
            misfit: str | None = str(error)
        else:
            found.sound = found.sound or (header, payload)
            if (beyond := _beyond(wanted, header)) is not None:
                tell(CheckpointFailed(shard=wanted.id, error=beyond))
                return Search(misfit=beyond)
            misfit, needed = _misfit(wanted, header), _needed(header, parts)
            if misfit is None and needed is None:
                misfit = f"{wanted.id}: the checkpoint at offset {header.offset} cannot be used: the store has lost parts of it"
            if misfit is None:
                found.fits, found.needed = (header, payload), needed or frozenset()
                return found
        found.misfit = found.misfit or misfit
        tell(CheckpointFailed(shard=wanted.id, error=misfit or ""))
    return found


def _beyond(wanted: Restore, header: Header) -> str | None:
    """Why nothing that is stored can be used: the log is not the one it was made from. Raises `StateError` unless told to rebuild."""
    if not is_here(wanted, header):
        return None
    committed, other = wanted.log.committed, wanted.log.is_other(header.topic_id)
    if other:
        beyond = made_anew(wanted, f"the checkpoint at offset {header.offset} was written")
    elif committed is not None and header.offset > committed:
        beyond = (
            f"{wanted.id}: the checkpoint at offset {header.offset} is beyond the committed one ({committed}): another group or another"
            " cluster wrote it, or offsets were reset. To learn again from what the topic retains, start with --rebuild"
        )
    else:
        return None
    if wanted.unfit != "rebuild":
        raise StateError(beyond)
    return beyond


def _misfit(wanted: Restore, header: Header) -> str | None:
    """Why a genuine checkpoint of this log cannot be used; None: it can."""
    at = f"{wanted.id}: the checkpoint at offset {header.offset} cannot be used:"
    if (misfit := header_misfit(header, checkpoint_header(wanted.pipeline, wanted.id, header.offset, header.generation))) is not None:
        return f"{at} {misfit}"
    if header.pipeline_digest != wanted.pipeline.digest() and (unfit := unfit_parts(header.parts, wanted.pipeline)):
        return f"{at} the pipeline has changed since, in its {' and its '.join(unfit)}"
    if header.offset < wanted.log.low:
        return f"{at} it needs events from there on, and the topic retains events from {wanted.log.low} on only"
    return None


def list_of_parts(digests: Iterable[str]) -> tuple[str, bytes]:
    """What names the parts of a checkpoint: a part as well, whose digest stands in the header; digest and bytes. Without any: empty."""
    listed = "\n".join(sorted(digests)).encode()
    return (hashlib.sha256(listed).hexdigest(), listed) if listed else ("", b"")


def _needed(header: Header, parts: Mapping[str, bytes]) -> frozenset[str] | None:
    """The parts that a checkpoint needs, their list included; None where one is not there."""
    if not header.list_of_parts:
        return frozenset()
    digest, listed = list_of_parts(parts.get(header.list_of_parts, b"").decode("ascii", "replace").split())
    needed = frozenset((digest, *listed.decode().split()))
    return needed if digest == header.list_of_parts and needed <= parts.keys() else None


def is_here(wanted: Restore, header: Header) -> bool:
    """Whether it is of this pipeline, topic and partition."""
    return (header.pipeline, header.topic, header.partition) == (wanted.id.pipeline, wanted.id.topic, wanted.id.partition)


def made_anew(wanted: Restore, what: str) -> str:
    """Why nothing of an earlier topic counts."""
    return (
        f"{wanted.id}: the topic was deleted and made anew under its name (now with id {wanted.log.topic_id}), and {what} for the"
        " earlier one: what was learned and answered there says nothing here. To begin with the new topic's first record, start with"
        " --rebuild"
    )
