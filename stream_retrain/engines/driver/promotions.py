"""Promotions and rollbacks on their way to a shard: the model is fetched, verified and opened off the poll loop.

Protocol of use, for `driver.inputs`, for each shard: `come_for` a request again and again until it returns an input. One request of a
shard is on its way at a time; another waits until that one is an input, because what is previous depends on what serves.

What cannot be promoted becomes a `Refused` input that says why: there is no such version, it does not fit, it was changed since it was
sealed, or its store has not answered for `WAIT_S`. Nothing is unpickled before all of it was verified; that is the port's promise.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.versions import open_version
from stream_retrain.core.contest.inputs import Promote, Refused
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.telling import cut, raised
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry

__all__ = ["FoundVersion", "OfRegistry", "Promotions", "Run", "Versions", "in_thread", "refused"]

WAIT_S: Final = 60.0
PREVIOUS: Final = "previous"
Run: TypeAlias = Callable[[Callable[[], None]], None]
"""How something is done off the loop; what it does raises nothing."""


class FoundVersion(NamedTuple):
    """A version that fits, opened: nobody else holds its model."""

    id: str
    model: Any
    family: str


class Versions(Protocol):
    """The versions of a pipeline's shards."""

    def find(self, shard: ShardId, wanted: str) -> FoundVersion:
        """The version of an id or an alias; called in a thread of its own.

        Raises `StateError` where there is none, or it cannot be used, in words that a person can act on; `StoreError`.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class OfRegistry:
    """The versions that the stores keep."""

    stores: Stores
    pipeline: Pipeline
    keyring: Keyring

    def find(self, shard: ShardId, wanted: str) -> FoundVersion:
        """Verified by the registry, then opened."""
        found = Registry(self.stores, self.pipeline, self.keyring).find(shard, wanted)
        _, model = open_version(found.sealed, found.version.id, self.pipeline, shard, self.keyring)
        return FoundVersion(found.version.id, model, found.family)


def in_thread(work: Callable[[], None]) -> None:
    """In a thread of its own, which the end of the process does not wait for."""
    threading.Thread(target=work, name="promotion", daemon=True).start()


@dataclasses.dataclass(slots=True)
class _Underway:
    asked: Asked
    since_s: float
    busy: bool = True
    came: Promote | Refused | None = None
    error: str = ""
    """Of the store, the last time."""


class Promotions:
    """What is on its way to each shard of one worker."""

    def __init__(self, versions: Versions | None, run: Run = in_thread, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._versions = versions
        self._run = run
        self._clock_s = clock_s
        self._underway: dict[ShardId, _Underway] = {}

    def come_for(self, id_: ShardId, asked: Asked, serving: str) -> Promote | Refused | None:
        """What has come of a request, whose version must be another than the one that serves; None: it is on its way."""
        if self._versions is None:
            return refused(asked, "this worker keeps no versions")
        underway = self._underway.get(id_)
        if underway is None or underway.asked.token != asked.token:
            underway = self._underway[id_] = _Underway(asked, self._clock_s())
            self._begin(id_, underway, self._versions, serving)
        elif not underway.busy and underway.came is None:
            underway.busy = True
            self._begin(id_, underway, self._versions, serving)
        if (came := underway.came) is None and self._clock_s() - underway.since_s >= WAIT_S:
            came = refused(
                asked, f"its model could not be had for {WAIT_S:.0f} s{f': {underway.error}' if underway.error else ''}; ask again"
            )
        if came is not None:
            del self._underway[id_]
        return came

    def forget(self, id_: ShardId) -> None:
        """The shard goes elsewhere; who owns it then begins again."""
        self._underway.pop(id_, None)

    def _begin(self, id_: ShardId, underway: _Underway, versions: Versions, serving: str) -> None:
        def work() -> None:
            try:
                underway.came = _found(versions, id_, underway.asked, serving)
            except StateError as error:
                underway.came = refused(underway.asked, str(error))
            except StoreError as error:
                underway.error = str(error)
            except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to, and a model is foreign code
                underway.came = refused(underway.asked, f"opening its model raised {raised(error)}")
            underway.busy = False

        self._run(work)


def _found(versions: Versions, id_: ShardId, asked: Asked, serving: str) -> Promote | Refused:
    found = versions.find(id_, PREVIOUS if asked.do == "rollback" else asked.version)
    if found.id == serving:
        return refused(asked, f"version {found.id} serves already")
    return Promote(
        version=found.id,
        how="rollback" if asked.do == "rollback" else "promote",
        model=found.model,
        family=found.family,
        digest=digest(found.model),
        reason=asked.reason,
        token=asked.token,
        by=asked.by,
    )


def refused(asked: Asked, detail: str) -> Refused:
    """The input of a request that cannot be done."""
    return Refused(do=asked.do, detail=cut(detail), reason=asked.reason, token=asked.token, by=asked.by)
