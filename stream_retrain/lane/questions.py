"""The questions of a shard that wait for their labels, in the order they were asked.

Each waits as `(time_s, x, prediction, generation, ballot)`: what the label is scored against is the prediction that was made when the
question was asked, by the model of that generation. Three limits hold: `pending_rows_max`, `pending_age_max_s` of event time, and
`pending_bytes_max` of an estimate of the memory they take; the oldest expire. One asked out of order waits for those before it.

What becomes of answers that find none of them is said in `lane.answers`.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.core.contest.duel import Ballot
from stream_retrain.core.labels import Labels
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.serve.predictor import Prediction
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.records import UnmatchedReason
from stream_retrain.facts.shard import Unmatched
from stream_retrain.facts.values import Features, Label
from stream_retrain.lane.answers import Answers

__all__ = ["Question", "Questions"]

Question: TypeAlias = tuple[float, Features, Prediction, int, "Ballot | None"]
_QUESTIONS: Final = Part.of("questions", "waiting", "answers", schema=2, migrations={1: lambda values: {**values, "answers": None}})

BYTES_A_QUESTION: Final = 300
BYTES_A_FEATURE: Final = 60


class Questions:
    """The waiting questions by id.

    They are in an ordered dict: the first of a plain one is found behind all that were answered before it.
    """

    def __init__(
        self,
        rows_max: int,
        age_max_s: float | None,
        bytes_max: int,
        features: int,
        texts: Sequence[str],
        labels: Labels,
        saved: Saved | None = None,
        *,
        sparse: bool = False,
    ) -> None:
        """`texts`: those of the features whose values are texts. `sparse`: each question has features of its own. Raises `StateError`.

        Where more are saved than may wait, the oldest are left out.
        """
        values: Saved = {"waiting": {}, "answers": None} if saved is None else _QUESTIONS.load(saved)
        self.answers = Answers(labels, values["answers"])
        a_question = BYTES_A_QUESTION + BYTES_A_FEATURE * features
        self._rows_max = min(rows_max, max(1, bytes_max // a_question))
        self._reason: UnmatchedReason = "expired_rows" if self._rows_max == rows_max else "expired_bytes"
        self._age_max_s = age_max_s
        self._bytes_max = bytes_max
        self._texts = texts
        self._sparse = sparse
        self._sized = bool(texts) or sparse
        self.waiting: OrderedDict[str, Question] = OrderedDict(values["waiting"])
        self._a_question = a_question
        self._bytes = sum(map(self._size, self.waiting.values()))
        while self.waiting and (len(self.waiting) > self._rows_max or self._bytes + a_question * len(self.waiting) > bytes_max):
            self._drop(next(iter(self.waiting)))

    @classmethod
    def of(cls, pipeline: Pipeline, saved: Saved | None = None) -> Questions:
        """Those of a pipeline. Raises `StateError`."""
        schema = pipeline.schema
        names, sparse = schema.feature_names, schema.sparse is not None
        texts = [name for name in names if schema.feature_type(name) is str]
        rows_max, age_max_s, bytes_max = pipeline.pending_rows_max, pipeline.pending_age_max_s, pipeline.pending_bytes_max
        return cls(rows_max, age_max_s, bytes_max, len(names), texts, pipeline.labels, saved, sparse=sparse)

    def expired(self, now_s: float) -> list[str]:
        """Those that have waited too long when event time is `now_s`, oldest first; they stay until `settle`."""
        if self._age_max_s is None:
            return []
        oldest_s = now_s - self._age_max_s
        return [id_ for id_, _ in itertools.takewhile(lambda item: item[1][0] < oldest_s, self.waiting.items())]

    def settle(self, offset: int, now_s: float, answered: str | None = None, y: Label | None = None) -> list[Unmatched]:
        """At an event: drop the question that it answers, or the answer that was kept for it, and what has waited too long by now; the
        facts."""
        if answered is not None and y is not None:
            if answered in self.waiting:
                self._drop(answered)
            else:
                self.answers.used(answered)
            self.answers.join(answered, y)
        if self._age_max_s is None and not self.answers.early:
            return []
        expired = [Unmatched(offset=offset, id=id_, reason="expired_age") for id_ in self.expired(now_s)]
        for fact in expired:
            self._drop(fact.id)
        if expired:
            self.answers.lost(expired)
        return [*expired, *self.answers.expire(offset, now_s)] if self.answers.early else expired

    def ask(self, offset: int, id_: str, question: Question) -> list[Unmatched]:
        """Let a question wait; while there is no place the oldest expires, at last the question itself."""
        gone: list[Unmatched] = []
        if len(self.waiting) >= self._rows_max:
            gone.append(self._expire(offset, self._reason))
        self.waiting[id_] = question
        if self._sized:
            self._bytes += self._size(question)
            while self._bytes + self._a_question * len(self.waiting) > self._bytes_max:
                gone.append(self._expire(offset, "expired_bytes"))
        if gone:
            self.answers.lost(gone)
        return gone

    def _expire(self, offset: int, reason: UnmatchedReason) -> Unmatched:
        oldest = next(iter(self.waiting))
        self._drop(oldest)
        return Unmatched(offset=offset, id=oldest, reason=reason)

    def _drop(self, id_: str) -> None:
        question = self.waiting.pop(id_)
        if self._sized:
            self._bytes -= self._size(question)

    def _size(self, question: Question) -> int:
        """The length of a question's texts, or of its names and numbers; what else it takes is counted as the same for all."""
        x: Any = question[1]
        if self._sparse:
            return BYTES_A_FEATURE * len(x) + sum(map(len, x))
        return sum([len(x[name]) for name in self._texts if x.get(name)])

    def snapshot(self) -> dict[str, Any]:
        """What the constructor needs to go on from here; shares the features, so serialise it at once."""
        return _QUESTIONS.save(waiting=dict(self.waiting), answers=self.answers.snapshot())
