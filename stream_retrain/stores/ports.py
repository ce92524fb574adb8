"""The ports of the stores: what a shard keeps outside the process, and who may write it.

Every method raises `StoreError` if the store cannot be reached or refuses; the message says which, and what to look at.

Windows and checkpoints (`WindowStore`, `CheckpointStore`). Ownership is a number: `CheckpointStore.claim` returns an epoch greater than
every one before it for that shard. Each write carries the epoch that its writer claimed. A write with an older epoch raises
`StaleEpochError` and changes nothing (law 5).

Jobs (`JobStore`): the trainings that another process carries out. A shard has at most one job. Its token is made up by the shard's
owner. Each step is refused once the job has been replaced:

1. The shard's owner asks for the job, under a new token and perhaps with a sealed base model.
2. A trainer takes it, only one and only once, and sends heartbeats. If they stop, the owner asks again, under another token.
3. The trainer ends the job, with a sealed model or with an error, or gives it back.
4. The owner reads the ending, verifies the seal, and drops the job.

A job expires `expire_s` after its last step or heartbeat. Models are sealed.

Requests (`RequestStore`): what people and programs ask of a shard while it runs.

1. A program asks, under a token (`facts.request`). The request waits; one of a token that waits already changes nothing.
2. The shard's owner reads what waits, and puts it into the shard's state, with the tokens (`core.contest.inputs`).
3. Once a checkpoint contains that state, the owner drops the requests. If it died between 2 and 3, it reads a request again, and
   recognises it by its token.

Parts (`PartStore`): what of a checkpoint does not change between two of them is kept once, by its digest; the sealed checkpoint says
which of them it needs, and so vouches for them (`codec.state`). The owner drops those that neither of the last two needs.

A shard that somebody has paused (`pause`) takes nothing until somebody resumes it, whoever owns it then. One that is paused because too
many records were refused (`lane.intake`) goes on where somebody said that it may (`resume`). Neither is an input: what it learns is
the same, however long it waited.

Artifacts (`ArtifactStore`): the challengers that joined a shard, sealed, for whoever replays it later. A worker writes them and never
reads them.

Versions (`VersionStore`, `ModelStore`): every model that served a shard or was trained for it (`stores.version_ports`).

Workers (`WorkerStore`): how each worker of a consumer group stands, told every few seconds, for whoever asks. It expires by itself.

Others can write to a store, so whatever is read there is checked: what cannot be read is left out and told (a window's chunk, a request)
or raises `StateError` (a job).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.version_ports import ModelStore, VersionStore
from stream_retrain.stores.window import WindowChunk
from stream_retrain.stores.worker_status import WorkerStatus

__all__ = [
    "PAUSE_TOKENS_MAX",
    "REQUESTS_MAX",
    "STATUS_EXPIRE_S",
    "WORKERS_MAX",
    "ArtifactLimits",
    "ArtifactStore",
    "CheckpointStore",
    "Ending",
    "Evicted",
    "JobState",
    "JobStatus",
    "JobStore",
    "JobTaken",
    "Looked",
    "PartStore",
    "RequestStore",
    "Stores",
    "WindowLimits",
    "WindowSpan",
    "WindowStore",
    "WorkerStore",
    "WorkerTold",
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores that a worker needs, from one place."""

    window: WindowStore
    checkpoints: CheckpointStore
    parts: PartStore
    jobs: JobStore
    requests: RequestStore
    artifacts: ArtifactStore
    workers: WorkerStore
    versions: VersionStore
    models: ModelStore
    ping: Callable[[], None]
    """Raises `StoreError` if the store does not answer."""
    objects: ModelStore | None = None
    """Where copies of models belong; None: in `models`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """How much a window keeps. Both limits hold; a chunk is dropped only when every row of it is beyond one of them."""

    rows_max: int = 10_000
    age_max_s: float | None = None
    """Event time, counted back from the newest row of the chunk appended; None: no limit by age."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpan:
    """What a window holds now."""

    rows: int
    first_offset: int
    last_offset: int
    oldest_time_s: float
    newest_time_s: float


class WindowStore(Protocol):
    """The last labelled events of each shard, in order of offset."""

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        """Append a chunk of rows and trim the window; return how many rows were new.

        Rows at or below the last offset of the window are skipped, so appending twice changes nothing, even if the rows were cut into
        other chunks the first time. `after` is an offset that the window has reached before: if the window ends below it, the store
        has lost rows, nothing is appended, and `WindowGapError` is raised. Raises `StaleEpochError`.
        """
        ...

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        """The last `rows_max` rows, oldest first: those not older than `since_time_s` and not beyond `through_offset`."""
        ...

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        """The first `rows_max` rows beyond `offset`, oldest first; rows that were trimmed meanwhile are missing."""
        ...

    def span(self, shard: ShardId) -> WindowSpan | None:
        """What the window holds; None if it is empty."""
        ...

    def clear(self, shard: ShardId, epoch: int) -> bool:
        """Delete every row; whether there were any. Raises `StaleEpochError`."""
        ...


class CheckpointStore(Protocol):
    """The newest checkpoints of each shard (at least the last two), as sealed bytes."""

    def claim(self, shard: ShardId) -> int:
        """Become the shard's owner: a new epoch, greater than any before it; owners with older epochs can no longer write.

        Raises `StateError` where the shard belongs to another consumer group.
        """
        ...

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        """Store a checkpoint taken at `offset`, atomically; the one before it is kept.

        Saving again at the same offset replaces it. Raises `StaleEpochError`, and `StoreError` for an offset below the stored one.
        """
        ...

    def load(self, shard: ShardId) -> list[bytes]:
        """The stored checkpoints, newest first; empty if there are none."""
        ...

    def delete(self, shard: ShardId, epoch: int) -> None:
        """Delete every checkpoint of the shard. Raises `StaleEpochError`."""
        ...


