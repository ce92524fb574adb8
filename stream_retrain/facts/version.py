"""Versions: every model that served a shard, or was trained for it, or was brought in from outside; with what is known of it.

An id is text, and the same everywhere:

    P-gN               generation N of the shard of partition P
    P-tN               the challenger that training N of that shard brought, as it came
    import-DIGEST12    a model brought in from outside, which is of no shard and can serve any

A shard's aliases are read from its versions: `champion` serves, `previous` served before it, `challenger` is the one that a training
brought and that races now.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.values import ShardId

__all__ = [
    "ALIASES",
    "Alias",
    "Artifact",
    "ArtifactState",
    "Came",
    "Ended",
    "Moment",
    "Quality",
    "Software",
    "TrainedOn",
    "Version",
    "aliases_of",
    "generation_id",
    "import_id",
    "imports_of",
    "in_order",
    "is_version_id",
    "partition_of",
    "training_id",
]

Came: TypeAlias = Literal["new", "reset", "lead", "promoted", "rolled_back", "warm", "trained", "imported", "restored"]
"""How a version came to be: the shard's first; after a reset; by a change of lead; by hand; by a warm start; from the trainer; from
outside; or it served before anybody kept versions."""
Ended: TypeAlias = Literal["reset", "lead", "promoted", "rolled_back", "rejected", "undecided", "failed", "superseded", "begun_anew"]
"""What ended it. Of a generation: what took its place, or that the shard lost its state and began anew. Of a training: what became of
its challenger."""
ArtifactState: TypeAlias = Literal["none", "pending", "kept", "failed", "dropped"]
"""There is no copy of the model; it waits for the object store; it is where it belongs; it is damaged or lost; it was beyond a limit."""
Alias: TypeAlias = Literal["champion", "challenger", "previous"]
ALIASES: Final[tuple[Alias, ...]] = ("champion", "challenger", "previous")
IMPORTED: Final = "imported"
_ID: Final = re.compile(r"(\d{1,9})-[gt]\d{1,15}|import-[0-9a-f]{12}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened: the offset of the event with which it took effect, its event time, and the worker's clock."""

    offset: int
    time_s: float | None
    wall_s: float | None
    """Seconds since the epoch, by the clock of the worker that first told it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainedOn:
    """What a trainer taught a model."""

    window: str = ""
    """As the challenger declares it."""
    through_offset: int | None = None
    """The last offset that the shard had learned when it was asked for."""
    lessons: int | None = None
    """Rows times passes."""
    learned_through: int | None = None
    """The last offset that the trainer taught it."""
    caught_up: int = 0
    """Rows it was taught after that, before it joined."""
    gap: bool = False
    """The window was trimmed meanwhile, and rows between are missing in it."""
    seconds: float | None = None
    source: str = ""
    """Where no shard's window was learned: the file or the range of a topic."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the shard's metrics said, by name of the metric; None: they said no number yet."""

    before: dict[str, float | None] = dataclasses.field(default_factory=dict)
    """The rolling ones, just before it began to serve: those of the version before it."""
    since: dict[str, float | None] = dataclasses.field(default_factory=dict)
    """The rolling ones, as last seen while it served."""
    events_before: int = 0
    """Labelled events of the shard when it began to serve, as last seen."""
    events: int = 0
    """Labelled events while it served, as last seen."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """By what a model was made: it is opened under the same River and Python only."""

    stream_retrain: str = ""
    river: str = ""
    python: str = ""
    numpy: str = ""
    state_schema: int = 0
    """Of the layout of models and of the arithmetic of the project's own (`codec.checkpoint.STATE_SCHEMA`)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The signed copy of a model."""

    name: str = ""
    """Its id and the digest of its bytes: another copy has another name."""
    bytes: int = 0
    state: ArtifactState = "none"
    learned_through: int | None = None
    """The last offset that the copy has learned."""
    place: str = ""
    """"objects": it is in the object store; empty: it is in the store of the shards, or waits there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version, and what is known of it."""

    id: str
    pipeline: str
    topic: str
    partition: int | None
    """Of the shard; None: of none."""
    came: Came
    generation: int | None = None
    training: int | None = None
    """The training that brought it, or whose challenger it was."""
    challenger: str = ""
    """The name it raced under."""
    family: str = ""
    """The challenger it came as, where it is not the pipeline's own model."""
    began: Moment | None = None
    """Of a generation, when it began to serve; of a training, when it was asked for; of an import, when it was brought in."""
    ended: Moment | None = None
    """Of a generation, when it stopped serving; of a training, when its duel ended or it failed."""
    ended_by: Ended | None = None
    cause: str = ""
    """The trigger, or the words of whoever asked."""
    parent: str = ""
    """The version that it went on from; empty: it began from nothing, or from what is no version."""
    replaced: str = ""
    """The version that served before it."""
    duel: int | None = None
    loss: str = ""
    """By which loss its duel was decided."""
    duel_events: int = 0
    standings: tuple[ContestantStanding, ...] = ()
    """Of its duel: when it took the lead, or at the end."""
    won_by: float | None = None
    """The e-value by which it took the lead; None: it did not, or not by evidence."""
    trained_on: TrainedOn | None = None
    quality: Quality = dataclasses.field(default_factory=Quality)
    by: str = ""
    """Who asked for it, and through which door; empty: a rule of the pipeline."""
    reason: str = ""
    token: str = ""
    pipeline_digest: str = ""
    model_digest: str = ""
    """SHA-256 of the model as it is kept."""
    software: Software = dataclasses.field(default_factory=Software)
    artifact: Artifact = dataclasses.field(default_factory=Artifact)
    error: str = ""
    """Why its training failed, or its artifact cannot be had."""

    @property
    def serves(self) -> bool:
        """Whether it serves now."""
        return self.generation is not None and self.ended is None


