"""The paired sequential test of a duel: is a rival better than the model that serves, on the same events?

Protocol of use: `Evidence.build(contestants=n)` when the duel starts, contestant 0 serving; `update` with everyone's loss on each
event, in order; it returns the contestant that has earned the lead, and `lead` gives it that. It may be looked at, and stopped, at
any event.

Theory of operation. For a rival, d = loss(served) - loss(rival) of one event, both losses in [0, 1] and both predictions made before the
label was known. A bettor who stakes the share l of its capital on the rival holds prod(1 + l d) after some events; the rival's e-value E
is the mean capital of six bettors, one for each l in `bets` (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random
variables by betting"; Shafer 2021, "Testing by betting"; for forecasters that are compared, Choe and Ramdas 2024).

- *How high a bet.* Log losses scaled to [0, 1] mostly differ by a few hundredths, and a share of the capital a unit would win next
  to nothing. So for them l is staked for each nat, which is 0.19 of a unit. The predictions are known before the label, and so is the most
  that the event can cost; no bettor risks more than the share max(`bets`) of its capital on one event. Rare classes are decided in half
  the time.
- *Null hypothesis*, for a rival: at every event since the last change of lead, given everything seen before its label came, the
  expected loss of the served model is at most the rival's. It says nothing about independence, stationarity, or how either model learns.
- *Validity.* Under it each factor has a conditional mean of at most 1, however high the stake, if that is settled before the label and the
  factor cannot be negative. So E is a test supermartingale that starts at 1, and the probability that it ever reaches 1/a is at most a
  (Ville 1939). Looking at every event costs nothing.
- *Better on some questions, worse on others, equal on average.* "Everything seen" includes the question and the predictions, so such a pair
  is outside the null hypothesis, and stakes that are limited on some questions weigh these less. In simulations of such pairs up to
  11 % were promoted where 10 % are allowed, within the error of 300 trials (`tests/core/test_evidence.py` repeats some).
- *A rival that becomes better late.* A fresh model is worse at first, and what a bettor has lost it must win back. So 25 % of each
  bettor's capital is held in reserve, and after the k-th hundred events 1 / (k (k + 1)) of the reserve is staked as if the duel began
  there. Capital in reserve keeps its value, so E, the sum, is still a test supermartingale, and at least 75 % of what it would be
  without the reserve. (A mixture over the unknown moment of change; compare Shin, Ramdas and Rinaldo 2024, "E-detectors".)
- *Several rivals.* The mean of e-values is an e-value, under any dependence. So every set of rivals is tested by its mean, and the best
  rival is accepted when each set that contains it is rejected (closed testing: Vovk and Wang 2021, "E-values: calibration, combination
  and applications"). The chance of accepting any rival for which the null holds is at most a. A lone rival among k needs about k/a, as by
  Bonferroni; rivals that agree need only 1/a; it is never worse.
- *Changes of lead.* At a change all pairs start again at 1, against the new served model, and what was just said holds for each
  stretch between changes, given its past. Two promises follow:
    - With a = alpha in every stretch (`spend` None), a champion that is nowhere worse than any rival loses its place in a duel with
      probability at most alpha, because that needs a first change; each later change is false with probability at most alpha, given
      the past. That is per change, so one duel may in all be wrong more often.
    - With the j-th change tested at a_j = alpha * spend * (1 - spend)^(j - 1), which sum to alpha, the probability of even one false
      change in the whole duel is at most alpha (union over stretches). `spend` 0.5 is alpha / 2^j.
- *What is not covered.* A rival that is better only in stretches which the past foretells (both models' errors come in runs, at
  different times) violates the null, though neither is better on average: the lead may follow the runs. Runs that hit both alike are
  covered. With labels that come h events late, "everything seen before" is meant at the label's coming, not at the question's.

Which loss: of classifiers see `core.contest.loss`, of numbers `RelativeLoss`.

Numbers: capital above 1e200 is cut to it, and capital that underflows is 0: both keep E a supermartingale, and neither matters below
that.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Final

from stream_retrain.core.contest.loss import Loss, loss_faults
from stream_retrain.core.state import Part, Saved
from stream_retrain.models.arithmetic import power, total

__all__ = ["Evidence", "PairedTest", "RelativeLoss"]

BETS: Final = (0.05, 0.1, 0.2, 0.4, 0.7, 0.9)
BET_AGAINST: Final = 0.2
STAKED_AT_START: Final = 0.75
STAKED_EVERY_EVENTS: Final = 100
CAPITAL_MAX: Final = 1e200  # cut as often as is staked: a hundred times the largest gain, sixfold, is still below the largest float
OVERTIME: Final = 20
CLIP_SCALES: Final = 4.0
SCALE_EVENTS: Final = 100
_TEST: Final = Part.of("paired test", "served", "changes", "events", "since_change", "capital", "against")
_LOSS: Final = Part.of("relative loss", "scale", "events")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """How much evidence a change of lead needs, and how long it is looked for; the module's docstring says what is promised."""

    alpha: float = 0.2
    spend: float | None = 0.5
    """The share of what is left of `alpha` that the next change of lead may use; None: each change may use all of it."""
    events_min: int = 10
    """Events since the last change before there can be one."""
    events_max: int = 1_000
    """Events after which the duel ends and whoever serves stays, unless `rarest_min` asks for more. A fresh tree often needs more than 500
    to overtake a stale one."""
    bets: tuple[float, ...] = BETS
    """What the bettors stake, as shares of their capital: for a difference of 1 in the loss, of log loss for one nat."""
    loss: Loss = "log"
    """What is compared, of classifiers: "log" or "brier" of the probabilities ("miss" where a contestant gives none), "miss", the share
    of labels missed, or costs by (label, predicted label), from 0 to 1."""
    rarest_min: int = 50
    """Labels of the rarest class without which a duel of classifiers goes on beyond `events_max`, to 20 times that at most. Of more than
    two classes: of all but the most frequent, together."""
    metric_margin: float | None = 0.05
    """Where the first metric a pipeline declares is of labels: how much worse by it a contestant may be, on the same recent events, and
    still be given the lead. None: the loss alone decides."""

    @property
    def events_limit(self) -> int:
        """Events after which a duel ends whatever it still lacks."""
        return self.events_max * OVERTIME

    def build(self, saved: Saved | None = None, *, contestants: int = 2, unit: float = 1.0) -> PairedTest:
        """A running test: from the start, for the served model and its rivals, or as it was saved. Raises `StateError`.

        unit
            The difference between two losses on which a bet is its share of the capital.
        """
        return PairedTest(self, contestants, saved, unit)

    def passes(self, change: int) -> float:
        """The e-value at which the `change`-th change of lead passes: one over the error probability it may have; the first is 1."""
        if self.spend is None:
            return 1 / self.alpha
        level = self.alpha * self.spend * power(1 - self.spend, change - 1)
        return 1 / level if level * CAPITAL_MAX > 1 else math.inf

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if not 0 < self.alpha < 1:
            yield f"alpha is {self.alpha}; use a probability between 0 and 1, such as 0.2"
        if self.spend is not None and not 0 < self.spend < 1:
            yield f"spend is {self.spend}; use a share between 0 and 1, or None"
        if self.events_min < 1:
            yield f"events_min is {self.events_min}; use at least 1"
        if self.events_max < self.events_min:
            yield f"events_max is {self.events_max}, below events_min {self.events_min}"
        if not self.bets or not all(0 < bet < 1 for bet in self.bets):
            yield f"bets are {self.bets}; use shares between 0 and 1, at least one"
        if not isinstance(self.rarest_min, int) or self.rarest_min < 0:
            yield f"rarest_min is {self.rarest_min!r}; use a whole number of labels, 0 for no such minimum"
        if self.metric_margin is not None and not self.metric_margin >= 0:
            yield f"metric_margin is {self.metric_margin!r}; use a difference of the metric's values, such as 0.05, or None"
        yield from loss_faults(self.loss)


