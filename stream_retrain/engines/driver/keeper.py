"""Versions as a driver keeps them: what is known of each, and copies of the models.

Protocol of use, for the driver, of each shard:

1. `opened` reads what is known, before the lane takes anything. What a crash left over in the store is deleted.
2. `learned` takes what each batch did, `seen` how the shard stands, `listening` what a trainer says. Nothing is written yet.
3. `settled` carries the `Keep` commands out and writes down what has changed, while the shard is settled; and `settle` before each
   checkpoint, which is not written unless this succeeded. So no checkpoint has learned more than is kept, and whoever restores it comes
   to the same `Keep` again (`core.contest.commands`).
4. `challengers` keeps what a trainer brought, before the shard is given it.
5. `turn` at every turn: copies go on to the object store, where there is one.

What is known is told as it changes (`VersionsKnown`), also while the store is away: how much of it is not written down yet is told too.

The order of a write: the copy; then the index that names it; then what the index names no more is deleted. A crash between two of them
leaves a copy that nobody names, and no name without its copy.

Limits (`VersionLimits`): copies beyond them are dropped, the oldest first. Never what an alias names, or what races or waits to race.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.versions import copy_name, digest_of, seal_version, software
from stream_retrain.core.contest.commands import Keep
from stream_retrain.core.contest.inputs import Input, Trained
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver.limits import VersionLimits
from stream_retrain.engines.driver.open_lane import OpenLane
from stream_retrain.engines.driver.outage import Outage
from stream_retrain.engines.driver.restore import RestoredShard
from stream_retrain.engines.driver.uploads import Upload, Uploads
from stream_retrain.engines.driver.versions import ShardVersions
from stream_retrain.engines.failpoints import reach
from stream_retrain.errors import StaleEpochError, StoreError
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyKept, VersionsKnown
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Artifact, ArtifactState, Version, aliases_of, generation_id, training_id
from stream_retrain.facts.worker import Tell, TrainerTold, WorkerFact
from stream_retrain.lane.step import Step
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.version_ports import VERSIONS_MAX

__all__ = ["Keeper"]

HELD: Final = ("pending", "kept")


@dataclasses.dataclass(slots=True)
class _Shard:
    """The versions of an open shard, and the copies that the index will name no more."""

    epoch: int
    versions: ShardVersions
    unnamed: list[str] = dataclasses.field(default_factory=list)
    undeleted: list[Upload] = dataclasses.field(default_factory=list)
    """What the object store still has of them."""
    waiting: int = 0
    told: list[Version] = dataclasses.field(default_factory=list)
    """What was told, and is not written down yet."""


class Keeper:
    """The versions of one worker's shards; without limits nobody keeps any, and nothing is done."""

    def __init__(
        self,
        pipeline: Pipeline,
        stores: Stores,
        keyring: Keyring,
        limits: VersionLimits | None,
        tell: Tell,
        outage: Outage,
        clock_s: Callable[[], float],
    ) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._limits = limits
        self._tell = tell
        self._outage = outage
        self._shards: dict[ShardId, _Shard] = {}
        self._uploads = None if stores.objects is None else Uploads(stores.models, stores.objects, clock_s)

    def opened(self, opened: OpenLane, restored: RestoredShard) -> None:
        """A shard is open, and has taken nothing. Raises `StoreError`."""
        if self._limits is None:
            return
        id_, how = opened.id, restored.announcing.how if restored.announcing is not None else "checkpoint"
        known = self._stores.versions.all(id_)
        versions = ShardVersions(self._pipeline, id_, known, software(), time.time)
        at = restored.offset if restored.announcing is None else restored.announcing.from_offset
        origin = "" if restored.announcing is None else restored.announcing.origin
        versions.began(how, restored.shard.generation, at, origin)
        shard = self._shards[id_] = _Shard(opened.epoch, versions)
        shard.unnamed += [name for name in self._stores.models.names(id_) if name not in self._staying(known)]
        gone = [each for each in known if each.artifact.state == "dropped" and each.artifact.place]
        shard.undeleted += [Upload(id_, each.id, each.artifact.name, delete=True) for each in gone]
        opened.lane.shard.keeping.copy = dump_state if self._limits.models_max else None
        serves = versions.get(versions.serving)
        if serves is not None and serves.came in ("warm", "restored") and serves.artifact.state == "none":
            opened.commands += opened.lane.shard.keeping.as_it_is()
        shard.told = versions.changed()
        self._tell(VersionsKnown(shard=id_, versions=tuple(versions), whole=True, unwritten=len(shard.told)))

    def _staying(self, known: Iterable[Version]) -> set[str]:
        """The copies that belong into the store of the shards, or wait there."""
        held = [each.artifact for each in known if each.artifact.state in HELD]
        return {artifact.name for artifact in held if artifact.state == "pending" or not artifact.place}

    def learned(self, id_: ShardId, step: Step) -> None:
        """A batch was learned."""
        if step.facts and (shard := self._shards.get(id_)) is not None:
            shard.versions.take(step.facts)
            if (changed := shard.versions.changed()) != shard.told:
                shard.told = changed
                self._tell(VersionsKnown(shard=id_, versions=tuple(changed), unwritten=len(changed)))

    def seen(self, id_: ShardId, observation: Observation) -> None:
        """How a shard stands, about once a second."""
        if (shard := self._shards.get(id_)) is not None:
            shard.versions.seen(observation)

    def listening(self, fact: WorkerFact) -> None:
        """Tell it on, and take what a trainer says."""
        self._tell(fact)
        if isinstance(fact, TrainerTold) and fact.seconds is not None and (shard := self._shards.get(fact.shard)) is not None:
            shard.versions.taught(fact.training, fact.seconds)

    def challengers(self, opened: OpenLane, inputs: Sequence[Input]) -> None:
        """Keep the challengers that a shard is about to be given. Raises `StoreError`: then they are not to be given."""
        shard = self._shards.get(opened.id)
        for given in inputs if shard is not None and self._copies else ():
            if isinstance(given, Trained):
                assert shard is not None
                version = training_id(opened.id.partition, given.training)
                self._keep(opened.id, shard, version, dump_state(given.model), given.learned_through)

    def settled(self, opened: OpenLane) -> bool:
        """Carry out and write down; False where the store does not take it: it is done before the next checkpoint at the latest."""
        try:
            self.settle(opened)
        except StaleEpochError:
            raise
        except StoreError as error:
            self._outage.failed(error)
            return False
        return True

    def settle(self, opened: OpenLane, *, all_of_it: bool = False) -> None:
        """Keep the copies that are wanted, and write down what has changed. Raises `StoreError`, and the rest goes on waiting.

        all_of_it
            Write down also what was only seen: a checkpoint is about to be written.
        """
        shard = self._shards.get(opened.id)
        if shard is None:
            return
        while (keep := next((each for each in opened.commands if isinstance(each, Keep)), None)) is not None:
            self._carry_out(opened.id, shard, keep)
            opened.commands = [each for each in opened.commands if each is not keep]
            reach("version.kept")
        if shard.versions.changed(all_of_it=all_of_it):
            self._limit(opened.id, shard)
            self._write(opened.id, shard)
        if shard.unnamed:
            self._stores.models.drop(opened.id, shard.epoch, shard.unnamed)
            shard.unnamed.clear()

    def turn(self) -> None:
        """Bring copies on to the object store, and write down what arrived there; a store of the shards that is away is tried again."""
        if self._uploads is None:
            return
        for upload in self._uploads.came():
            if (shard := self._shards.get(upload.shard)) is not None:
                self._arrived(upload, shard)
        for id_, shard in self._shards.items():
            shard.undeleted = [each for each in shard.undeleted if not self._uploads.offer(each)]
            waiting = [each for each in shard.versions if each.artifact.state == "pending"]
            written = {each.id for each in shard.versions.changed()}  # not written down yet: whoever restores the shard must find it
            for version in waiting:
                if version.id not in written and not self._uploads.offer(Upload(id_, version.id, version.artifact.name)):
                    break
            if len(waiting) != shard.waiting:
                shard.waiting = len(waiting)
                self._tell(CopiesWait(shard=id_, waiting=shard.waiting))

    def close(self, id_: ShardId) -> None:
        """The shard goes elsewhere."""
        self._shards.pop(id_, None)

    @property
    def _copies(self) -> bool:
        return self._limits is not None and self._limits.models_max > 0

    def _carry_out(self, id_: ShardId, shard: _Shard, keep: Keep) -> None:
        version = shard.versions.get(generation_id(id_.partition, keep.generation))
        if version is None or (version.came == "reset" and version.serves):  # it has learned nothing
            return
        at = version.began if version.ended is None else version.ended
        self._keep(id_, shard, version.id, keep.copy, -1 if at is None else at.offset, keep.generation)

    def _keep(self, id_: ShardId, shard: _Shard, version: str, payload: bytes, through: int, generation: int = 0) -> None:
        known = shard.versions.get(version)
        family = "" if known is None else known.family
        bound = {"learned_through": max(-1, through), "generation": generation}
        sealed = seal_version(payload, version, self._pipeline, id_, self._keyring, family=family, **bound)
        name = copy_name(version, sealed)
        shard.unnamed = [each for each in shard.unnamed if each != name]  # the same, left over from before a crash
        self._stores.models.keep(id_, shard.epoch, name, sealed)
        if known is not None and known.artifact.name not in ("", name):
            self._release(id_, shard, version, known.artifact)
        state: ArtifactState = "kept" if self._uploads is None else "pending"
        artifact = Artifact(name=name, bytes=len(sealed), state=state, learned_through=max(-1, through))
        shard.versions.copied(version, artifact, model_digest=digest_of(payload))
        if state == "kept":
            self._tell(CopyKept(shard=id_, version=version, bytes=len(sealed)))

    def _write(self, id_: ShardId, shard: _Shard) -> None:
        """The index; of too many versions the oldest are forgotten."""
        versions = shard.versions
        beyond = max(0, len(list(versions)) - VERSIONS_MAX)
        forgotten = [each.id for each in versions if each.artifact.state not in HELD and each.ended is not None][:beyond]
        changed, news = [each for each in versions.changed(all_of_it=True) if each.id not in forgotten], bool(versions.changed())
        self._stores.versions.put(id_, shard.epoch, changed, forgotten)
        versions.written(changed)
        versions.forget(forgotten)
        shard.told = []
        self._tell(VersionsKnown(shard=id_, versions=tuple(changed), forgotten=tuple(forgotten), news=news))
        reach("version.written")

    def _limit(self, id_: ShardId, shard: _Shard) -> None:
        """Drop the copies that are beyond a limit, the oldest first."""
        assert self._limits is not None
        held = [each for each in shard.versions if each.artifact.state in HELD]
        named = {*aliases_of(shard.versions).values(), *(each.id for each in held if each.ended is None)}
        age_max_s, now_s = self._limits.age_max_s, time.time()
        dropped = []
        for place, version in enumerate(held):
            at_s = version.ended.wall_s if version.ended is not None else None
            old = age_max_s is not None and at_s is not None and at_s < now_s - age_max_s
            if version.id not in named and (old or len(held) - place > self._limits.models_max):
                dropped.append(version)
        for version in dropped:
            self._release(id_, shard, version.id, version.artifact)
            shard.versions.copied(version.id, dataclasses.replace(version.artifact, state="dropped"))
        if dropped:
            size = sum(version.artifact.bytes for version in dropped)
            self._tell(CopiesDropped(shard=id_, copies=len(dropped), bytes=size))

    def _release(self, id_: ShardId, shard: _Shard, version: str, artifact: Artifact) -> None:
        """A copy is named no more."""
        if artifact.place:
            shard.undeleted.append(Upload(id_, version, artifact.name, delete=True))
        else:
            shard.unnamed.append(artifact.name)

    def _arrived(self, upload: Upload, shard: _Shard) -> None:
        version = shard.versions.get(upload.version)
        if upload.delete and not upload.error:
            if version is not None and version.artifact.name == upload.name:
                shard.versions.copied(version.id, dataclasses.replace(version.artifact, place=""))
            return
        if upload.delete:
            shard.undeleted.append(dataclasses.replace(upload, error=""))
        if upload.error and not upload.lost:
            self._tell(CopiesWait(shard=upload.shard, waiting=shard.waiting, error=upload.error))
            return
        if version is None or version.artifact.name != upload.name:  # a newer copy has taken its place meanwhile
            if not upload.lost:
                shard.undeleted.append(dataclasses.replace(upload, delete=True))
            return
        place = "" if upload.lost else "objects"
        there = dataclasses.replace(version.artifact, state="failed" if upload.lost else "kept", place=place)
        shard.versions.copied(version.id, there, error=upload.error)
        try:
            self._write(upload.shard, shard)
            self._stores.models.drop(upload.shard, shard.epoch, [upload.name])
        except StaleEpochError:
            raise
        except StoreError:
            return  # it is written down before the next checkpoint; what waited is deleted when the shard is opened again
        if not upload.lost:
            self._tell(CopyKept(shard=upload.shard, version=version.id, bytes=version.artifact.bytes))
