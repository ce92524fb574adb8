"""What became of trainings: asked for, back from the trainer, joined as a challenger, failed."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from stream_retrain.facts.telling import Counter, Level

__all__ = ["ChallengerJoined", "ChallengerWaits", "TrainingFailed", "TrainingRequested"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequested:
    """A challenger is to be trained off the hot path; the champion goes on meanwhile."""

    kind: ClassVar[str] = "training.requested"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("trainings", value="requested")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    training: int
    challenger: str
    cause: str
    generation: int

    @property
    def sentence(self) -> str:
        return f"training {self.training} of challenger {self.challenger} was requested"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerJoined:
    """A challenger came back from the trainer and races from this event on."""

    kind: ClassVar[str] = "training.joined"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("trainings", value="joined")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    training: int
    duel: int
    challenger: str
    lessons: int
    """What it learned from: rows times passes."""
    learned_through: int
    """The last offset the trainer taught it."""
    caught_up: int
    """Rows it was taught after that, before it joined."""
    gap: bool
    """Whether rows between are missing in it, because the window was trimmed meanwhile."""
    generation: int
    digest: str
    """Of the model as it came back, caught up: names the artifact that a replay is given in its place."""

    @property
    def sentence(self) -> str:
        return f"challenger {self.challenger} of training {self.training} joined duel {self.duel} after learning {self.lessons:,} rows"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerWaits:
    """A challenger came back from the trainer during another rule's duel: it waits for its end, and learns every event meanwhile."""

    kind: ClassVar[str] = "training.waits"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("trainings", value="waits")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    training: int
    challenger: str
    lessons: int
    learned_through: int
    caught_up: int
    gap: bool
    generation: int
    digest: str
    """Each as in `ChallengerJoined`, which follows when it joins."""

    @property
    def sentence(self) -> str:
        return f"challenger {self.challenger} of training {self.training} waits for the end of a duel after learning {self.lessons:,} rows"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed:
    """A training ended without a model; the champion goes on."""

    kind: ClassVar[str] = "training.failed"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("trainings", value="failed")
    level: ClassVar[Level] = "error"

    offset: int
    time_s: float
    training: int
    challenger: str
    error: str

    @property
    def sentence(self) -> str:
        return f"training {self.training} of challenger {self.challenger} failed: {self.error}"
