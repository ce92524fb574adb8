"""Which labels belong to which questions, and which may be classes: of the events of one shard, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.state import Saved
from stream_retrain.facts.shard import Rejected, ShardFact
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Event, Label
from stream_retrain.lane.classes import Classes
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.lane.outcome import Done
from stream_retrain.lane.questions import Question, Questions

__all__ = ["Labelling"]


class Labelling:
    """The questions that wait, the answers that came first, and the classes. Protocol of use: `matched`, then `settle` or `pass_over`."""

    def __init__(self, pipeline: Pipeline, questions: Saved | None, classes: Iterable[Label]) -> None:
        """Raises `StateError`."""
        self.questions = Questions.of(pipeline, questions)
        self.classes = Classes(classes, pipeline.classes_max, pipeline.schema.label_name)
        self.open_classes = self.classes.known if pipeline.task == "multiclass" and pipeline.schema.classes is None else None
        """The classes so far, where the schema does not name them."""

    @property
    def wait(self) -> bool:
        """Whether something waits that an event may belong to."""
        return bool(self.questions.waiting or self.questions.answers.early)

    def matched(self, event: Any, newest_s: float, facts: list[ShardFact]) -> tuple[Any, Question | None, float | None]:
        """The event with what waits under its id: the question that it answers, or the answer that came first; and the time between."""
        offset, id_, time_s, x, y = event
        text = text_of_id(id_)
        question = self.questions.waiting.get(text)
        if question is not None and text not in self.questions.expired(max(time_s, newest_s)):
            return event, question, time_s - question[0]
        answers = self.questions.answers
        if not answers.early or y is not None or x is None or (kept := answers.came_first(text, max(time_s, newest_s))) is None:
            return event, None, None
        first_s, y = kept
        if self.open_classes is not None and y not in self.open_classes:
            if self.classes.fault(y) is not None:
                facts.append(answers.drop(offset, text))
                return event, None, None
            self.classes.add(y, offset)
        return event._replace(y=y), None, first_s - time_s

    def settle(self, event: Event, delay_s: float | None, newest_s: float, done: Done) -> None:
        """An event was taken, which brought a question and its answer together where there is a time between them."""
        if delay_s is not None:
            done.delays_s.append(delay_s)
        done.facts += self.questions.settle(event.offset, newest_s, None if delay_s is None else text_of_id(event.id), event.y)

    def pass_over(self, event: Event, known: bool, newest_s: float, facts: list[ShardFact]) -> float:
        """A question that waits already is asked again; the answer to one that does not wait; or a label that was refused.

        What the newest event time is then.
        """
        if event.y is not None and (known or event.x is not None):
            return newest_s
        if known:
            detail = f"question {cut(text_of_id(event.id), 200)!r} was asked before and waits for its answer"
            facts.append(Rejected(offset=event.offset, reason="duplicate", detail=detail, time_s=event.time_s))
            return newest_s
        answers, time_s = self.questions.answers, max(newest_s, event.time_s)
        if (refusal := answers.refusal(event)) is not None:
            facts.append(refusal)
            return newest_s
        if self.open_classes is not None and self.classes.is_none(event, facts):
            return newest_s
        facts += self.questions.settle(event.offset, time_s)
        facts += answers.take(event)
        return time_s
