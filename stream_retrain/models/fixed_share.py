"""Mixtures whose weights follow the best of their members, also when another member becomes the best.

Theory of operation (the fixed-share algorithm). Every member predicts every event and learns every label. The mixture's prediction is
the weighted mean of theirs. After a label

1. each weight is multiplied by exp(-eta * loss of that member's prediction);
2. the weights are scaled so that they add up to 1 - share;
3. `share` is added to them in equal parts.

Because of step 3 no weight falls to 0, and a member that becomes the best one gets most of the weight within tens of events. The loss
of the mixture is bounded by the loss of the best *sequence* of members plus a term for each change in it. No detector and no threshold
is needed.

With `stackings` the mixture can be better than each of its members: `stacking` and `stacking_regressor` say how. It also learns its first
events again if one of their values was wild (`first_events`).

Each member predicts an event once. Its prediction is kept until the label comes (`prediction_cache`); so with delayed labels the
weights depend on the predictions that were served. What the stackings of classifiers served is kept longer (`mixture`). Where a regressor
has stackings, members predict again at a label that comes late, and what is kept is what the mixture said (`mixture_regressor`).

A member without a prediction (untrained, or it raised) is left out of the mean, and its loss counts as the mean loss of the others. A
member that raises is counted and restarted; the exception does not reach the caller.

Where all members are compiled models of the project, the mixture is compiled too, and asks or teaches all of them in one call. Else
`mixture` does it in Python, so that any River estimator can be a member. Both do the same to the last bit.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias

from river import base, dummy, linear_model, preprocessing, stats, tree

from stream_retrain.models.adaptive import Adaptive, Standing
from stream_retrain.models.first_events import FIRST_EVENTS, Events, tamed
from stream_retrain.models.implementation import cores_for, resumed, saved
from stream_retrain.models.probabilities import last_step

__all__ = ["STACKINGS", "STACKINGS_OF_NUMBERS", "FixedShareClassifier", "FixedShareRegressor", "Members"]

STACKINGS: Final = (0.03, 0.15)
STACKINGS_OF_NUMBERS: Final = (0.998, 0.9995)

Members: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""Models by name, or in a list."""


