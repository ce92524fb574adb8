"""The members of a mixture: their models, their weights, which of them leads, and what happens when one raises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.models.adaptive import Adaptive, Standing
from stream_retrain.models.probabilities import last_step

__all__ = ["Members", "Mixture", "PredictMember", "Predictions"]

Members: TypeAlias = Mapping[str, Any] | Sequence[Any]
"""Models by name, or in a list."""
Predictions: TypeAlias = list[Any]
"""Each member's prediction for one event; None for a member that has none."""
PredictMember: TypeAlias = Callable[[Any, Any], Any]
"""A function of one member and one event that returns the member's prediction."""

LEAD: Final = 2.0
"""A member becomes the leader when its weight is more than this many times the leader's."""


class Mixture:
    """The running members of a mixture, and an untrained template of each for its restarts."""

    __slots__ = ("_adaptive", "_changes", "_failures", "_leader", "_restarts", "_templates", "models", "names", "weights")

    def __init__(self, members: Members) -> None:
        """Start with equal weights.

        Raises:
            ValueError: there is no member.
        """
        if not members:
            raise ValueError("a mixture needs at least one member")
        named = dict(members) if isinstance(members, Mapping) else _named(members)
        self.names = tuple(named)
        self.models: list[Any] = list(named.values())
        self.weights = [1.0 / len(named)] * len(named)
        self._templates = [model.clone() for model in self.models]
        self._adaptive = [index for index, model in enumerate(self.models) if isinstance(model, Adaptive)]
        self._failures = [0] * len(named)
        self._restarts = [0] * len(named)
        self._leader = 0
        self._changes = 0

    def templates(self) -> dict[str, Any]:
        """Untrained members by name; the caller must not train them."""
        return dict(zip(self.names, self._templates, strict=True))

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        models = self.models
        changes: int = sum(models[index].changes for index in self._adaptive)
        return self._changes + changes

    def standing(self) -> Standing:
        """Names, weights, restarts, failures and leader."""
        restarts = list(self._restarts)
        for index in self._adaptive:
            restarts[index] += sum(self.models[index].standing().restarts)
        weights, failures = tuple(self.weights), tuple(self._failures)
        return Standing(self.names, weights, tuple(restarts), failures, self.names[self._leader], self.changes)

    def predict(self, predict_member: PredictMember, x: Any) -> Predictions:
        """Every member's prediction for `x`; None for a member that raises."""
        predictions: Predictions = []
        for model in self.models:
            try:
                predictions.append(predict_member(model, x))
            except Exception:  # noqa: BLE001  a member is the user's choice and may raise anything; the others must go on
                predictions.append(None)
        return predictions

    def restart_failing(self, predictions: Predictions, predict_member: PredictMember, x: Any) -> None:
        """Let the members without a prediction predict again, and restart those that raise."""
        for index, prediction in enumerate(predictions):
            if prediction is None:
                try:
                    predict_member(self.models[index], x)
                except Exception:  # noqa: BLE001  as in `predict`
                    self._restart(index)

    def reweight(self, factors: Sequence[float], share: float) -> None:
        """Multiply each weight by its factor, scale the sum to 1 - share, and add an equal part of `share` to each weight."""
        weights = self.weights
        scaled = [weight * factor for weight, factor in zip(weights, factors, strict=True)]
        total = 0.0
        for weight in scaled:
            total += weight
        scale = (1.0 - share) / total
        floor = share / len(scaled)
        self.weights = weights = [scale * weight + floor for weight in scaled]
        highest = max(weights)
        if highest > LEAD * weights[self._leader]:
            self._leader = weights.index(highest)
            self._changes += 1

    def learn(self, x: Any, y: Any) -> None:
        """Let every member learn; one that raises is restarted and learns this event first."""
        for index, model in enumerate(self.models):
            try:
                model.learn_one(x, y)
            except Exception:  # noqa: BLE001  as in `predict`
                self._restart(index)
                try:
                    self.models[index].learn_one(x, y)
                except Exception:  # noqa: BLE001  an untrained member cannot learn this event either; it skips the event
                    self.models[index] = self._templates[index].clone()

    def _restart(self, index: int) -> None:
        """Count a failure of this member, and replace it by an untrained one."""
        model = self.models[index]
        if index in self._adaptive:  # a new model counts from 0
            self._restarts[index] += sum(model.standing().restarts)
            self._changes += model.changes
        self._failures[index] += 1
        self._restarts[index] += 1
        self._changes += 1
        self.models[index] = self._templates[index].clone()


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
