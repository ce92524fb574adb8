"""A warm start: a new shard begins with the model that serves another, and with nothing else of it.

The model is what the other shard learned of the world, its scaler and all. Windows, waiting questions, scores and detectors are of the
other shard's events, which this one never had; so are its duel, its trainings and the events it remembers. Generations begin at 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.state import Saved
from stream_retrain.errors import StateError
from stream_retrain.lane.shard import Shard

__all__ = ["WarmModel", "served_in", "state_with"]


@dataclasses.dataclass(frozen=True, slots=True)
class WarmModel:
    """A model that serves, and its family (`core.contest.duel.Contestant`)."""

    model: Any
    family: str


def served_in(saved: Saved) -> WarmModel:
    """The model that serves in a saved state: the champion, or who leads the duel. Raises `StateError` where it is no such state."""
    try:
        succession = saved["reactions"]["succession"]
        duel = succession["duel"]
        if duel is None:
            return WarmModel(succession["champion"], succession["family"])
        _, model, family = duel["contestants"][duel["test"]["served"]]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StateError(f"the saved state has no model that serves ({error!r})") from None
    return WarmModel(model, family)


def state_with(pipeline: Pipeline, warm: WarmModel) -> Saved:
    """The state of a shard that has had no event, and whose champion is that model; shares the model."""
    fresh = Shard(pipeline).snapshot()
    reactions = fresh["reactions"]
    succession = {**reactions["succession"], "champion": warm.model, "family": warm.family}
    return {**fresh, "reactions": {**reactions, "succession": succession}}
