"""What a model that adapts by itself tells about itself, without saying what it is.

Any River estimator may offer `standing()`; whoever serves it (a shard, a benchmark, a notebook) reads restarts, weights and the
leading member from there and need not know its class. Everything in it is a function of what the model has learned.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = ["Adaptive", "Standing", "standing_of"]


class Standing(NamedTuple):
    """How the members of a model stand now; the tuples go by `members`, whose names and number never change."""

    members: tuple[str, ...]
    weights: tuple[float, ...]
    """Each member's share in the answer; they add up to 1."""
    restarts: tuple[int, ...]
    """How often each has started afresh, by its own alarm or because it raised."""
    failures: tuple[int, ...]
    """How often each raised and was left out of an answer or a lesson."""
    leader: str
    """The leading member; another must weigh twice as much to take its place, so that equals do not take turns."""
    changes: int
    """Restarts and changes of the leader so far: while it stays the same, neither happened."""


@runtime_checkable
class Adaptive(Protocol):
    """A River estimator that adapts by itself and can say how it stands."""

    @property
    def changes(self) -> int:
        """Restarts and changes of the leader so far; cheap enough to be read at every event."""
        ...

    def standing(self) -> Standing:
        """Members, weights, restarts, failures and leader."""
        ...


def standing_of(model: Any) -> Standing | None:
    """The standing of a model, or of the last step of a pipeline; None where it does not offer one."""
    while hasattr(model, "_last_step"):
        model = model._last_step
    return model.standing() if isinstance(model, Adaptive) else None
