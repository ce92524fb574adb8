"""The loss of a classifier's prediction in a duel: in [0, 1], and what of a prediction must be kept until its label comes (its *vote*).

- `log`: -ln p of the true label, p not below `PROBABILITY_MIN`, divided by -ln `PROBABILITY_MIN`. The default, because it is the only one
  that sees a rare class: at 2 % positives the answer "no" is missed by nobody. A smaller minimum makes few positives weigh more.
- `brier`: half the squared distance between the probabilities and the label.
- `miss`: 1 where another label was predicted. All there is where a contestant gives no probabilities.
- `cost`: what the author says that an error costs, by label and predicted label.

Each is fixed before the label is known and lies in [0, 1], which is all the test of `core.contest.evidence` asks for. No prediction, or a
probability that is no number, is the worst loss.

Of log loss the predictions also tell, before the label comes, how much worse than the served model a rival can turn out on this event. That
is mostly little, so bets on log loss are higher: they are for each nat (`unit`), and cut where an event can cost more (`most_lost`).

A vote is kept as small as the loss allows: of a binary task the probability of the positive class, of several classes the probabilities
that can change the loss, for the other losses the label. A contestant without probabilities in a duel that is scored by them is taken to
be sure of its label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from stream_retrain.facts.duel import LossName
from stream_retrain.facts.values import Label
from stream_retrain.models.logarithm import log

__all__ = ["PROBABILITY_MIN", "Costs", "Loss", "Scoring", "loss_faults", "scoring_of"]

PROBABILITY_MIN: Final = 0.005
PER_NAT: Final = -1 / log(PROBABILITY_MIN)

Costs: TypeAlias = Mapping[tuple[Label, Label], float]
"""By (label, predicted label), in [0, 1]; a pair that is not there costs 0 where the two are equal, and else 1."""
Loss: TypeAlias = Literal["log", "brier", "miss"] | Costs
Vote: TypeAlias = Any


class Scoring(NamedTuple):
    """How a duel scores predictions."""

    name: LossName
    of_proba: bool
    """Whether it is of probabilities."""
    vote: Callable[[Label | None, Any], Vote]
    """What to keep of a label predicted and its probabilities."""
    loss: Callable[[Any, Vote], float]
    """The loss of a vote, given the label."""
    unit: float = 1.0
    """The difference between two losses on which a bet is its share of the capital."""
    most_lost: Callable[[Sequence[Vote], int], list[float]] | None = None
    """Of votes, and which of them is the served one: the most by which the loss of each can be above its, whatever the label; None: 1."""


def scoring_of(loss: Loss, task: str, *, probabilities: bool) -> Scoring:
    """What scores a duel of classifiers: the loss asked for, or `miss` where that is of probabilities and there are none."""
    if isinstance(loss, Mapping):
        return Scoring("cost", False, _label, _Costs(loss))
    if loss == "miss" or not probabilities:
        return Scoring("miss", False, _label, _missed)
    binary = task == "binary"
    if loss == "brier":
        return Scoring(loss, True, *((_of_the_positive, _binary_brier) if binary else (_all, _brier)))
    if binary:
        return Scoring(loss, True, _of_the_positive, _binary_log, PER_NAT, _binary_most_lost)
    return Scoring(loss, True, _that_matter, _log, PER_NAT, _most_lost)


def loss_faults(loss: object) -> Iterator[str]:
    """Every fault of a declared loss, as sentences."""
    if not isinstance(loss, Mapping):
        if loss not in ("log", "brier", "miss"):
            yield f"loss is {loss!r}; use 'log', 'brier', 'miss', or costs by (label, predicted label)"
        return
    for pair, cost in loss.items():
        if not (isinstance(pair, tuple) and len(pair) == 2):
            yield f"loss: {pair!r} is not a pair (label, predicted label)"
        elif isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost <= 1:
            yield f"loss: the cost of {pair!r} is {cost!r}; use a number from 0 to 1, 1 for the worst error"
    if not loss:
        yield "loss: there are no costs; give some by (label, predicted label), or use 'miss'"


class _Costs:
    def __init__(self, costs: Costs) -> None:
        self._costs = dict(costs)

    def __call__(self, y: Any, vote: Vote) -> float:
        if vote is None:
            return 1.0
        return float(self._costs.get((y, vote), 0.0 if y == vote else 1.0))


def _label(y_pred: Label | None, _: Any) -> Vote:
    return y_pred


def _of_the_positive(y_pred: Label | None, proba: Any) -> Vote:
    if not proba:
        return None if y_pred is None else float(y_pred)
    p = proba.get(True, 0.0)
    return min(max(float(p), 0.0), 1.0) if math.isfinite(p) else None


def _all(y_pred: Label | None, proba: Any) -> Vote:
    if not proba:
        return {} if y_pred is None else {y_pred: 1.0}
    return {label: min(float(p), 1.0) for label, p in proba.items() if p > 0}


def _that_matter(y_pred: Label | None, proba: Any) -> Vote:
    if not proba:
        return {} if y_pred is None else {y_pred: 1.0}
    return {label: min(float(p), 1.0) for label, p in proba.items() if p > PROBABILITY_MIN}


def _missed(y: Any, vote: Vote) -> float:
    return 0.0 if y == vote else 1.0


def _binary_log(y: Any, vote: Vote) -> float:
    if vote is None:
        return 1.0
    p = vote if y else 1.0 - vote
    return -log(p) * PER_NAT if p > PROBABILITY_MIN else 1.0


def _binary_most_lost(votes: Sequence[Vote], served: int) -> list[float]:
    lost = _binary_log
    yes, no = lost(True, votes[served]), lost(False, votes[served])
    return [max(lost(True, vote) - yes, lost(False, vote) - no) for vote in votes]


def _binary_brier(y: Any, vote: Vote) -> float:
    return 1.0 if vote is None else float((vote - y) * (vote - y))


def _log(y: Any, vote: Vote) -> float:
    p: float = vote.get(y, 0.0)
    return -log(p) * PER_NAT if p > PROBABILITY_MIN else 1.0


def _most_lost(votes: Sequence[Vote], served: int) -> list[float]:
    """On a label to which the served model gives no more than the minimum nobody loses more than it."""
    own = [(label, _log(label, votes[served])) for label in votes[served]]
    return [max([0.0, *(_log(label, vote) - loss for label, loss in own)]) for vote in votes]


def _brier(y: Any, vote: Vote) -> float:
    if not vote:
        return 1.0
    rest: float = 0.0
    for label, p in vote.items():
        if label != y:
            rest += p * p
    own: float = vote.get(y, 0.0)
    return min(1.0, ((1.0 - own) * (1.0 - own) + rest) / 2)
