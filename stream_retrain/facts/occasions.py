"""Which decisions are which occasion: the one table by which callbacks and webhooks are called. docs/callbacks.md shows it.

An occasion is what a person waits for ("a model was promoted"); several kinds of decision may be one, and a decision may be several
occasions, or none. The names of kinds are texts here, because a receiver may be of another release than the worker that decided.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

__all__ = ["OCCASIONS", "Occasion", "When", "is_asked_for", "occasions_of"]

Occasion: TypeAlias = Literal["drift", "challenge", "promotion", "rollback", "success", "failure", "completion"]


class When(NamedTuple):
    """A kind of decision; with `field`, only those where that field has one of `values`."""

    kind: str
    words: str
    field: str | None = None
    values: tuple[str, ...] = ()

    def holds(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Whether a decision is one."""
        return kind == self.kind and (self.field is None or data.get(self.field) in self.values)


_TRAINED: Final = When("training.joined", "a training brought a challenger, which races from now on")
_NOT_TRAINED: Final = When("training.failed", "a training came to nothing")
_DECIDED: Final = When("duel.ended", "a duel ended with a verdict", "result", ("promoted", "kept"))
_ENDED: Final = When("duel.ended", "a duel ended, whatever came of it")
_PROMOTED: Final = When("model.promoted", "a model was promoted, or the former one brought back, by hand")
_RESET: Final = When("model.reset", "the model was reset by hand", "cause", ("request",))
_FULL: Final = When("memory.reached", "models take more memory than a rule allows")
_REFUSED: Final = When("request.refused", "a request was refused")
_OUT: Final = When("duel.contestant_failed", "a contestant raised, and is out of its duel")
_PAUSED: Final = When("intake.paused", "too many records were refused, and no more are taken")

OCCASIONS: Final[Mapping[Occasion, tuple[When, ...]]] = {
    "drift": (When("drift.detected", "a detector said that its signal changed"),),
    "challenge": (
        When("training.requested", "a challenger is to be trained"),
        When("duel.started", "challengers race the champion"),
    ),
    "promotion": (
        When("duel.ended", "a duel ended, and a challenger is the champion", "result", ("promoted",)),
        When("model.promoted", "a model was promoted by hand", "how", ("promote",)),
    ),
    "rollback": (
        When("duel.lead_changed", "the champion serves again in place of a challenger that had the lead", "now", ("champion",)),
        When("model.promoted", "the former model was brought back by hand", "how", ("rollback",)),
    ),
    "success": (_TRAINED, _DECIDED, _PROMOTED, _RESET),
    "failure": (_NOT_TRAINED, _OUT, _REFUSED, _PAUSED, _FULL),
    "completion": (_TRAINED, _NOT_TRAINED, _ENDED, _PROMOTED, _RESET, _REFUSED),
}
assert tuple(OCCASIONS) == typing.get_args(Occasion), "each occasion has its row"


def occasions_of(kind: str, data: Mapping[str, Any]) -> Iterator[Occasion]:
    """The occasions that a decision is."""
    for occasion, rows in OCCASIONS.items():
        if any(row.holds(kind, data) for row in rows):
            yield occasion


def is_asked_for(asked: tuple[str, ...], kind: str, data: Mapping[str, Any]) -> bool:
    """Whether somebody who asks for these occasions, or for kinds by their names, is told of a decision."""
    return kind in asked or any(occasion in asked for occasion in occasions_of(kind, data))
