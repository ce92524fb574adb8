"""The members of a mixture: their weights by fixed share, what happens when one raises, and which of them leads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.models.adaptive import Adaptive, Standing

__all__ = ["Answers", "Members", "Templates", "named"]

Templates: TypeAlias = Mapping[str, Any] | Sequence[Any]
Answers: TypeAlias = list[Any]
"""Each member's answer to one question; None: it has none."""
Question: TypeAlias = Callable[[Any, Any], Any]
"""How one member is asked about one event."""

LEAD: Final = 2.0
"""How many times the leader's weight another must have to lead."""


def named(members: Templates) -> dict[str, Any]:
    """The members by name: as given, or by what they are called, numbered where two are called the same.

    Raises:
        ValueError: there is none.
    """
    if not members:
        raise ValueError("a mixture needs at least one member")
    if isinstance(members, Mapping):
        return dict(members)
    found: dict[str, Any] = {}
    for member in members:
        name = _name(member)
        count = 2
        while name in found:
            name = f"{_name(member)}_{count}"
            count += 1
        found[name] = member
    return found


def _name(member: Any) -> str:
    while hasattr(member, "_last_step"):
        member = member._last_step
    return str(member)


class Members:
    """The running members of a mixture; `templates` are never trained and serve to start one afresh."""

    __slots__ = ("_changes", "_failures", "_leader", "_restarts", "_templates", "_watched", "models", "names", "weights")

    def __init__(self, members: Templates) -> None:
        found = named(members)
        self.names = tuple(found)
        self.models: list[Any] = list(found.values())
        self.weights = [1.0 / len(found)] * len(found)
        self._templates = [model.clone() for model in self.models]
        self._watched = [place for place, model in enumerate(self.models) if isinstance(model, Adaptive)]
        self._failures = [0] * len(found)
        self._restarts = [0] * len(found)
        self._leader = 0
        self._changes = 0

    def templates(self) -> dict[str, Any]:
        """Untrained members by name; not to be trained."""
        return dict(zip(self.names, self._templates, strict=True))

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        models = self.models
        changes: int = sum(models[place].changes for place in self._watched)
        return self._changes + changes

    def standing(self) -> Standing:
        """How the members stand now."""
        restarts = list(self._restarts)
        for place in self._watched:
            restarts[place] += sum(self.models[place].standing().restarts)
        weights, failures = tuple(self.weights), tuple(self._failures)
        return Standing(self.names, weights, tuple(restarts), failures, self.names[self._leader], self.changes)

    def ask(self, question: Question, x: Any) -> Answers:
        """Every member's answer."""
        answers: Answers = []
        for model in self.models:
            try:
                answers.append(question(model, x))
            except Exception:  # noqa: BLE001  a member is the user's choice and may raise anything; the mixture goes on without it
                answers.append(None)
        return answers

    def revive(self, answers: Answers, question: Question, x: Any) -> None:
        """Ask those again that had no answer; one that raises now, at the label, starts afresh."""
        for place, answer in enumerate(answers):
            if answer is None:
                try:
                    question(self.models[place], x)
                except Exception:  # noqa: BLE001  as in `ask`
                    self.restart(place)

    def weigh(self, factors: list[float | None], typical: float, share: float) -> None:
        """Multiply each weight by its factor, a sleeper's by `typical`; make them add up to 1; then deal out the share."""
        weights = self.weights
        scaled = [weight * (typical if factor is None else factor) for weight, factor in zip(weights, factors, strict=True)]
        keep = (1.0 - share) / sum(scaled)
        floor = share / len(scaled)
        self.weights = weights = [keep * weight + floor for weight in scaled]
        highest = max(weights)
        if highest > LEAD * weights[self._leader]:
            self._leader = weights.index(highest)
            self._changes += 1

    def learn(self, x: Any, y: Any) -> None:
        """Let every member learn; one that raises is counted, and starts afresh with this lesson."""
        for place, model in enumerate(self.models):
            try:
                model.learn_one(x, y)
            except Exception:  # noqa: BLE001  as in `ask`
                self.restart(place)
                try:
                    self.models[place].learn_one(x, y)
                except Exception:  # noqa: BLE001  this event is too much even for a fresh one: it waits for the next
                    self.models[place] = self._templates[place].clone()

    def restart(self, place: int) -> None:
        """Start a member that raised afresh."""
        model = self.models[place]
        if place in self._watched:
            self._restarts[place] += sum(model.standing().restarts)
            self._changes += model.changes
        self._failures[place] += 1
        self._restarts[place] += 1
        self._changes += 1
        self.models[place] = self._templates[place].clone()