class PairedTest:
    """The evidence of each rival against the served model, since the last change of lead, and the other way round."""

    __slots__ = ("_against", "_at_risk", "_bet_max", "_bets", "_capital", "_passes", "_spec", "changes", "events", "served", "since_change")

    def __init__(self, spec: Evidence, contestants: int, saved: Saved | None = None, unit: float = 1.0) -> None:
        self._spec = spec
        self._bets = [bet / unit for bet in spec.bets]
        self._at_risk, self._bet_max = max(spec.bets), max(self._bets)
        start: Saved = {
            "served": 0,
            "changes": 0,
            "events": 0,
            "since_change": 0,
            "capital": [[STAKED_AT_START] * len(spec.bets)] * contestants,
            "against": [1.0] * contestants,
        }
        values = start if saved is None else _TEST.load(saved)
        self.served: int = values["served"]
        self.changes: int = values["changes"]
        self.events: int = values["events"]
        self.since_change: int = values["since_change"]
        self._capital: list[list[float]] = [list(row) for row in values["capital"]]
        self._against: list[float] = list(values["against"])
        self._passes = self._spec.passes(self.changes + 1)

    def update(self, losses: Sequence[float | None], most_lost: Sequence[float] | None = None) -> int | None:
        """Take one event's loss in [0, 1] of every contestant; the contestant that has earned the lead, else None.

        most_lost
            The most by which each one's loss could have been above the served model's, whatever the label; None: 1.

        A loss of None says that a contestant gave no prediction to score, which must not depend on the label: its evidence stays as it
        is. An event without the served model's loss is no event of the duel.
        """
        served_loss = losses[self.served]
        if served_loss is None:
            return None
        self.events += 1
        self.since_change += 1
        risen = self.since_change == self._spec.events_min
        if losses.count(served_loss) != len(losses):
            for rival, loss in enumerate(losses):
                if loss is None or loss == served_loss:
                    continue
                difference = served_loss - loss
                self._bet(rival, difference, 1.0 if most_lost is None else most_lost[rival])
                risen = risen or difference > 0
        if self.since_change % STAKED_EVERY_EVENTS == 0:
            self._stake()
        return self._accepted(losses) if risen and self.since_change >= self._spec.events_min else None

    def lead(self, contestant: int) -> None:
        """Let `contestant` serve, and start all evidence afresh against it, at the next level."""
        self.served = contestant
        self.since_change = 0
        self.changes += 1
        self._passes = self._spec.passes(self.changes + 1)
        self._capital = [[STAKED_AT_START] * len(self._bets) for _ in self._capital]
        self._against = [1.0] * len(self._against)

    def e_value(self, rival: int) -> float:
        """The evidence that `rival` is better than the served model; 1 is none."""
        return total(self._capital[rival]) / len(self._bets) + self._reserve

    def e_value_against(self, rival: int) -> float:
        """The evidence that `rival` is worse than the served model, by a single bettor; 1 is none."""
        return self._against[rival]

    def rejects(self, rival: int) -> bool:
        """Whether the evidence that `rival` is worse is as strong as a lone rival would need to be better."""
        return self.e_value_against(rival) >= self._passes * (len(self._capital) - 1)

    @property
    def passes_at(self) -> float:
        """The e-value at which a lone rival takes the lead."""
        return self._passes

    def snapshot(self) -> Saved:
        """What `Evidence.build` needs to go on from here."""
        return _TEST.save(
            served=self.served,
            changes=self.changes,
            events=self.events,
            since_change=self.since_change,
            capital=[list(row) for row in self._capital],
            against=list(self._against),
        )

    def _bet(self, rival: int, difference: float, most_lost: float) -> None:
        bets = self._bets
        if most_lost * self._bet_max > self._at_risk:
            most = self._at_risk / most_lost
            bets = [min(most, bet) for bet in bets]
        self._capital[rival] = [held * (1.0 + bet * difference) for held, bet in zip(self._capital[rival], bets, strict=True)]
        self._against[rival] *= 1 - BET_AGAINST * difference

    @property
    def _reserve(self) -> float:
        """What is not staked yet; the sum of 1 / (k (k + 1)) up to k is 1 - 1 / (k + 1)."""
        return (1 - STAKED_AT_START) / (self.since_change // STAKED_EVERY_EVENTS + 1)

    def _stake(self) -> None:
        hundreds = self.since_change // STAKED_EVERY_EVENTS
        stake = (1 - STAKED_AT_START) / (hundreds * (hundreds + 1))
        self._capital = [[min(held, CAPITAL_MAX) + stake for held in row] for row in self._capital]
        self._against = [min(held, CAPITAL_MAX) for held in self._against]

    def _accepted(self, losses: Sequence[float | None]) -> int | None:
        """The rival with the most evidence, of those still in, if every set of rivals with it is rejected."""
        bets, reserve, sums = len(self._bets), self._reserve, list(map(sum, self._capital))
        if max(sums) / bets + reserve < self._passes:
            return None
        values = [held / bets + reserve for held in sums]
        best, most = -1, self._passes
        for rival, loss in enumerate(losses):
            if values[rival] >= most and loss is not None and rival != self.served:
                best, most = rival, values[rival]
        if best < 0:
            return None
        total = 0.0
        smallest_first = sorted(value for rival, value in enumerate(values) if rival not in (best, self.served))
        for count, value in enumerate([most, *smallest_first], start=1):
            total += value
            if total < self._passes * count:
                return None
        return best


class RelativeLoss:
    """The loss of a regression, bounded and without a unit: min(1, |y - y_pred| / (4 scale)).

    The scale is a running mean of the contestants' lower median absolute error over about the last 100 events, all of them *before* the
    one it is used for. So the loss function of an event is fixed before its label is known and each loss is in [0, 1], which is
    all the test asks for; the null hypothesis is about this loss. The median keeps a model that explodes from setting the scale,
    the clip keeps one wild label from deciding a duel. The first event only gives the scale.
    """

    __slots__ = ("_events", "_scale")

    def __init__(self, saved: Saved | None = None) -> None:
        values: Saved = {"scale": 0.0, "events": 0} if saved is None else _LOSS.load(saved)
        self._scale: float = values["scale"]
        self._events: int = values["events"]

    def losses(self, y: float, predictions: Sequence[float | None]) -> list[float | None] | None:
        """The loss of each prediction by the scale of the events before; no prediction, no loss. None: there is no scale yet."""
        errors = [None if y_pred is None else abs(y - y_pred) for y_pred in predictions]
        limit = CLIP_SCALES * self._scale
        losses = [None if error is None else _clipped(error, limit) for error in errors] if self._events else None
        finite = sorted(error for error in errors if error is not None and math.isfinite(error))
        if finite:
            self._events += 1
            self._scale += (finite[(len(finite) - 1) // 2] - self._scale) / min(self._events, SCALE_EVENTS)
        return losses

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        return _LOSS.save(scale=self._scale, events=self._events)


def _clipped(error: float, limit: float) -> float:
    """`error` as a share of `limit`; more than that, or no number at all, is 1."""
    return error / limit if error < limit else 1.0 if error else 0.0
