"""How the contestants of a duel have done in it: on how many events each was scored, and its mean loss."""

from __future__ import annotations

from collections.abc import Sequence

from stream_retrain.core.contest.evidence import PairedTest
from stream_retrain.facts.duel import ContestantStanding

__all__ = ["Tally"]


class Tally:
    """By contestant, in the order they came."""

    __slots__ = ("loss_sums", "scored")

    def __init__(self, loss_sums: Sequence[float], scored: Sequence[int]) -> None:
        self.loss_sums = list(loss_sums)
        self.scored = list(scored)

    def count(self, losses: Sequence[float | None]) -> None:
        """Take everyone's loss on an event; None: not scored on it."""
        for index, loss in enumerate(losses):
            if loss is not None:
                self.loss_sums[index] += loss
                self.scored[index] += 1

    def joined(self) -> None:
        """There is another contestant."""
        self.loss_sums.append(0.0)
        self.scored.append(0)

    def loss_mean(self, index: int) -> float:
        """0 where it was never scored."""
        return self.loss_sums[index] / max(1, self.scored[index])

    def standings(self, names: Sequence[str], test: PairedTest) -> tuple[ContestantStanding, ...]:
        """How each stands, with the evidence about it."""
        return tuple(
            ContestantStanding(
                name=name,
                loss_mean=self.loss_mean(index),
                events=self.scored[index],
                e_value=test.e_value(index),
                e_value_against=test.e_value_against(index),
            )
            for index, name in enumerate(names)
        )
