"""The questions of a shard that wait for their labels, in the order they were asked.

Each waits as `(time_s, x, prediction, generation, ballot)`: what the label is scored against is the prediction that was made when the
question was asked, by the model of that generation. Both limits hold: `pending_rows_max`, and `pending_age_max_s` of event time; the
oldest expire. One asked out of order waits for those before it.
"""

from __future__ import annotations

import itertools
from typing import Any, Final, TypeAlias

from stream_retrain.core.contest.duel import Ballot
from stream_retrain.core.serve.predictor import Prediction
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.shard import Unmatched
from stream_retrain.facts.values import Features

__all__ = ["Question", "Questions"]

Question: TypeAlias = tuple[float, Features, Prediction, int, "Ballot | None"]
_QUESTIONS: Final = Part.of("questions", "waiting")


class Questions:
    """The waiting questions by id."""

    def __init__(self, rows_max: int, age_max_s: float | None, saved: Saved | None = None) -> None:
        """Raises `StateError`. Where more are saved than `rows_max`, the oldest are left out."""
        self._rows_max = rows_max
        self._age_max_s = age_max_s
        self.waiting: dict[str, Question] = {} if saved is None else _QUESTIONS.load(saved)["waiting"]
        for id_ in list(itertools.islice(self.waiting, max(0, len(self.waiting) - rows_max))):
            del self.waiting[id_]

    def expired(self, now_s: float) -> list[str]:
        """Those that have waited too long when event time is `now_s`, oldest first; they stay until `settle`."""
        if self._age_max_s is None:
            return []
        oldest_s = now_s - self._age_max_s
        return [id_ for id_, _ in itertools.takewhile(lambda item: item[1][0] < oldest_s, self.waiting.items())]

    def settle(self, offset: int, now_s: float, known: str | None = None) -> list[Unmatched]:
        """At an event: drop the question that it answers, if one is known, and those that have expired by now; the facts."""
        if known is not None:
            del self.waiting[known]
        gone = self.expired(now_s)
        for id_ in gone:
            del self.waiting[id_]
        return [Unmatched(offset=offset, id=id_, reason="expired_age") for id_ in gone]

    def ask(self, offset: int, id_: str, question: Question) -> list[Unmatched]:
        """Let a question wait; if there is no place the oldest expires."""
        gone: list[Unmatched] = []
        if len(self.waiting) >= self._rows_max:
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            gone.append(Unmatched(offset=offset, id=oldest, reason="expired_rows"))
        self.waiting[id_] = question
        return gone

    def snapshot(self) -> dict[str, Any]:
        """What the constructor needs to go on from here; shares the questions, so serialise it at once."""
        return _QUESTIONS.save(waiting=self.waiting)
