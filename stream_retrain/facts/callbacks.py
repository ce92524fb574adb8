"""What becomes of the decisions that callbacks and webhooks are called with, as facts of the process that calls them."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

__all__ = ["CallbackFact", "CallbacksChanged", "CallbacksState", "CallbacksTold", "HandlerTold"]

CallbacksState: TypeAlias = Literal["starting", "running", "degraded", "stopped"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HandlerTold:
    """How a callback or a webhook gets on; the counts are those since it was last told."""

    name: str
    called: int
    """Calls that were made, repeated ones included."""
    failed: int
    """Of those, how many failed."""
    retried: int
    """Of those, how many were another attempt at a decision."""
    dead: int
    """Decisions that became dead letters."""
    seconds: tuple[float, ...]
    """How long each call took."""
    waiting: int
    """Decisions that it has not been called with yet, or is being called with now."""
    error: str
    """What the last call that failed said; empty: the last call did not fail."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallbacksTold:
    """How callbacks and webhooks get on, about once a second."""

    handlers: tuple[HandlerTold, ...]
    lag_records: int | None
    """Decisions that are not done with; None where no partition is held."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CallbacksChanged:
    """The process that calls them is in another state, and why. The worker goes on whatever it is."""

    state: CallbacksState
    detail: str = ""


CallbackFact: TypeAlias = CallbacksTold | CallbacksChanged
