"""What became of a memory ceiling: reached, and models pruned for it; and a process that is near its own limit."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from stream_retrain.facts.telling import Counter, Level

__all__ = ["MemoryHigh", "MemoryReached", "ModelPruned"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReached:
    """The models of a shard were measured, and take more memory than a rule allows; told again only after they took less, or a reaction."""

    kind: ClassVar[str] = "memory.reached"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("memory_reached")
    level: ClassVar[Level] = "warning"

    offset: int
    time_s: float
    model_bytes: int
    """About what the largest model takes."""
    shard_bytes: int
    """All models of the shard together: those of a duel, and those that wait for its end."""
    generation: int

    @property
    def sentence(self) -> str:
        return f"the largest model takes about {self.model_bytes:,} bytes, all of the shard {self.shard_bytes:,}: more than is allowed"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelPruned:
    """Models gave memory back: trees stopped growing at some leaves, keys were dropped."""

    kind: ClassVar[str] = "memory.pruned"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("models_pruned")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    bytes_before: int
    bytes_after: int
    """Of all models of the shard."""
    generation: int

    @property
    def sentence(self) -> str:
        return f"models were pruned from about {self.bytes_before:,} to {self.bytes_after:,} bytes"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemoryHigh:
    """The process has more than 80 % of the memory it may have; told again every minute while it has."""

    resident_bytes: int
    bytes_max: int
