"""Why the succession of a shard does something."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Cause"]


class Cause(NamedTuple):
    """Where and why something is done."""

    offset: int
    time_s: float
    rule: int
    trigger: str
    events_seen: int
