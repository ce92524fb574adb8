"""Answers kept from the question until its label comes.

A model that scores itself needs its answer as it was when it was given; asking again at the label would cost a second
prediction, and with delayed labels would be another answer. So answers wait here under the *content* of the event, not under
the identity of its dict: a copy finds them, a dict that was changed meanwhile does not, and they are part of the state, so a
restored model goes on as one that never stopped. The number is bounded; the oldest leave, and their labels are then scored by
asking again.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

__all__ = ["KEPT_MAX", "Kept"]

Answer = TypeVar("Answer")

KEPT_MAX: Final = 1_000


class Kept(Generic[Answer]):
    """A bounded store of answers by the content of the event they were given for; of equal events the latest."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: dict[Any, tuple[tuple[Any, ...], Answer]] = {}  # by the values, beside the names: quicker to hash than pairs

    def __len__(self) -> int:
        return len(self._answers)

    def put(self, x: Any, answer: Answer) -> None:
        """Keep `answer` for `x`; an event that cannot be hashed is not kept."""
        answers = self._answers
        try:
            if isinstance(x, dict):
                answers[tuple(x.values())] = (tuple(x), answer)
            else:
                answers[x] = ((), answer)
        except TypeError:
            return
        if len(answers) > KEPT_MAX:
            del answers[next(iter(answers))]

    def take(self, x: Any) -> Answer | None:
        """The answer kept for `x`, which is then no longer kept; None if there is none."""
        answers = self._answers
        if not answers:
            return None
        try:
            key, names = (tuple(x.values()), tuple(x)) if isinstance(x, dict) else (x, ())
            held = answers.get(key)
        except TypeError:
            return None
        if held is None or held[0] != names:
            return None
        del answers[key]
        return held[1]

    def clear(self) -> None:
        """Forget every answer."""
        self._answers.clear()
