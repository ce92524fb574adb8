"""How the predictions in one duel are scored: by a loss of classifiers, or by the relative loss of numbers.

It is settled when the duel starts: a loss of probabilities needs them of everyone who is there; where somebody gives none, `miss` it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from stream_retrain.core.contest.evidence import Evidence, RelativeLoss
from stream_retrain.core.contest.loss import scoring_of
from stream_retrain.core.serve.predictor import gives_probabilities, has_failed
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.duel import LossName

__all__ = ["Scorer"]

_SCORER: Final = Part.of("scorer of a duel", "loss", "relative")


class Scorer:
    """Turns predictions into votes, and votes and a label into losses."""

    __slots__ = ("_loss", "_most_lost", "_relative", "name", "of_proba", "unit", "vote")

    def __init__(self, evidence: Evidence, task: str, saved: Saved) -> None:
        """As it was saved. Raises `StateError`."""
        values = _SCORER.load(saved)
        self.name: LossName = values["loss"]
        self._relative = None if values["relative"] is None else RelativeLoss(values["relative"])
        scoring = scoring_of(evidence.loss, task, probabilities=self.name != "miss")
        self.of_proba = scoring.of_proba and self._relative is None
        self.vote: Callable[[Any, Any], Any] = scoring.vote if self._relative is None else _number
        self._loss = scoring.loss
        self.unit = scoring.unit if self._relative is None else 1.0
        self._most_lost = scoring.most_lost if self._relative is None else None

    @classmethod
    def start(cls, evidence: Evidence, task: str, models: Iterable[Any]) -> Scorer:
        """For a duel between these models."""
        if task == "regression":
            return cls(evidence, task, _SCORER.save(loss="relative", relative=RelativeLoss().snapshot()))
        scoring = scoring_of(evidence.loss, task, probabilities=all(map(gives_probabilities, models)))
        return cls(evidence, task, _SCORER.save(loss=scoring.name, relative=None))

    def losses(self, y: Any, votes: Sequence[Any], out: Collection[int]) -> list[float | None] | None:
        """The loss of each vote; None for the contestants that are `out`, and for everyone while there is no scale."""
        if self._relative is not None:
            return self._relative.losses(y, [None if index in out else vote for index, vote in enumerate(votes)])
        loss = self._loss
        if out:
            return [None if index in out else loss(y, vote) for index, vote in enumerate(votes)]
        return [loss(y, vote) for vote in votes]

    def most_lost(self, votes: Sequence[Any], served: int) -> list[float] | None:
        """The most by which each one's loss can be above the served model's, whatever the label; None: 1 for all."""
        return None if self._most_lost is None else self._most_lost(votes, served)

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        return _SCORER.save(loss=self.name, relative=self._relative and self._relative.snapshot())


def _number(y_pred: Any, proba: Any) -> Any:
    """The number; a failed prediction of one is infinitely wrong, as one of a label is wrong anyway."""
    return math.inf if has_failed((y_pred, proba)) else y_pred