def generation_id(partition: int, generation: int) -> str:
    """The id of a generation."""
    return f"{partition}-g{generation}"


def training_id(partition: int, training: int) -> str:
    """The id of the challenger of a training."""
    return f"{partition}-t{training}"


def import_id(model_digest: str) -> str:
    """The id of a model brought in from outside, by the SHA-256 of its bytes."""
    return f"import-{model_digest[:12]}"


def is_version_id(text: str) -> bool:
    """Whether a text is the id of a version, there or not."""
    return _ID.fullmatch(text) is not None


def partition_of(text: str) -> int | None:
    """The partition of a version's id; None where it is of no shard, or no id."""
    found = _ID.fullmatch(text)
    return int(found[1]) if found is not None and found[1] is not None else None


def imports_of(pipeline: str) -> ShardId:
    """Under what the models brought into a pipeline are stored: no shard has such a partition."""
    return ShardId(pipeline, IMPORTED, -1)


def aliases_of(versions: Iterable[Version]) -> dict[Alias, str]:
    """The aliases of one shard that name something now, and the ids of what they name."""
    found: dict[Alias, str] = {}
    known = {version.id: version for version in versions}
    served = [version for version in known.values() if version.generation is not None and version.began is not None]
    serving = [version for version in served if version.serves]
    if serving:
        champion = max(serving, key=lambda version: version.generation or 0)
        found["champion"] = champion.id
        if champion.replaced in known:
            found["previous"] = champion.replaced
    racing = [version for version in known.values() if version.generation is None and version.duel is not None and version.ended is None]
    if racing:
        found["challenger"] = max(racing, key=lambda version: version.training or 0).id
    return found


def in_order(versions: Iterable[Version]) -> list[Version]:
    """By when each began; trainings beside the generations of their time."""
    return sorted(versions, key=lambda each: (_began(each), each.generation is None, each.generation or each.training or 0, each.id))


def _began(version: Version) -> float:
    if version.began is None:
        return float("-inf")
    return float(version.began.offset) if version.partition is not None else version.began.wall_s or 0.0
