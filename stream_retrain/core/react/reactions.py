"""Reactions: what to do when a rule holds, as declarations; never the doing of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.core.contest.challenger import ADDITIVE, FRESH, SINCE_CHANGE, Challenger, Start, Window
from stream_retrain.core.contest.evidence import Evidence

__all__ = ["Challenge", "FineTune", "Ignore", "Prune", "Race", "Reaction", "Reset", "Retrain", "Stop", "race_faults"]

KNOWN: Final = {challenger.name: challenger for challenger in (FRESH, SINCE_CHANGE, ADDITIVE)}
NAME_OF_ANOTHER: Final = "another"


@dataclasses.dataclass(frozen=True, slots=True)
class Ignore:
    """Do nothing but say so: the drift is a fact and a decision, and the model goes on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    """Replace the champion by a fresh model, and the detectors on its signals by fresh detectors."""


@dataclasses.dataclass(frozen=True, slots=True)
class Prune:
    """Let models give memory back, as often as it takes to be well within the limit.

    Half of the leaves of a Hoeffding tree stop growing, those that promise least. Half of the keys of a `PerKey` are dropped, those used
    longest ago. A model of your own has a method `shrink()` that says whether it could.

    Where that is not enough, it is a `Reset`. For rules of memory only.
    """


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Commit, save, and end the worker with an error that says why. For rules of memory only."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Challenge:
    """Let challengers race the champion on the live events; one that is shown to be better takes its place.

    challengers
        "fresh" starts from nothing, "since_change" from the labelled events since the most likely moment the errors rose; both are
        the pipeline's model. "additive" is of another family, cheap and quick to learn. Give `Challenger`s for others, or a River
        model: one of another family, which starts from nothing. `("fresh", "since_change")` keeps to the pipeline's model.
    window
        One more challenger, trained on it ("window").
    evidence
        How much must be shown and how long it is looked for; nothing is replaced on less.
    rematch
        Whether, where a model of another family has won, the best of the pipeline's own goes on racing it: it may learn more slowly
        and still be the better one in the end. It lasts until it has won its place, or something else is to be done.

    While a duel lasts every event costs about as many models as race.
    """

    challengers: Sequence[Any] = ("fresh", "since_change", "additive")
    window: Window | None = None
    evidence: Evidence = dataclasses.field(default_factory=Evidence)
    rematch: bool = True

    def contestants(self) -> tuple[Challenger, ...]:
        """The challengers, as declared."""
        named = [_challenger(each) for each in self.challengers]
        if self.window is not None:
            named.append(Challenger(name="window", window=self.window))
        return tuple(named)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrain:
    """Train a fresh model on `window`, `passes` times over it, and let it race the champion for its place."""

    window: Window
    passes: int = 1
    model: Any = None
    """A River model of another family, or "additive"; None: the pipeline's."""
    evidence: Evidence = dataclasses.field(default_factory=Evidence)

    def contestants(self) -> tuple[Challenger, ...]:
        """The one challenger."""
        return (Challenger(name="retrained", window=self.window, passes=self.passes, model=self.model),)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FineTune:
    """Go on training a copy of the champion on `window` (warm start), and let it race the champion for its place."""

    window: Window
    passes: int = 1
    model: Any = None
    """A River model that has learned, to go on from in the champion's stead: a stored version that the pipeline's module loads."""
    evidence: Evidence = dataclasses.field(default_factory=Evidence)

    def contestants(self) -> tuple[Challenger, ...]:
        """The one challenger."""
        start: Start = "champion" if self.model is None else "given"
        return (Challenger(name="fine_tuned", start=start, window=self.window, passes=self.passes, model=self.model),)


Race: TypeAlias = Challenge | Retrain | FineTune
"""The reactions that end in a duel."""
Reaction: TypeAlias = Ignore | Reset | Prune | Stop | Race


def _challenger(given: Any) -> Challenger:
    if isinstance(given, Challenger):
        return given
    if isinstance(given, str):
        return KNOWN.get(given) or Challenger(name=given, window=Window())  # `race_faults` says what is wrong with it
    return Challenger(name=NAME_OF_ANOTHER, model=given)


def race_faults(race: Race) -> Iterator[str]:
    """Every fault of a reaction that ends in a duel, as sentences."""
    yield from race.evidence.faults()
    unknown = [each for each in getattr(race, "challengers", ()) if isinstance(each, str) and each not in KNOWN]
    if unknown:
        yield f"challengers {', '.join(map(repr, unknown))}: use {', '.join(map(repr, KNOWN))}, a Challenger or a River model"
        return
    contestants = race.contestants()
    names = [challenger.name for challenger in contestants]
    if not names or len(set(names)) != len(names):
        yield f"challengers {names}: give at least one, each with a name of its own"
    for challenger in contestants:
        yield from challenger.faults()
    if sum(challenger.by_trainer for challenger in contestants) > 1:
        yield "at most one challenger may need the trainer (a window the shard does not keep, or several passes)"