class _FixedShare(abc.ABC):
    """What both mixtures share: parameters and members."""

    _CORE: ClassVar[str]
    """The class of its core."""
    _TARGETS: ClassVar[bool]
    """Whether the labels are numbers."""
    LATER: ClassVar[dict[str, Any]] = {"stackings": None, "_first": None, "_before": None}

    def __init__(self, members: Members, eta: float, share: float, stackings: Sequence[float] | None) -> None:
        if not 0.0 < eta < math.inf or not 0.0 <= share < 1.0:
            raise ValueError(f"eta is {eta}, share is {share}; use an eta above 0 and a share of at least 0 and below 1")
        rates = None if stackings is None else tuple(stackings) if isinstance(stackings, Iterable) else (math.nan,)
        if not all(0.0 < each <= 1.0 for each in rates or ()):
            raise ValueError(f"stackings is {stackings}; use some numbers above 0 and of at most 1")
        if not members:
            raise ValueError("a mixture needs at least one member")
        named = dict(members) if isinstance(members, Mapping) else _named(members)
        self.eta = eta
        self.share = share
        self.stackings = rates or None
        self._names = tuple(named)
        self._untrained: dict[str, Any] | None = None
        self._core = self._new_core(list(named.values()))
        self._first: list[tuple[Any, Any]] | None = [] if self.stackings else None
        """The first events, until there are enough of them."""
        self._before: tuple[int, tuple[int, ...], tuple[int, ...]] | None = None
        """Where it began anew: changes, failures and restarts until then."""

    def _new_core(self, models: list[Any]) -> Any:
        return getattr(cores_for(models), self._CORE)(models, self.eta, self.share, self.stackings or (), *self._of_task())

    def _of_task(self) -> tuple[Any, ...]:
        """What the core of the task is given besides."""
        return ()

    def __getstate__(self) -> dict[str, Any]:
        return {**saved(self), "_untrained": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        def new_core() -> Any:
            return self._new_core(state["_core"][1][0])

        resumed(self, state, new_core)

    @property
    def unmet(self) -> int:
        """How many of the first events are still to come: whoever takes many at once stops there, and has them met."""
        return 0 if self._first is None else FIRST_EVENTS - len(self._first)

    def meet(self, xs: Sequence[Any], ys: Sequence[Any]) -> None:
        """Keep events that were learned, at most as many as are unmet; after the last one, begin anew without what was wild in them."""
        if self._first is None:
            return
        self._first += [(dict(x) if isinstance(x, Mapping) else x, y) for x, y in zip(xs, ys, strict=True)]
        if self.unmet:
            return
        again, self._first = tamed(self._first, targets=self._TARGETS), None
        if again is not None:
            self._begin_anew(again)

    def _begin_anew(self, events: Events) -> None:
        """Learn these with untrained members. What the old ones said to events whose labels are to come is lost; counts go on."""
        standing = self.standing()
        self._before = (standing.changes + 1, standing.failures, standing.restarts)
        self._core = self._new_core([model.clone() for model in self._core.models])
        for x, y in events:
            self._core.learn(x, y)

    @property
    def members(self) -> dict[str, Any]:
        """The running members by name."""
        return dict(zip(self._names, self._core.models, strict=True))

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        changes: int = self._core.changes
        return changes if self._before is None else changes + self._before[0]

    def standing(self) -> Standing:
        """Names, weights, restarts, failures and leader."""
        weights, leader, _, failures, restarts = self._core.standing()
        inside = [sum(model.standing().restarts) if isinstance(model, Adaptive) else 0 for model in self._core.models]
        counts = tuple(map(sum, zip(restarts, inside, strict=True)))
        if self._before is not None:
            failures = [sum(pair) for pair in zip(failures, self._before[1], strict=True)]
            counts = tuple(map(sum, zip(counts, self._before[2], strict=True)))
        return Standing(self._names, tuple(weights), counts, tuple(failures), self._names[leader], self.changes)

    def _get_params(self) -> dict[str, Any]:
        """River's hook for `clone`: the parameters, with untrained members."""
        if self._untrained is None:
            self._untrained = {name: model.clone() for name, model in self.members.items()}
        return {"members": self._untrained, "eta": self.eta, "share": self.share, "stackings": self.stackings}


class FixedShareClassifier(_FixedShare, base.Classifier):  # type: ignore[misc]
    """The mean of its members' probabilities, weighted by their recent performance.

    Parameters
    ----------
    members
        Classifiers, in a list or by name. Each predicts once and learns once an event.
    eta
        Learning rate of the weights: they are multiplied by the probability of the true label (clipped to 0.02 and 0.98) to
        this power.
    share
        The part of the total weight that is distributed equally after each label: about the rate at which the best member changes.
    stackings
        The rates of stackings over the members, whose answers are mixed with their mean; `STACKINGS` are those of the recommended
        models. None: the mean alone.

    References
    ----------
    [^1]: Herbster, M. and Warmuth, M. K., 1998. Tracking the best expert. Machine Learning, 32(2), 151-178.
    [^2]: Cesa-Bianchi, N. and Lugosi, G., 2006. Prediction, learning, and games. Cambridge University Press, chapter 5.
    [^3]: Wolpert, D. H., 1992. Stacked generalization. Neural Networks, 5(2), 241-259.

    """

    _CORE: ClassVar[str] = "ClassifierMixture"
    _TARGETS: ClassVar[bool] = False

    def __init__(self, members: Members, eta: float = 1.0, share: float = 0.01, stackings: Sequence[float] | None = None) -> None:
        super().__init__(members, eta, share, stackings)

    @property
    def _multiclass(self) -> bool:
        return all(member._multiclass for member in self._core.models)

    def predict_proba_one(self, x: Any) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far; {} while no member has a prediction.

        Raises:
            ValueError: a value is infinite.
        """
        proba: dict[base.typing.ClfTarget, float] = self._core.predict(x)
        return proba

    def learn_one(self, x: Any, y: base.typing.ClfTarget) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn.

        Raises:
            ValueError: a value is infinite.
        """
        self._core.learn(x, y)
        if self._first is not None:
            self.meet([x], [y])

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeClassifier(), dummy.PriorClassifier()]}
        yield {"members": [tree.HoeffdingTreeClassifier(), dummy.PriorClassifier()], "stackings": STACKINGS}