class PartStore(Protocol):
    """The parts of each shard's checkpoints, by the digest of their bytes."""

    def keep(self, shard: ShardId, epoch: int, parts: Mapping[str, bytes]) -> int:
        """Store these, and leave the others; how many there are now. Raises `StaleEpochError`."""
        ...

    def load(self, shard: ShardId) -> dict[str, bytes]:
        """All of them; whoever uses one compares its digest."""
        ...

    def drop(self, shard: ShardId, epoch: int, digests: Collection[str]) -> None:
        """Delete these. Raises `StaleEpochError`."""
        ...


JobStatus: TypeAlias = Literal["waiting", "running", "given_back", "ended"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobTaken:
    """A job that a trainer has begun, with the sealed model to start from."""

    base: bytes | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a job ended: with a sealed model, or with an error and whether another attempt may succeed."""

    sealed: bytes | None = dataclasses.field(default=None, repr=False)
    error: str | None = None
    again: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """The state of a job."""

    token: str
    status: JobStatus
    rows: int
    rows_total: int | None
    heartbeat_age_s: float
    """Seconds since its last step or heartbeat, by the store's clock."""
    ending: Ending | None


class JobStore(Protocol):
    """One job a shard, between the shard's owner and a trainer. A token names one asking for it, for one attempt."""

    def ask(self, shard: ShardId, epoch: int, token: str, expire_s: float, *, base: bytes | None = None) -> None:
        """Ask for a job; it replaces the shard's job, if there is one. Raises `StaleEpochError`."""
        ...

    def take(self, shard: ShardId, token: str) -> JobTaken | None:
        """Begin the job; None if it was dropped or replaced, or somebody has taken it before."""
        ...

    def heartbeat(self, shard: ShardId, token: str, rows: int, rows_total: int | None) -> bool:
        """Report that the job is running, and its progress; False if it was dropped, replaced, given back or ended."""
        ...

    def end(self, shard: ShardId, token: str, ending: Ending | None) -> bool:
        """End the job, or give it back (None): then its owner may ask again. False as for `heartbeat`."""
        ...

    def look(self, shard: ShardId) -> JobState | None:
        """The state of the shard's job; None if there is no job. Raises `StateError` where it cannot be read."""
        ...

    def drop(self, shard: ShardId, token: str) -> None:
        """Delete the job, if it is still the shard's."""
        ...


REQUESTS_MAX: Final = 100
"""Requests that may wait for a shard."""
PAUSE_TOKENS_MAX: Final = 100
"""Of the pauses and resumes of a shard so many are remembered, for a week: the same one again does nothing."""


class Looked(NamedTuple):
    """What is asked of a shard now."""

    waiting: list[Asked]
    """The requests that were not dropped, oldest first."""
    paused: Asked | None
    """Who paused it, and why; None: nobody did, or it was resumed."""
    resumed: int | None
    """The offset of the last `resume`; None where there is none, or what is stored is none."""


class RequestStore(Protocol):
    """The requests that wait for each shard, in the order in which they were asked; and whether it is paused."""

    def ask(self, shard: ShardId, asked: Asked) -> bool:
        """Add a request, fitted (`facts.request.fitted`); False where one of its token waits already. Raises `RequestsFullError`."""
        ...

    def look(self, shard: ShardId) -> Looked:
        """What waits; what cannot be read is dropped and told."""
        ...

    def drop(self, shard: ShardId, requests: Iterable[Asked]) -> None:
        """Delete the requests of these tokens, if they still wait."""
        ...

    def pause(self, shard: ShardId, asked: Asked) -> bool:
        """Have nothing taken until `resume`; False where it is paused already, or where this token was had."""
        ...

    def resume(self, shard: ShardId, asked: Asked, offset: int | None = None) -> bool:
        """Undo `pause`, and let a shard go on that is paused for its refused records before `offset`; whether that changed anything."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactLimits:
    """How much is kept of a shard's artifacts. Both limits hold; the one just kept always stays."""

    bytes_max: int = 64_000_000
    age_max_s: float | None = None
    """By the store's clock, since it was kept; None: no limit by age."""


class Evicted(NamedTuple):
    """What was dropped to stay within the limits."""

    artifacts: int = 0
    bytes: int = 0


class ArtifactStore(Protocol):
    """The artifacts of each shard by name: sealed models. They are never changed; the oldest are dropped first."""

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes, limits: ArtifactLimits) -> Evicted:
        """Keep an artifact, and drop what is beyond the limits; one of the same name is replaced. Raises `StaleEpochError`."""
        ...

    def load(self, shard: ShardId, name: str) -> bytes | None:
        """The artifact of that name; None if it is not there, or not there any more."""
        ...


STATUS_EXPIRE_S: Final = 15.0
"""How long it is known how a worker stood."""
WORKERS_MAX: Final = 1_000
"""Workers of a group whose status is kept."""


class WorkerTold(NamedTuple):
    """How a worker stood, and how long ago it said so, by the store's clock."""

    status: WorkerStatus
    age_s: float


class WorkerStore(Protocol):
    """How the workers of each consumer group stand; what a worker said is forgotten `STATUS_EXPIRE_S` later."""

    def tell(self, group: str, status: WorkerStatus) -> None:
        """Say how a worker stands; what its instance said before is replaced."""
        ...

    def all(self, group: str) -> list[WorkerTold]:
        """What is known, by instance; what cannot be read is left out."""
        ...

    def drop(self, group: str, instance: str) -> None:
        """Forget a worker that has stopped."""
        ...
