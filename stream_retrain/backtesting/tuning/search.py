"""Which candidates are run over how many records, and how they are ranked.

grid        every combination, over the whole training part
halving     all over a short first part; the better half of them over twice as many records, and so on. The last ones, two where there
            are intervals enough, have the whole training part (Jamieson and Talwalkar 2016, "Non-stochastic best arm identification
            and hyperparameter optimization", AISTATS).
optuna      `trials_max` candidates that optuna suggests, over the whole training part (`tuning.optuna`)

The better one has the lower loss; of equal ones that with fewer replacements; then the one that was made first. That is the pipeline as it
is, so settings that change nothing are not chosen. One without any label is behind all that have some.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from stream_retrain.backtesting.tuning.candidates import Candidate
from stream_retrain.backtesting.tuning.result import Score

__all__ = ["INTERVALS_MIN", "Scored", "Scores", "order", "round_records", "successively_halved"]

INTERVALS_MIN: Final = 5
"""The shortest part that halving ranks by."""
Scores: TypeAlias = Callable[[Sequence[Candidate], int], list[Score | None]]
"""Runs candidates over the first so many records."""


class Scored(NamedTuple):
    """A candidate, and how it did over as many records as it came to."""

    candidate: Candidate
    score: Score | None


def order(scored: Sequence[Scored]) -> list[Scored]:
    """The best first; those that came to more records are before the others, and those without a score last."""
    return sorted(scored, key=_key)


def round_records(candidates: int, intervals: int, interval_records: int) -> list[int]:
    """How many records each round of halving has; the last one has all of these intervals."""
    rounds = max(1, math.ceil(math.log2(max(2, candidates))))
    while rounds > 1 and intervals >> (rounds - 1) < INTERVALS_MIN:
        rounds -= 1
    return [(intervals >> halvings) * interval_records for halvings in reversed(range(rounds))]


def successively_halved(candidates: Sequence[Candidate], rounds: Sequence[int], scores: Scores) -> list[Scored]:
    """All candidates, the best first, each with the score of its last round."""
    left, given_up = list(candidates), list[Scored]()
    scored: list[Scored] = []
    for number, records in enumerate(rounds):
        scored = order([Scored(each, score) for each, score in zip(left, scores(left, records), strict=True)])
        if number + 1 < len(rounds):
            half = -(-sum(each.score is not None for each in scored) // 2)
            left = sorted((each.candidate for each in scored[:half]), key=lambda each: each.number)
            given_up += scored[half:]
    return order([*scored, *given_up])


def _key(scored: Scored) -> tuple[int, float, int, int]:
    score = scored.score
    if score is None:
        return (0, math.inf, 0, scored.candidate.number)
    loss = math.inf if score.loss is None else score.loss
    return (-score.records, loss, score.replacements, scored.candidate.number)
