"""When a copy of the served model is wanted: as a generation begins to serve, and as it stops.

A copy costs as much as a checkpoint of the model. So none is made before somebody says that versions are kept, and how a copy is made
(`copy`): a backtest, a verifier and a benchmark pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stream_retrain.core.contest.commands import Keep

__all__ = ["Keeping"]


class Keeping:
    """Who serves, for whoever keeps versions."""

    __slots__ = ("_generation", "_model", "copy")

    def __init__(self, generation: int, model: Any) -> None:
        self.copy: Callable[[Any], Any] | None = None
        """None: nobody keeps versions."""
        self._generation = generation
        self._model = model

    def serves(self, generation: int, model: Any) -> list[Keep]:
        """From the next question on another generation serves, perhaps: what is to be kept of it and of the one before it."""
        if generation == self._generation:
            self._model = model
            return []
        kept = [*self.as_it_is(), *self._of(generation, model)]
        self._generation, self._model = generation, model
        return kept

    def as_it_is(self) -> list[Keep]:
        """The generation that serves, as it is now."""
        return self._of(self._generation, self._model)

    def _of(self, generation: int, model: Any) -> list[Keep]:
        return [] if self.copy is None else [Keep(generation=generation, copy=self.copy(model))]
