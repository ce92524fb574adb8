"""What is saved of a shard, key by key; and what a fresh one begins with."""

from __future__ import annotations

from typing import Final

from stream_retrain.core.state import Part, Saved

__all__ = ["FRESH", "SHARD"]


def _tokens_of_none(values: Saved) -> Saved:
    """Schema 1 knew requests by number; those it had are no longer there to be met again."""
    kept = {key: value for key, value in values.items() if key not in ("requests_through", "requests_taken")}
    return {**kept, "requests_taken": ()} if "requests_through" in values else kept


SHARD: Final = Part.of(
    "shard",
    *("events_seen", "questions_seen", "newest_time_s", "questions", "scores", "inputs", "requests_taken", "reactions"),
    *("classes", "failed_through", "intake"),
    schema=3,
    migrations={
        1: lambda values: {**_tokens_of_none(values), "classes": (), "failed_through": -1},
        2: lambda values: {**values, "intake": None},
    },
)


FRESH: Final[Saved] = {
    "events_seen": 0,
    "questions_seen": 0,
    "newest_time_s": float("-inf"),
    **dict.fromkeys(("questions", "scores", "reactions", "intake")),
    "inputs": (),
    "requests_taken": (),
    "classes": (),
    "failed_through": -1,
}
