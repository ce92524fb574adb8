"""Whether the store takes what a worker writes."""

from __future__ import annotations

import dataclasses

__all__ = ["StoreLost", "StoreRegained"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreLost:
    """The store does not answer, or refuses: the worker goes on, and what it would have to learn again grows."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoreRegained:
    """The store takes writes again."""

    away_s: float
