"""What a model that adapts by itself did, as facts: its members' restarts, and a change of the leading one.

Any River estimator is asked that offers two things, itself or as the last step of a River pipeline: `changes`, a number that stays
the same while neither happened, and `standing()` with `members`, `weights`, `restarts`, `failures` and `leader`
(`stream_retrain.models.adaptive.Adaptive` says it in types).

Members that are about as good as each other take turns. So a change of the leader is published where none was within the last
`CALM_EVENTS`; those that follow are counted only (`LeaderWavered`), and who leads after that time is published, if it is another.
"""

from __future__ import annotations

import math
from typing import Any, Final

from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.observation import Standing
from stream_retrain.facts.shard import LeaderChanged, LeaderWavered, MemberRestarted, ShardFact
from stream_retrain.models.probabilities import last_step

__all__ = ["Adaptation"]

CALM_EVENTS: Final = 1_000
_ADAPTATION: Final = Part.of(
    "adaptation",
    *("changes", "restarts", "leader", "told", "calm_in"),
    schema=2,
    migrations={1: lambda values: {**values, "told": values["leader"], "calm_in": 0}},
)


class Adaptation:
    """The members of the model that serves, as last told."""

    def __init__(self, model: Any, saved: Saved | None = None) -> None:
        model = last_step(model)
        self.adapts = hasattr(model, "changes") and hasattr(model, "standing")
        self._model = model
        standing = self.standing()
        fresh = {"changes": model.changes, "restarts": standing.restarts, "leader": standing.leader} if standing else _NONE
        fresh = {**fresh, "told": fresh["leader"], "calm_in": 0}
        values = fresh if saved is None else _ADAPTATION.load(saved)
        if len(values["restarts"]) != len(fresh["restarts"]):  # of a release in which this model told nothing
            values = {**fresh, "calm_in": values["calm_in"]}
        self._changes: int = values["changes"]
        self._restarts: tuple[int, ...] = values["restarts"]
        self._leader: str = values["leader"]
        self._told: str = values["told"]
        """The leader that was published last."""
        self._calm_in: int = values["calm_in"]
        """Events before the next change is published."""

    def changed(self) -> bool:
        """Whether there is something to tell; cheap. To be called at every label."""
        if self._calm_in:
            self._calm_in -= 1
            if not self._calm_in and self._leader != self._told:
                return True
        return bool(self._model.changes != self._changes)

    def room(self) -> float:
        """How many labels may pass before one at which there is something to tell, unless the model changes."""
        return self._calm_in if self._calm_in and self._leader != self._told else math.inf

    def passed(self, labels: int) -> None:
        """So many labels have passed, fewer than there was room for, and the model did not change."""
        self._calm_in = max(0, self._calm_in - labels)

    def tell(self, offset: int, time_s: float, generation: int) -> list[ShardFact]:
        """What happened since the last time."""
        standing = self._model.standing()
        facts: list[ShardFact] = []
        for member, before, now in zip(standing.members, self._restarts, standing.restarts, strict=True):
            if now != before:
                facts.append(MemberRestarted(offset=offset, time_s=time_s, member=member, restarts=now, generation=generation))
        leader = standing.leader
        if self._calm_in and leader != self._leader:
            facts.append(LeaderWavered(offset=offset, time_s=time_s, now=leader, generation=generation))
        elif not self._calm_in and leader != self._told:
            weights = dict(zip(standing.members, standing.weights, strict=True))
            facts.append(LeaderChanged(offset=offset, time_s=time_s, before=self._told, now=leader, weights=weights, generation=generation))
            self._told, self._calm_in = leader, CALM_EVENTS
        self._changes, self._restarts, self._leader = self._model.changes, standing.restarts, leader
        return facts

    def standing(self) -> Standing | None:
        """How the members stand now; None where the model does not say."""
        return self._model.standing() if self.adapts else None

    def snapshot(self) -> Saved:
        """What is needed to go on from here."""
        return _ADAPTATION.save(changes=self._changes, restarts=self._restarts, leader=self._leader, told=self._told, calm_in=self._calm_in)


_NONE: Final[Saved] = {"changes": 0, "restarts": (), "leader": ""}