class FixedShareRegressor(_FixedShare, base.Regressor):  # type: ignore[misc]
    """The mean of its members' predictions, weighted by their recent performance.

    Each member's prediction is first clipped to the range of the targets seen, extended by 10 % on both sides.

    Parameters
    ----------
    members
        Regressors, in a list or by name.
    eta
        Learning rate of the weights: they are multiplied by exp(-eta s / 2), where s is the member's squared error in units of the
        target's running variance, at most 4.
    share
        As in `FixedShareClassifier`; its references apply too.
    stackings
        How much of what it knew each stacking keeps at each event, for instance 0.998: some 500 events. `STACKINGS_OF_NUMBERS` are those
        of the recommended models. None: the mean alone.
    boosted
        The names of members that learn what the mean of the others leaves over, at most 3 standard deviations of the target; each predicts
        that mean plus what it expects to be left. None: no member does.

    References
    ----------
    [^1]: Breiman, L., 1996. Stacked regressions. Machine Learning, 24(1), 49-64.
    [^2]: Friedman, J. H., 2001. Greedy function approximation: a gradient boosting machine. Annals of Statistics, 29(5), 1189-1232.

    """

    _CORE: ClassVar[str] = "RegressorMixture"
    _TARGETS: ClassVar[bool] = True
    LATER: ClassVar[dict[str, Any]] = {**_FixedShare.LATER, "boosted": None}

    def __init__(
        self,
        members: Members,
        eta: float = 1.0,
        share: float = 0.01,
        stackings: Sequence[float] | None = None,
        boosted: Sequence[str] | None = None,
    ) -> None:
        self.boosted = tuple(boosted or ()) or None
        super().__init__(members, eta, share, stackings)
        if not set(self.boosted or ()) < set(self._names):
            raise ValueError(f"boosted is {boosted!r}; use names of some of the members, which are {', '.join(map(repr, self._names))}")

    def _of_task(self) -> tuple[Any, ...]:
        return ([index for index, name in enumerate(self._names) if name in (self.boosted or ())],)

    def _get_params(self) -> dict[str, Any]:
        return {**super()._get_params(), "boosted": self.boosted}

    def predict_one(self, x: Any) -> float:
        """The weighted mean; the running mean of the target while no member has a prediction, and 0 before any target.

        Raises:
            ValueError: a value is infinite.
        """
        prediction: float = self._core.predict(x)
        return prediction

    def learn_one(self, x: Any, y: float) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        self._core.learn(x, y)
        if self._first is not None:
            self.meet([x], [y])

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeRegressor(), preprocessing.StandardScaler() | linear_model.LinearRegression()]}
        yield {"members": [tree.HoeffdingTreeRegressor(), dummy.StatisticRegressor(stats.Mean())], "stackings": STACKINGS_OF_NUMBERS}
        models = {"tree": tree.HoeffdingTreeRegressor(), "boosted_tree": tree.HoeffdingTreeRegressor()}
        yield {"members": models, "stackings": STACKINGS_OF_NUMBERS, "boosted": ("boosted_tree",)}


def _named(members: Sequence[Any]) -> dict[str, Any]:
    """The members by the name of their class; a name that occurs again gets a number."""
    named: dict[str, Any] = {}
    for member in members:
        kind = name = str(last_step(member))
        count = 2
        while name in named:
            name = f"{kind}_{count}"
            count += 1
        named[name] = member
    return named
