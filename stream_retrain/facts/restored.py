"""What a shard was restored from, where the log alone does not tell."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, TypeAlias

from stream_retrain.facts.telling import Counter, Level

__all__ = ["RestoredFrom", "ShardRestored"]

RestoredFrom: TypeAlias = Literal["checkpoint", "previous", "window", "earliest", "latest", "new", "warm"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ShardRestored:
    """The first decision of a lane whose state the log and the inputs alone do not determine, or may not: where it comes from.

    It stands before everything else that the lane puts out, so that whoever replays the topic begins again as the lane did. A lane
    is silent about it where nothing is to be known: a new one that begins with the first record of its topic, and one that goes on from a
    checkpoint of the same pipeline and the same software, if nothing reaches its shard from outside.
    """

    kind: ClassVar[str] = "shard.restored"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("restores_told", ("how",))
    level: ClassVar[Level] = "debug"

    offset: int
    time_s: float
    how: RestoredFrom
    """As in `facts.worker.Restored`."""
    from_offset: int
    """Where its state begins: the offset of the checkpoint; or the first offset that a fresh model learned."""
    training: int | None
    """The training it waited for when it went live."""
    request: str
    """The token of the last request it had had by then; empty: none."""
    generation: int
    differs: tuple[str, ...] = ()
    """Parts of the pipeline that are others than when the checkpoint was written; what was saved of the others goes on."""
    model: str = ""
    """The name of the artifact that is the model it begins with; empty: it goes on, or begins untrained."""
    origin: str = ""
    """Where that model is from: of a warm start the shard it is of and its offset; of a pipeline's `start` the import, or the file."""

    @property
    def sentence(self) -> str:
        match self.how:
            case "checkpoint":
                changed = f", under a pipeline that has changed in its {', '.join(self.differs)}" if self.differs else ""
                return f"the shard goes on from its checkpoint at offset {self.from_offset}{changed}"
            case "previous":
                return f"the shard goes on from the checkpoint before its newest one, at offset {self.from_offset}"
            case "window":
                return "the shard begins with a model that was trained on its window"
            case "earliest":
                first = f", beginning with the model of {self.origin}" if self.model else ""
                return f"the shard has learned again from offset {self.from_offset} on{first}, without the inputs it had before"
            case "latest":
                with_what = f"with the model of {self.origin}" if self.model else "untrained"
                return f"the shard has lost its state, and begins {with_what} at offset {self.from_offset}"
            case "new":
                return f"the shard is new, and begins at offset {self.from_offset}"
            case "warm":
                return f"the shard is new, and begins at offset {self.from_offset} with the model of {self.origin}"
