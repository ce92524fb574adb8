"""Answers that find no waiting question: what is kept of them, and how they are told apart.

- Its question has not come: it is kept, where `Labels` says so, and learned when the question comes, which is predicted first (law 1). The
  first answer kept for a question stands. One that waits too long is given up, and so are the oldest where there is no place.
- Its question was answered before: a duplicate where the label is the same, else a correction. Neither is learned.
- Its question expired before: it is late.
- Nothing is known of its question.

How questions ended is remembered for the last `remembered_rows_max` of those that waited for their answers; a question whose label came
with it is not among them. All of this is state of the shard, so that a replay agrees.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Any, Final

from stream_retrain.core.labels import Labels
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.observation import LabelCounts
from stream_retrain.facts.records import Rejected, Unmatched, UnmatchedReason
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Event, Label
from stream_retrain.lane.event_id import text_of_id

__all__ = ["Answers"]

BYTES_AN_ANSWER: Final = 250
_ANSWERS: Final = Part.of("answers", "early", "settled", "joined", "unjoined", "expired")


class Answers:
    """Protocol of use: `came_first` at a question, then `used`; `refusal` and `take` at an answer; `join` and `lost` as questions end."""

    def __init__(self, labels: Labels, saved: Saved | None = None) -> None:
        """Raises `StateError`. Where more are saved than may be kept, the oldest are left out."""
        values: Saved = {"early": {}, "settled": {}, **dict.fromkeys(("joined", "unjoined", "expired"), 0)}
        values = values if saved is None else _ANSWERS.load(saved)
        self._labels = labels
        self._age_max_s = labels.early_s
        self._remembered_max = labels.remembered_rows_max
        self.early: OrderedDict[str, tuple[float, Label]] = OrderedDict(values["early"] if self._age_max_s else {})
        """Answers whose questions have not come, by id: event time and label."""
        self._bytes = sum(itertools.starmap(_size, self.early.items()))
        self._settled: OrderedDict[str, Label | None] = OrderedDict(values["settled"])
        """By id, oldest first, how questions ended that waited: the label, or None for those that expired."""
        self._joined: int = values["joined"]
        self._unjoined: int = values["unjoined"]
        self._expired: int = values["expired"]
        while self._reason() is not None:
            self._forget(next(iter(self.early)))
        while len(self._settled) > self._remembered_max:
            self._settled.popitem(last=False)

    def came_first(self, id_: str, now_s: float) -> tuple[float, Label] | None:
        """The answer that is kept for a question, unless it has waited too long when event time is `now_s`; it stays until `used`."""
        kept = self.early.get(id_)
        return kept if kept is not None and kept[0] >= now_s - self._age_max_s else None

    def used(self, id_: str) -> None:
        """The answer that was kept for a question was learned."""
        self._forget(id_)

    def join(self, id_: str, y: Label) -> None:
        """A question has its answer."""
        self._joined += 1
        self._remember(id_, y)

    def lost(self, expired: list[Unmatched]) -> None:
        """Questions have expired."""
        self._expired += len(expired)
        for fact in expired:
            self._remember(fact.id, None)

    def refusal(self, event: Event) -> Rejected | None:
        """Of a correction, where its record is to be kept: nothing else becomes of it."""
        if self._labels.corrections != "dead_letter" or self._kind(event) != "correction":
            return None
        detail = f"question {cut(text_of_id(event.id), 200)!r} was answered before, with another label"
        return Rejected(offset=event.offset, reason="correction", detail=detail, time_s=event.time_s)

    def take(self, event: Event) -> list[Unmatched]:
        """An answer whose question does not wait: keep it, or say why not; and what is given up for it."""
        assert event.y is not None
        id_ = text_of_id(event.id)
        if (reason := self._kind(event)) is not None:
            self._unjoined += 1
            return [Unmatched(offset=event.offset, id=id_, reason=reason)]
        self.early[id_] = (event.time_s, event.y)
        self._bytes += _size(id_, self.early[id_])
        return self._make_room(event.offset)

    def drop(self, offset: int, id_: str) -> Unmatched:
        """The label kept for a question cannot be a class of the task any more."""
        self._forget(id_)
        self._unjoined += 1
        return Unmatched(offset=offset, id=id_, reason="early_refused")

    def expire(self, offset: int, now_s: float) -> list[Unmatched]:
        """Give up those that have been kept too long when event time is `now_s`."""
        oldest_s = now_s - self._age_max_s
        gone = [id_ for id_, _ in itertools.takewhile(lambda item: item[1][0] < oldest_s, self.early.items())]
        return [self._give_up(offset, id_, "early_age") for id_ in gone]

    @property
    def counts(self) -> LabelCounts:
        """What became of questions and answers so far."""
        return LabelCounts(self._joined, self._unjoined, self._expired, len(self.early))

    def snapshot(self) -> dict[str, Any]:
        """What the constructor needs to go on from here."""
        counts = {"joined": self._joined, "unjoined": self._unjoined, "expired": self._expired}
        return _ANSWERS.save(early=dict(self.early), settled=dict(self._settled), **counts)

    def _kind(self, event: Event) -> UnmatchedReason | None:
        """Why an answer cannot be kept for its question; None where it can be."""
        id_, y = text_of_id(event.id), event.y
        if id_ in self._settled:
            label = self._settled[id_]
            return "late" if label is None else "duplicate" if label == y else "correction"
        if not self._age_max_s:
            return "no_question"
        if id_ in self.early:
            return "duplicate" if self.early[id_][1] == y else "correction"
        return None

    def _make_room(self, offset: int) -> list[Unmatched]:
        gone: list[Unmatched] = []
        while (reason := self._reason()) is not None:
            gone.append(self._give_up(offset, next(iter(self.early)), reason))
        return gone

    def _reason(self) -> UnmatchedReason | None:
        if len(self.early) > self._labels.early_rows_max:
            return "early_rows"
        return "early_bytes" if self._bytes > self._labels.early_bytes_max else None

    def _give_up(self, offset: int, id_: str, reason: UnmatchedReason) -> Unmatched:
        self._forget(id_)
        self._unjoined += 1
        return Unmatched(offset=offset, id=id_, reason=reason)

    def _forget(self, id_: str) -> None:
        self._bytes -= _size(id_, self.early.pop(id_))

    def _remember(self, id_: str, y: Label | None) -> None:
        settled = self._settled
        if id_ in settled:
            settled.move_to_end(id_)
        settled[id_] = y
        if len(settled) > self._remembered_max:
            settled.popitem(last=False)


def _size(id_: str, kept: tuple[float, Label]) -> int:
    return BYTES_AN_ANSWER + len(id_) + (len(kept[1]) if isinstance(kept[1], str) else 0)
