"""Challengers that the shard trains on the spot, from the events that it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_retrain.core.contest.challenger import Challenger
from stream_retrain.core.contest.change_point import events_since_worse
from stream_retrain.core.contest.training import copy_of, train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.values import Features, Learned

__all__ = ["trained_here"]


def trained_here(
    pipeline: Pipeline, challenger: Challenger, champion: Any, recent: Sequence[tuple[Features, Any, float]]
) -> tuple[Any, int]:
    """A challenger that needs no more than the recent events (features, label, error), and how many of them it learned."""
    model = copy_of(champion) if challenger.start == "champion" else challenger.begin(pipeline.model, pipeline.task)
    window, rows = challenger.window, 0
    if window is not None:
        errors = [error for _, _, error in recent]
        rows = events_since_worse(pipeline.task, errors) if window.since_change else min(window.rows or 0, len(recent))
    train(model, [Learned(0, 0.0, x, y, None) for x, y, _ in recent[len(recent) - rows :]])
    return model, rows
