"""Mixtures that follow the best of their members, and the change from one best to another.

Theory of operation (fixed share). Every member answers every question and learns every label; the mixture's answer is the mean
of theirs by weight. After a label each weight is multiplied by exp(-eta * loss of that member's answer), the weights are made
to add up to 1, and a small share of the whole is then dealt out evenly: so no member is ever forgotten, and one whose time has
come takes over within tens of events. The loss of the mixture is bounded by that of the best *sequence* of members, with a
price for each change: no detector, threshold or swap is needed.

Each member is asked once an event: its answer waits for the label (`kept`), and with delayed labels the weights go by the
answers as they were given. A member without an answer (untrained, or it raised) is asleep for that event: it has no part in
the mean, and its loss is that of the mixture, which leaves its weight alone. A member that raises is counted and started
afresh; what it raised does not leave the mixture.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from river import base, dummy, linear_model, preprocessing, tree

from stream_retrain.models.adaptive import Standing
from stream_retrain.models.answers import probabilities
from stream_retrain.models.kept import Kept
from stream_retrain.models.members import Members
from stream_retrain.models.targets import Targets
from stream_retrain.models.values import checked

__all__ = ["FixedShareClassifier", "FixedShareRegressor"]

PROBABILITY_MIN: Final = 0.02
"""A member's probability of the true label counts as at least this and at most 1 less this."""
SQUARES_MAX: Final = 4.0
"""A member's squared error counts as at most this many variances of the target."""
SQUARES_SCALE: Final = 0.5
"""A regressor's loss is half its squared error in variances of the target: log loss, if errors were normal with that variance."""


class _FixedShare(abc.ABC):
    """What both mixtures share: parameters, members, and the answers kept for the label."""

    def __init__(self, members: Mapping[str, Any] | Sequence[Any], eta: float, share: float) -> None:
        if not 0.0 < eta < math.inf or not 0.0 <= share < 1.0:
            raise ValueError(f"eta is {eta}, share {share}; use an eta above 0 and a share from 0 to below 1")
        self.eta = eta
        self.share = share
        self._members = Members(members)
        self._kept: Kept[list[Any]] = Kept()

    @property
    def members(self) -> dict[str, Any]:
        """The running members by name."""
        return dict(zip(self._members.names, self._members.models, strict=True))

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        return self._members.changes

    def standing(self) -> Standing:
        """Members, weights, restarts, failures and leader."""
        return self._members.standing()

    def _get_params(self) -> dict[str, Any]:
        """The parameters, with untrained members: what a clone is made of."""
        return {"members": self._members.templates(), "eta": self.eta, "share": self.share}

    def _answers(self, x: Any) -> list[Any]:
        """The answers given to this question, or given now; members that cannot answer at all start afresh."""
        answers = self._kept.take(x)
        if answers is None:
            answers = self._members.ask(self._question, x)
        if None in answers:
            self._members.revive(answers, self._question, x)
        return answers

    @abc.abstractmethod
    def _question(self, member: Any, x: Any) -> Any:
        """The member's answer; None where it has no usable one."""


