"""What a model that adapts by itself did, as facts: its members' restarts, and a change of the leading one.

Any River estimator is heard that offers two things, itself or as the last step of a River pipeline: `changes`, a number that stays
the same while neither happened, and `standing()` with `members`, `weights`, `restarts`, `failures` and `leader`
(`stream_retrain.models.adaptive.Adaptive` says it in types).
"""

from __future__ import annotations

from typing import Any

from stream_retrain.core.messages import LeaderChanged, MemberRestarted

__all__ = ["Members"]


class Members:
    """The members of the model that serves, as last told."""

    def __init__(self, model: Any, snapshot: dict[str, Any] | None = None) -> None:
        while hasattr(model, "_last_step"):
            model = model._last_step
        self.adapts = hasattr(model, "changes") and hasattr(model, "standing")
        self._model = model
        standing = model.standing() if self.adapts else None
        state = snapshot or {}
        self._changes: int = state.get("changes", model.changes if self.adapts else 0)
        self._restarts: tuple[int, ...] = state.get("restarts", standing.restarts if standing else ())
        self._leader: str = state.get("leader", standing.leader if standing else "")

    def changed(self) -> bool:
        """Whether there is something to tell; cheap."""
        return bool(self._model.changes != self._changes)

    def tell(self, offset: int, time_s: float, generation: int) -> list[Any]:
        """What happened since the last time."""
        standing = self._model.standing()
        facts: list[Any] = []
        for member, before, now in zip(standing.members, self._restarts, standing.restarts, strict=True):
            if now != before:
                facts.append(MemberRestarted(offset=offset, time_s=time_s, member=member, restarts=now, generation=generation))
        if standing.leader != self._leader:
            weights = dict(zip(standing.members, standing.weights, strict=True))
            change = LeaderChanged(
                offset=offset, time_s=time_s, before=self._leader, now=standing.leader, weights=weights, generation=generation
            )
            facts.append(change)
        self._changes, self._restarts, self._leader = self._model.changes, standing.restarts, standing.leader
        return facts

    def standing(self) -> Any:
        """How the members stand now; None where the model does not say."""
        return self._model.standing() if self.adapts else None

    def snapshot(self) -> dict[str, Any]:
        """What is needed to go on from here."""
        return {"changes": self._changes, "restarts": self._restarts, "leader": self._leader}
