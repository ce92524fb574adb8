"""The interface of a model that adapts by itself.

Any River estimator may offer `changes` and `standing()`. Its user (a shard, a benchmark, a notebook) reads restarts, weights and the
leading member there and need not know its class. Both depend only on what the model has learned.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from stream_retrain.facts.observation import Standing

__all__ = ["Adaptive", "Standing"]


@runtime_checkable
class Adaptive(Protocol):
    """A River estimator that adapts by itself and reports its members."""

    @property
    def changes(self) -> int:
        """Restarts and changes of the leader so far; cheap enough to be read at every event."""
        ...

    def standing(self) -> Standing:
        """Members, weights, restarts, failures and leader."""
        ...