class FixedShareClassifier(_FixedShare, base.Classifier):  # type: ignore[misc]
    """The mean of its members' probabilities, weighted by how well each has done lately.

    Parameters
    ----------
    members
        Classifiers, in a list or by name. Each is asked once and learns once an event.
    eta
        Learning rate of the weights: they are multiplied by the probability of the true label (clipped to 0.02 and 0.98) to
        this power.
    share
        The part of the whole that is dealt out evenly after each label: about the rate at which the best member changes.

    References
    ----------
    [^1]: Herbster, M. and Warmuth, M. K., 1998. Tracking the best expert. Machine Learning, 32(2), 151-178.
    [^2]: Cesa-Bianchi, N. and Lugosi, G., 2006. Prediction, learning, and games. Cambridge University Press, chapter 5.

    """

    def __init__(self, members: Mapping[str, Any] | Sequence[Any], eta: float = 1.0, share: float = 0.01) -> None:
        super().__init__(members, eta, share)
        self._classes: dict[base.typing.ClfTarget, float] = {}

    @property
    def _multiclass(self) -> bool:
        return all(member._multiclass for member in self._members.models)

    def predict_proba_one(self, x: Any) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far; {} while no member has an answer.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        answers = self._members.ask(self._question, x)
        self._kept.put(x, answers)
        return self._mix(answers)

    def learn_one(self, x: Any, y: base.typing.ClfTarget) -> None:
        """Weigh the members by the answers they gave to `x`, then let them learn.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        answers = self._answers(x)
        self._classes.setdefault(y, 0.0)
        floor, eta = PROBABILITY_MIN, self.eta
        factors: list[float | None] = []
        total = weight = 0.0
        for share, proba in zip(self._members.weights, answers, strict=True):
            if not proba:
                factors.append(None)
                continue
            p = min(max(proba.get(y, 0.0), floor), 1.0 - floor)
            total += share * p
            weight += share
            factors.append(p if eta == 1.0 else p**eta)
        if weight:
            self._members.weigh(factors, (total / weight) ** eta, self.share)
        self._members.learn(x, y)

    def _question(self, member: Any, x: Any) -> dict[Any, float] | None:
        proba = probabilities(member, x)
        total = sum(proba.values())
        if 0.999999 < total < 1.000001:
            return proba
        return {label: p / total for label, p in proba.items()} if 0.0 < total < math.inf else None

    def _mix(self, answers: list[Any]) -> dict[base.typing.ClfTarget, float]:
        mixed = self._classes.copy()
        weight = 0.0
        for share, proba in zip(self._members.weights, answers, strict=True):
            if proba:
                weight += share
                for label, p in proba.items():
                    mixed[label] = mixed.get(label, 0.0) + share * p
        return {label: p / weight for label, p in mixed.items()} if weight else {}

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeClassifier(), dummy.PriorClassifier()]}


class FixedShareRegressor(_FixedShare, base.Regressor):  # type: ignore[misc]
    """The mean of its members' answers, weighted by how well each has done lately.

    Every answer is clipped to the range of the targets seen and a tenth of it beyond, before it is mixed.

    Parameters
    ----------
    members
        Regressors, in a list or by name. Each is asked once and learns once an event.
    eta
        Learning rate of the weights: they are multiplied by exp(-eta s / 2), where s is the member's squared error in units of the
        target's running variance, at most 4.
    share
        The part of the whole that is dealt out evenly after each label: about the rate at which the best member changes.

    References
    ----------
    [^1]: Herbster, M. and Warmuth, M. K., 1998. Tracking the best expert. Machine Learning, 32(2), 151-178.
    [^2]: Cesa-Bianchi, N. and Lugosi, G., 2006. Prediction, learning, and games. Cambridge University Press, chapter 5.

    """

    def __init__(self, members: Mapping[str, Any] | Sequence[Any], eta: float = 1.0, share: float = 0.01) -> None:
        super().__init__(members, eta, share)
        self._targets = Targets()

    def predict_one(self, x: Any) -> float:
        """The weighted answer; the running mean of the target if no member has one, and 0 before any target.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        answers = self._members.ask(self._question, x)
        self._kept.put(x, answers)
        total = weight = 0.0
        for share, y_pred in zip(self._members.weights, answers, strict=True):
            if y_pred is not None:
                total += share * y_pred
                weight += share
        return total / weight if weight else self._targets.mean

    def learn_one(self, x: Any, y: float) -> None:
        """Weigh the members by the answers they gave to `x`, then let them learn.

        Raises:
            ValueError: a value is infinite, or the target is no finite number.
        """
        x = checked(x)
        targets = self._targets
        targets.check(y)
        answers = self._answers(x)
        if variance := targets.variance:
            factors: list[float | None] = []
            total = weight = 0.0
            for share, y_pred in zip(self._members.weights, answers, strict=True):
                if y_pred is None:
                    factors.append(None)
                    continue
                loss = SQUARES_SCALE * min(SQUARES_MAX, (y - y_pred) ** 2 / variance)
                total += share * loss
                weight += share
                factors.append(math.exp(-self.eta * loss))
            if weight:
                self._members.weigh(factors, math.exp(-self.eta * total / weight), self.share)
        targets.update(y)
        self._members.learn(x, y)

    def _question(self, member: Any, x: Any) -> float:
        return self._targets.clip(float(member.predict_one(x)))

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeRegressor(), preprocessing.StandardScaler() | linear_model.LinearRegression()]}
