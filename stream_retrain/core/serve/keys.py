"""What a model with a model for each key tells of itself: any model that offers `keys_held` and `segments`, itself or as the last step of a
River pipeline (`stream_retrain.models.PerKey`)."""

from __future__ import annotations

from typing import Any

from stream_retrain.facts.observation import KeysHeld
from stream_retrain.models.probabilities import last_step
from stream_retrain.models.segments import Segment

__all__ = ["keys_held_by", "segments_of"]


def keys_held_by(model: Any) -> KeysHeld | None:
    """How many keys have a model; None where there is one for all."""
    held: KeysHeld | None = getattr(last_step(model), "keys_held", None)
    return held


def segments_of(model: Any) -> list[Segment]:
    """The segments of models that were put away."""
    segments: list[Segment] = getattr(last_step(model), "segments", None) or []
    return segments
