"""What happens to a worker, as facts: the driver and the engines tell them, the views fold them.

A view is any callable that takes one; it must be quick and must not raise.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from stream_retrain.facts.callbacks import CallbacksChanged, CallbacksTold
from stream_retrain.facts.doors import DoorFact
from stream_retrain.facts.kept import KeptFact
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.request import Asked
from stream_retrain.facts.restored import RestoredFrom
from stream_retrain.facts.scheduled import ScheduleMissed, ScheduleSeen
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.store import StoreLost, StoreRegained
from stream_retrain.facts.values import ShardId

__all__ = [
    "ArtifactsEvicted",
    "Assigned",
    "CallbacksChanged",
    "CallbacksTold",
    "CheckpointFailed",
    "Checkpointed",
    "Committed",
    "GroupSeen",
    "LabelsRelayed",
    "Lagging",
    "MemoryHigh",
    "Observed",
    "Processed",
    "RelayChanged",
    "RelayState",
    "Released",
    "Restored",
    "Retrying",
    "ShardHeld",
    "StoreLost",
    "StoreRegained",
    "Tell",
    "TrainerTold",
    "TrainingWaits",
    "TransactionAborted",
    "WentLive",
    "WindowCleared",
    "WindowRefilled",
    "WindowSeen",
    "WorkerFact",
    "WorkerState",
    "WorkerStateChanged",
]

RelayState: TypeAlias = Literal["starting", "running", "degraded", "stopped"]
WorkerState: TypeAlias = Literal["starting", "restoring", "running", "degraded", "draining", "stopped", "failed"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """A batch of one shard went through; `facts` are its rare ones. `replayed`: without outputs, to catch up after a restore."""

    shard: ShardId
    records: int
    predicted: int
    learned: int
    facts: list[ShardFact]
    replayed: bool
    newest_time_s: float
    seconds: float
    stamped_s: float = math.nan
    """Kafka's timestamp of the last record, seconds since the epoch; nan where it has none."""
    delays_s: Sequence[float] = ()
    """How long after its question each answer came, in event time."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowSeen:
    """How a shard's window stands, as far as its worker knows: it remembers the last 50,000 rows of it."""

    rows: int
    """Appended to the window."""
    waiting_rows: int
    """Not appended yet: they wait for their offsets to be committed, or for the store."""
    oldest_time_s: float | None
    """Event time of the oldest row."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """How a shard stands, about once a second."""

    shard: ShardId
    offset: int
    observation: Observation
    replay_debt: int = 0
    """Records it would have to learn again if the worker died now."""
    window: WindowSeen | None = None
    """None where the pipeline has no window."""
    paused: bool = False
    """It takes nothing, because too many records were refused, or because somebody asked for it."""
    held: Asked | None = None
    """Who asked for it to be paused; None: nobody."""
    schedules: tuple[ScheduleSeen, ...] = ()
    """When its schedules in wall time are due next."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShardHeld:
    """Somebody had a shard paused, or go on: from this offset on nothing is taken, or all is again."""

    shard: ShardId
    offset: int
    asked: Asked | None
    """Who paused it; None: it goes on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lagging:
    """How far a partition is behind its newest record, about once a second."""

    shard: ShardId
    records: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GroupSeen:
    """How the partitions of the source are given out in the consumer group, a few times a minute at most."""

    partitions: int
    """Of the source."""
    unowned: int
    """Those that no member has, while the group is stable."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """A partition became this worker's. `offset` is where reading starts, `live_from` where outputs do (law 4)."""

    shard: ShardId
    offset: int
    live_from: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A shard is back: from a checkpoint at `offset`, or None.

    `how`: from the newest checkpoint; from the previous one, because the newest is broken or does not fit; trained on the
    window; learning again from the first retained offset; untrained at the committed offset; or new, as nothing was committed.
    """

    shard: ShardId
    offset: int | None
    generation: int
    how: RestoredFrom
    differs: tuple[str, ...] = ()
    """Parts of the pipeline that are others than when the checkpoint was written."""
    kept: tuple[str, ...] = ()
    """Of a changed pipeline: the parts that go on with what was saved of them."""
    dropped: tuple[str, ...] = ()
    """What was under way, and whose rule has changed or is gone."""
    questions_kept: int = 0
    """Questions that go on waiting for their labels."""
    questions_dropped: int | None = 0
    """Questions whose labels will find nothing; None: some may be, and nobody knows how many."""
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WentLive:
    """A shard has replayed up to what was committed, and is live from now on."""

    shard: ShardId
    offset: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A partition went to another worker (revoked), or was taken away (lost)."""

    shard: ShardId
    how: Literal["revoked", "lost"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """Outputs and input offsets were committed in one transaction."""

    outputs: int
    offsets: Mapping[ShardId, int]
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TransactionAborted:
    """Kafka aborted a transaction; the same outputs are sent again."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointed:
    """A shard's state at `offset` is safe in the store."""

    shard: ShardId
    offset: int
    bytes: int
    seconds: float
    at_s: float
    """Wall clock, seconds since the epoch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFailed:
    """A checkpoint could not be written; the next is tried in its time, and replay makes up for it."""

    shard: ShardId
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactsEvicted:
    """Artifacts of challengers were dropped, because they were beyond a limit: a replay that meets one of them ends there."""

    shard: ShardId
    artifacts: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowRefilled:
    """The store had lost rows of a window, and was given again what this worker keeps of it."""

    shard: ShardId
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowCleared:
    """A rebuild has emptied a window: its rows are of what the shard does not go on from."""

    shard: ShardId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainerTold:
    """How a training gets on, or that it was handed over."""

    shard: ShardId
    training: int
    rows: int
    rows_total: int | None
    caught_up_s: float | None = None
    """Where it was handed over: what the shard's own lessons took, to catch up with what came meanwhile."""
    seconds: float | None = None
    """Where it was handed over: what the training took."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWaits:
    """Nobody has taken a training for longer than `trainer_wait_s`; told again every minute until somebody does."""

    shard: ShardId
    training: int
    waited_s: float
    trainers: int
    """Those that have loaded exactly this pipeline and say so; 0: nobody will take it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStateChanged:
    """The worker as a whole is in another state, and why."""

    state: WorkerState
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """Kafka or Redis did not answer; the worker tries again after `wait_s`."""

    error: str
    wait_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LabelsRelayed:
    """How the relay of a labels topic gets on, about once a second; the counts are those since the last one."""

    relayed: int
    """Labels brought to their questions."""
    rejected: Mapping[RejectReason, int]
    """Labels sent to the dead-letter topic, by reason."""
    waiting: int
    """Labels that wait for their questions now."""
    questions: int
    """Questions whose partition is known now."""
    lag_records: int | None
    """Labels that are not read yet; None where the relay has no partition."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RelayChanged:
    """The relay of a labels topic is in another state, and why. The worker goes on whatever it is."""

    state: RelayState
    detail: str = ""


WorkerFact: TypeAlias = (
    Processed
    | Observed
    | ShardHeld
    | ScheduleMissed
    | Lagging
    | GroupSeen
    | Assigned
    | Restored
    | WentLive
    | Released
    | Committed
    | TransactionAborted
    | Checkpointed
    | CheckpointFailed
    | ArtifactsEvicted
    | MemoryHigh
    | KeptFact
    | StoreLost
    | StoreRegained
    | WindowCleared
    | WindowRefilled
    | TrainerTold
    | TrainingWaits
    | LabelsRelayed
    | RelayChanged
    | CallbacksTold
    | CallbacksChanged
    | DoorFact
    | WorkerStateChanged
    | Retrying
)

Tell: TypeAlias = Callable[[WorkerFact], None]
