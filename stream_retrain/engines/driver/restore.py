"""How a shard comes back: which checkpoint holds, whether it fits the log and the pipeline, and from where to read.

1. Claim the shard: from here on no older owner can write. (The committed offset was read before: it may be lower than the
   newest by then only if an older owner was still to commit, and Kafka answers no offset while a transaction holds one.)
2. Take the newest checkpoint whose seal holds; a broken one is passed over for the one before it, and said so.
3. Before anything is unpickled, compare what it was made with: pipeline, state schema, River and Python. Metrics, watches, rules and
   limits may differ: what they did not touch is kept (`lane.change`).
4. Compare its offset with the log: above the committed offset it was made from events whose outputs were never committed, and nothing here
   may go on; below the log's first offset the events between are gone.
5. Unpickle it, and read from its offset: silently up to the committed offset, live from there.

Two things are looked at before that, because offsets mean nothing without them. Where the topic was made anew under its name (it has
another id than the one that stands beside the committed offset, or in the checkpoint), and where Kafka has forgotten the group's
offsets though a checkpoint is there, the worker refuses and names the cause. Told to rebuild, it begins a new topic at its beginning;
and where offsets were forgotten it goes on where its answers end, so that nothing is answered twice.

Where nothing can be restored, the operator has said what then, and it is told whichever it was:

- none is stored, and nothing was committed: the shard is new;
- none is stored, though offsets were committed (`checkpoint_missing`): learn again from the first retained offset, silently up to
  the committed one; or begin untrained at the committed one; or refuse;
- none that is stored fits (`checkpoint_unfit`): refuse; or clear the window and learn again from the first retained offset; or begin at
  the committed offset with a model trained on the window. What a window has taught is an input, no function of the log, so such a shard is
  checkpointed before anything later is committed.

Who begins anew begins with the pipeline's `start`, if it names one: that model is kept as an artifact of the shard first, and told by its
name. Where it cannot be had, the shard is not opened.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit, open_payload
from stream_retrain.codec.seal import Header, unseal
from stream_retrain.codec.warm import seal_warm, warm_name
from stream_retrain.core.state import REMEDY
from stream_retrain.engines.driver.origin import begins, goes_on, saved_at
from stream_retrain.engines.driver.stored import Missing, Restore, Search, Unfit, is_here, made_anew, search
from stream_retrain.engines.failpoints import reach
from stream_retrain.errors import StateError
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.values import Event, ShardId
from stream_retrain.facts.worker import Restored, Tell, WindowCleared
from stream_retrain.lane.change import adapted, unfit_parts
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Encode, Lane
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.warm import state_with
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.start import start_of

__all__ = ["Missing", "Restore", "RestoredShard", "Unfit", "restore"]


@dataclasses.dataclass(frozen=True, slots=True)
class RestoredShard:
    """A shard ready to go on: read from `offset`, put out from `live_from`."""

    shard: Shard
    epoch: int
    offset: int
    live_from: int
    unsaved: bool = False
    """It holds what no log can give back: write its checkpoint before anything else."""
    begins: bool = False
    """Nothing that is committed counts: where it begins is to be committed at once."""
    parts: frozenset[str] = frozenset()
    """Digests of the parts of checkpoints that the store has."""
    needed: frozenset[str] = frozenset()
    """Of those, the ones that the checkpoint it was restored from needs."""
    announcing: ShardRestored | None = None
    """What its lane is to tell first (`driver.origin`)."""
    saved_s: float | None = None
    """When the checkpoint was written that it was restored from."""

    def lane(self, id_: ShardId, decoder: EventDecoder, encoder: Encode) -> Lane:
        """Its lane, which reads on from `offset`."""
        tells = self.live_from or (self.announcing is not None and self.announcing.how == "warm")
        announcing = self.announcing if tells else None  # who begins untrained with the first record says nothing
        at = {"next_offset": self.offset, "live_from": self.live_from}
        return Lane(id_, self.shard, decoder, encoder, **at, announcing=announcing)


def restore(wanted: Restore, stores: Stores, tell: Tell) -> RestoredShard:
    """Bring a shard back, by the numbered steps of this module. Raises `StateError` and `StoreError`."""
    made_anew = wanted.log.made_anew
    wanted = _of_this_topic(wanted)
    _check_committed(wanted)
    epoch = stores.checkpoints.claim(wanted.id)
    reach("assign.claimed")
    if made_anew:
        _clear_window(wanted, epoch, stores, tell)
    stored, parts = stores.checkpoints.load(wanted.id), stores.parts.load(wanted.id)
    reach("assign.checkpoint_read")
    begins = wanted.log.committed is None
    if begins and (resumed := _where_answers_end(wanted, stored)) is not None:
        wanted = dataclasses.replace(wanted, log=dataclasses.replace(wanted.log, committed=resumed))
        _check_committed(wanted)
    restored = _restored(wanted, epoch, stored, parts, stores, tell)
    return dataclasses.replace(restored, begins=begins, parts=frozenset(parts))


def _restored(wanted: Restore, epoch: int, stored: list[bytes], parts: Mapping[str, bytes], stores: Stores, tell: Tell) -> RestoredShard:
    found = search(wanted, stored, parts, tell)
    if found.fits is not None:
        how: Literal["checkpoint", "previous"] = "checkpoint" if found.misfit is None else "previous"
        return _from_checkpoint(wanted, epoch, found, parts, how, tell)
    if found.misfit is None:
        return _without_checkpoint(wanted, epoch, stores, tell)
    match wanted.unfit:
        case "fail":
            raise StateError(f"{found.misfit}. {REMEDY}")
        case "rebuild":
            _clear_window(wanted, epoch, stores, tell)  # before the checkpoints: with none, nothing would be rebuilt after a crash
            stores.checkpoints.delete(wanted.id, epoch)  # or a later one, at a lower offset, would be refused
            return _from_the_log(wanted, epoch, stores, tell)
        case "window":
            return _from_the_window(wanted, epoch, found.sound, parts, stores, tell)


def _clear_window(wanted: Restore, epoch: int, stores: Stores, tell: Tell) -> None:
    """A rebuild begins with what the log retains: rows of another topic or schema would be learned from, and keep out those of this one."""
    if stores.window.clear(wanted.id, epoch):
        tell(WindowCleared(shard=wanted.id))


def _from_checkpoint(
    wanted: Restore,
    epoch: int,
    found: Search,
    parts: Mapping[str, bytes],
    how: Literal["checkpoint", "previous"],
    tell: Tell,
) -> RestoredShard:
    assert found.fits is not None
    header, payload = found.fits
    saved = open_payload(payload, wanted.pipeline, f"the checkpoint of {wanted.id}", parts)
    told: dict[str, Any] = {"questions_kept": header.waiting or 0}
    if header.pipeline_digest != wanted.pipeline.digest():
        saved, change = adapted(saved, header.parts, wanted.pipeline)
        told = {field.name: getattr(change, field.name) for field in dataclasses.fields(change)}
    shard = _shard(wanted, saved)
    tell(Restored(shard=wanted.id, offset=header.offset, generation=shard.generation, how=how, **told))
    ours = checkpoint_header(wanted.pipeline, wanted.id, 0, 0)
    announcing = goes_on(how, header, ours, wanted.pipeline, told.get("differs", ()), asked=bool(shard.requests_taken))
    more: dict[str, Any] = {"needed": found.needed, "announcing": announcing, "saved_s": saved_at(header)}
    return RestoredShard(shard, epoch, header.offset, wanted.log.live_from, **more)


def _shard(wanted: Restore, saved: Any) -> Shard:
    try:
        return Shard(wanted.pipeline, saved)
    except StateError as error:
        raise StateError(f"{wanted.id}: {error}") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # lists of other lengths than the pipeline's, and the like
        raise StateError(f"{wanted.id}: the saved state does not fit its pipeline ({error!r}). {REMEDY}") from None


def _without_checkpoint(wanted: Restore, epoch: int, stores: Stores, tell: Tell) -> RestoredShard:
    log = wanted.log
    if log.committed is None:
        shard, told = _beginning(wanted, epoch, log.live_from, stores)
        how: Literal["warm", "new"] = "warm" if told else "new"
        tell(Restored(shard=wanted.id, offset=None, generation=0, how=how))
        return RestoredShard(shard, epoch, log.live_from, log.live_from, announcing=begins(how, log.live_from, **told))
    match wanted.missing:
        case "fail":
            raise StateError(
                f"{wanted.id}: offset {log.committed} is committed, and the store holds no checkpoint: see whether it was emptied, or is"
                " another one. checkpoint_missing says what to do instead: earliest learns again from the first retained offset,"
                " latest begins anew"
            )
        case "earliest":
            return _from_the_log(wanted, epoch, stores, tell)
        case "latest":
            shard, told = _beginning(wanted, epoch, log.live_from, stores)
            tell(Restored(shard=wanted.id, offset=None, generation=0, how="latest"))
            announcing = begins("latest", log.live_from, **told)
            return RestoredShard(shard, epoch, log.live_from, log.live_from, unsaved=True, announcing=announcing)


def _from_the_log(wanted: Restore, epoch: int, stores: Stores, tell: Tell) -> RestoredShard:
    low = wanted.log.low
    shard, told = _beginning(wanted, epoch, low, stores)
    tell(Restored(shard=wanted.id, offset=None, generation=0, how="earliest"))
    return RestoredShard(shard, epoch, low, wanted.log.live_from, announcing=begins("earliest", low, **told))


def _beginning(wanted: Restore, epoch: int, offset: int, stores: Stores) -> tuple[Shard, dict[str, str]]:
    """A shard that has had no event, and what is to be told of the model it begins with; nothing where that is untrained."""
    start = wanted.start or start_of(wanted.pipeline, stores, wanted.keyring)
    if start is None:
        return Shard(wanted.pipeline), {}
    warm = start.model(wanted.pipeline)
    name = warm_name(warm)
    sealed = seal_warm(warm, wanted.pipeline, wanted.id, wanted.keyring, begins_at=offset, origin=start.origin)
    stores.artifacts.keep(wanted.id, epoch, name, sealed, wanted.artifacts)
    return Shard(wanted.pipeline, state_with(wanted.pipeline, warm)), {"model": name, "origin": start.origin}


def _from_the_window(
    wanted: Restore, epoch: int, sound: tuple[Header, bytes] | None, parts: Mapping[str, bytes], stores: Stores, tell: Tell
) -> RestoredShard:
    """A shard that has learned the window as if it were the log.

    It takes over the questions that waited, if they can be opened and the checkpoint is of the very offset at which this shard begins:
    of an older one nobody knows which were answered since, and learning a label twice is worse than not at all. Those are counted.
    """
    live_from = wanted.log.live_from
    rows = stores.window.last(wanted.id, max(1, wanted.pipeline.window_rows_max), through_offset=live_from - 1)
    if not rows:
        raise StateError(f"{wanted.id}: the window is empty, so there is nothing to restart from: start with --rebuild")
    shard, told = _beginning(wanted, epoch, live_from, stores)
    shard.process(Event(row.offset, str(row.offset), row.time_s, row.x, row.y) for row in rows)
    waiting = sound[0].waiting if sound is not None else None
    kept = 0
    if sound is not None and waiting and sound[0].offset == live_from:
        kept = _questions_taken_over(wanted, shard, *sound, parts)
    tell(
        Restored(
            shard=wanted.id,
            offset=None,
            generation=shard.generation,
            how="window",
            questions_kept=kept,
            questions_dropped=None if waiting is None else waiting - kept,
        )
    )
    return RestoredShard(shard, epoch, live_from, live_from, unsaved=True, announcing=begins("window", live_from, **told))


def _questions_taken_over(wanted: Restore, shard: Shard, header: Header, payload: bytes, parts: Mapping[str, bytes]) -> int:
    """How many waiting questions of a checkpoint the shard took over: none where task or schema is another, or it cannot be opened."""
    fit = header_misfit(header, checkpoint_header(wanted.pipeline, wanted.id, header.offset, header.generation)) is None
    if not fit or {"task", "schema"} & set(unfit_parts(header.parts, wanted.pipeline)):
        return 0
    try:
        saved = open_payload(payload, wanted.pipeline, f"the checkpoint of {wanted.id}", parts)
        return shard.take_over(saved["questions"])
    except (StateError, LookupError, TypeError):
        return 0


def _of_this_topic(wanted: Restore) -> Restore:
    """With nothing committed, where what is committed is of an earlier topic. Raises `StateError` unless told to rebuild."""
    log = wanted.log
    if not log.made_anew:
        return wanted
    if wanted.unfit != "rebuild":
        raise StateError(made_anew(wanted, f"offset {log.committed} was committed"))
    return dataclasses.replace(wanted, log=dataclasses.replace(log, committed=None, start="earliest", answered=0))


def _where_answers_end(wanted: Restore, stored: list[bytes]) -> int | None:
    """Where to go on though no offset is committed: above every checkpoint and every output; None where there is no checkpoint.

    A checkpoint is written only after its offset was committed. Raises `StateError` unless told to rebuild or to restart.
    """
    through = None
    for sealed in stored:
        try:
            header, _ = unseal(sealed, wanted.keyring, where=f"The checkpoint of {wanted.id}")
        except StateError:
            continue
        if is_here(wanted, header) and not wanted.log.is_other(header.topic_id):
            through = max(header.offset, through or 0)
    if through is None:
        return None
    if wanted.unfit == "fail":
        raise StateError(
            f"{wanted.id}: no offset is committed, and yet the checkpoint at offset {through} was written after one was: Kafka forgets the"
            " offsets of a group that was away for longer than their retention (offsets.retention.minutes, 7 days); or another group or"
            " another cluster wrote it. To go on where the answers end, so that nothing is answered again, start with --rebuild"
        )
    return max(through, wanted.log.answered)


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
            f"{wanted.id}: the events from offset {log.committed}, where the last commit ended, to {log.low} were never predicted, and the"
            " topic retains them no more. To go on without them, start with --rebuild"
        )
