"""A shard: everything learned for one partition, as a function of (pipeline, log, recorded outside inputs).

Protocol of use: the driver calls `process` with events in order of offset, takes the outcome, and may call `snapshot` between
two calls, or `receive` as `core.inputs` says. Nothing else enters, so any split of a log into batches gives the same outcome and the
same state.

One event, in this order (test, then train):

1. What came from outside since the last event takes effect.
2. A question is answered by the champion as it was before this event; the answer waits until its label comes, or the label is
   there already.
3. The label scores the answer that was given, however many events ago, and whichever generation gave it.
4. The champion learns the label with the features the answer was made from.
5. The detectors take the event's signals. Errors of an earlier generation are not shown to the detectors of this one.
6. The policy is shown the event, and its decisions are carried out. The next event meets the new champion.

While a duel lasts every contestant answers the question and learns the label; the one that serves is the champion in what is said
above, and each change of it begins a generation.

A model is foreign code: if it raises, the event becomes `Rejected` (reason "model") and the shard goes on. A pipeline of
River whose later step raises may have learned the event in an earlier one.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from stream_retrain.core.digest import digest
from stream_retrain.core.duel import Ballot, DuelEnded, DuelFact, LeadChanged
from stream_retrain.core.inputs import Ended, Input, Request, Trained
from stream_retrain.core.members import Members
from stream_retrain.core.messages import (
    Decided,
    DriftDetected,
    Event,
    Features,
    Label,
    Learned,
    Outcome,
    Predicted,
    Rejected,
    Requested,
    Unmatched,
    WarningRaised,
)
from stream_retrain.core.observation import Observation
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Decision, Race
from stream_retrain.core.predictors import Answer, predictor
from stream_retrain.core.scores import Scored, needs_proba
from stream_retrain.core.succession import Cause, Succession
from stream_retrain.core.training import Training
from stream_retrain.core.triggers import Moment
from stream_retrain.core.watching import Watching, probability_of, signal_of

__all__ = ["Shard"]

# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_predicted: Callable[[tuple[Any, ...]], Predicted] = functools.partial(tuple.__new__, Predicted)
_learned: Callable[[tuple[Any, ...]], Learned] = functools.partial(tuple.__new__, Learned)


class Question(NamedTuple):
    """An answered question whose label has not come yet."""

    time_s: float
    x: Features
    answer: Answer
    generation: int
    ballot: Ballot | None
    """What each contestant answered, if a duel was in progress."""


QuestionTuple: TypeAlias = tuple[float, Features, Answer, int, Ballot | None]
"""A question as a plain tuple, in the order of `Question`, which is one."""


class _Batch:
    """What a batch has done so far: plain tuples, made into facts and scored at its end, in tight loops."""

    __slots__ = ("facts", "learned", "predicted", "scored")

    def __init__(self) -> None:
        self.predicted: list[tuple[Any, ...]] = []
        self.learned: list[tuple[Any, ...]] = []
        self.scored: list[Scored] = []
        self.facts: list[Any] = []


class Shard:
    """The champion of one partition, its scores, detectors, policy and waiting questions."""

    def __init__(self, pipeline: Pipeline, snapshot: dict[str, Any] | None = None) -> None:
        state = snapshot or {}
        self._pipeline = pipeline
        self.events_seen: int = state.get("events_seen", 0)
        self.questions_answered: int = state.get("questions_answered", 0)
        self._newest_time_s: float = state.get("newest_time_s", float("-inf"))
        self._pending: dict[str, Question] = state.get("pending", {})
        self._scores = pipeline.scores.build(state.get("scores"))
        self._keeps_proba = any(needs_proba(metric) for metric in pipeline.scores.metrics)
        self._policy = pipeline.policy.build(state.get("policy"))
        self._every_event = pipeline.policy.every_event
        self._watching = Watching(pipeline, state.get("watching"))
        self._watches = bool(pipeline.watch)
        self._error = signal_of("error", pipeline.task)
        self._inputs: list[Input] = list(state.get("inputs", ()))
        self._requested: bool = state.get("requested", False)
        self.requests_through: int = state.get("requests_through", 0)
        """The number of the last request that was received."""
        self._succession = Succession(pipeline, state.get("succession"))
        self._remembers = self._succession.remembers
        self._serve(state.get("members"))

    @property
    def training(self) -> Training | None:
        """The training this shard waits for; None too where its answer is there and takes effect with the next event."""
        training = self._succession.training
        if training is not None and any(isinstance(given, Trained | Ended) and given.training == training.number for given in self._inputs):
            return None
        return training

    @property
    def training_base(self) -> Any:
        """The model that training starts from; None: a fresh one."""
        return self._succession.base

    def receive(self, given: Input) -> None:
        """Take an input from outside; it takes effect with the next event (see `core.inputs`)."""
        if isinstance(given, Request):
            if 0 < given.number <= self.requests_through:
                return
            self.requests_through = max(self.requests_through, given.number)
        self._inputs.append(given)

    def process(self, events: Iterable[Event]) -> Outcome:
        """Take the next events of the log, in order of offset; return what they did."""
        batch = _Batch()
        coming = events if isinstance(events, list) else list(events)
        at, end = 0, len(coming)
        while at < end:
            if self._inputs:
                self._take_inputs(coming[at], batch)
            elif not (self._every_event or self._pending or self._requested or self._dueling):
                at = self._take_plain(coming, at, batch)
                if at == end:
                    break
            try:
                self._take(coming[at], batch)
            except Exception as error:  # noqa: BLE001 - the model is foreign code; see the module's docstring
                self._refuse(coming[at], error, batch)
            at += 1
        self._scores.update(batch.scored)
        return Outcome(list(map(_predicted, batch.predicted)), list(map(_learned, batch.learned)), batch.facts)

    def snapshot(self) -> dict[str, Any]:
        """The whole state; shares objects with the shard, so serialise it before the next `process`."""
        return {
            "events_seen": self.events_seen,
            "questions_answered": self.questions_answered,
            "newest_time_s": self._newest_time_s,
            "pending": self._pending,
            "scores": self._scores.snapshot(),
            "policy": self._policy.snapshot(),
            "watching": self._watching.snapshot(),
            "inputs": tuple(self._inputs),
            "requested": self._requested,
            "requests_through": self.requests_through,
            "succession": self._succession.snapshot(),
            "members": self._members.snapshot(),
        }

    def digest(self) -> str:
        """A digest of the state; equal where two shards will do the same from here on. Slow on big models."""
        return digest(self.snapshot())

    def observe(self) -> Observation:
        """What metrics and status show; costs an update of each metric for each event of the rolling score."""
        training = self._succession.training
        return Observation(
            generation=self.generation,
            events_seen=self.events_seen,
            questions_answered=self.questions_answered,
            pending=len(self._pending),
            newest_time_s=self._newest_time_s,
            running=self._scores.running(),
            rolling=self._scores.rolling(),
            readings=self._watching.readings(),
            dueling=self._dueling is not None,
            training=training.number if training else None,
            members=self._members.standing(),
        )

    def _take_inputs(self, event: Event, batch: _Batch) -> None:
        given, self._inputs = self._inputs, []
        time_s = max(self._newest_time_s, event.time_s)
        for each in given:
            match each:
                case Trained():
                    batch.facts += self._succession.join(event.offset, time_s, each)
                case Ended():
                    batch.facts += self._succession.fail(event.offset, time_s, each)
                case Request():
                    self._requested = True
                    batch.facts.append(Requested(offset=event.offset, time_s=time_s, reason=each.reason))
        self._dueling = self._succession.duel

    def _refuse(self, event: Event, error: Exception, batch: _Batch) -> None:
        if batch.predicted and batch.predicted[-1][0] == event.offset:
            del batch.predicted[-1]
        detail = f"the model raised {type(error).__name__}: {error}"
        batch.facts.append(Rejected(offset=event.offset, reason="model", detail=detail))

    def _take_plain(self, events: list[Event], at: int, batch: _Batch) -> int:
        """Take events from `at` on while nothing else goes on: each is answered and learned at once. Where that ended.

        It does to an event what `_take` does, without looking at what is not there: it saves 2 us of the 5 that the shard costs beside
        a Hoeffding tree. A test compares the two.
        """
        predict, learn, generation, task = self._predict, self._learn, self.generation, self._pipeline.task
        keeps_proba, remembers, adapts, watches = self._keeps_proba, self._remembers, self._adapts, self._watches
        predicted, learned, scored, see = batch.predicted.append, batch.learned.append, batch.scored.append, self._watching.see
        for event in itertools.islice(events, at, None):
            offset, id_, time_s, x, y = event
            if x is None or y is None:
                break
            at += 1
            if time_s > self._newest_time_s:
                self._newest_time_s = time_s
            try:
                answer = y_pred, proba = predict(x)
                predicted((offset, id_, y_pred, probability_of(task, y_pred, proba) if proba else None, generation))
                if y_pred is not None:
                    scored((y, y_pred, proba if keeps_proba else None))
                learn(x, y)
                self.events_seen += 1
                learned((offset, time_s, x, y, y_pred))
                if remembers:
                    self._succession.remember(x, y, self._error(y, y_pred, proba) if y_pred is not None else 1.0)
                if adapts and self._members.changed():
                    batch.facts += self._members.tell(offset, time_s, generation)
                if watches and (seen := see(offset, time_s, x, y, answer, generation, of_now=True)):
                    self._consider(offset, time_s, y, answer, seen, batch)
                    self.questions_answered += 1
                    break
            except Exception as error:  # noqa: BLE001 - the same
                self._refuse(event, error, batch)
                break
            self.questions_answered += 1
        return at

    def _take(self, event: Event, batch: _Batch) -> None:
        offset, id_, time_s, x, y = event
        if time_s > self._newest_time_s:
            self._newest_time_s = time_s
        if self._pending:
            self._expire(offset, batch)
            if id_ in self._pending:
                self._take_known(event, batch)
                return
        if x is None:
            batch.facts.append(Unmatched(offset=offset, id=id_, reason="no_question"))
            return
        if self._dueling is None:
            answer, ballot = self._predict(x), None
        else:
            answer, ballot, happened = self._dueling.ask(offset, time_s, x)
            if happened:
                self._follow(happened, batch)
        y_pred, proba = answer
        generation = self.generation
        probability = probability_of(self._pipeline.task, y_pred, proba) if proba else None
        batch.predicted.append((offset, id_, y_pred, probability, generation))
        if y is None:
            self._wait(offset, id_, Question(time_s, x, answer, generation, ballot), batch)
        else:
            self._teach(offset, y, (time_s, x, answer, generation, ballot), batch)
        self.questions_answered += 1

    def _take_known(self, event: Event, batch: _Batch) -> None:
        """An event whose id waits already: its answer, or the same question again."""
        if event.y is None:
            detail = f"question {event.id!r} was asked before and waits for its answer"
            batch.facts.append(Rejected(offset=event.offset, reason="duplicate", detail=detail))
            return
        question = self._pending.pop(event.id)
        self._teach(event.offset, event.y, question._replace(time_s=event.time_s), batch)

    def _wait(self, offset: int, id_: str, question: Question, batch: _Batch) -> None:
        if len(self._pending) >= self._pipeline.pending_rows_max:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            batch.facts.append(Unmatched(offset=offset, id=oldest, reason="expired_rows"))
        self._pending[id_] = question

    def _expire(self, offset: int, batch: _Batch) -> None:
        """Drop the questions that have waited too long, oldest first; one asked out of order waits for those before it."""
        age_max_s = self._pipeline.pending_age_max_s
        if age_max_s is None:
            return
        oldest_s = self._newest_time_s - age_max_s
        while self._pending:
            id_, question = next(iter(self._pending.items()))
            if question.time_s >= oldest_s:
                return
            del self._pending[id_]
            batch.facts.append(Unmatched(offset=offset, id=id_, reason="expired_age"))

    def _teach(self, offset: int, y: Label, question: QuestionTuple, batch: _Batch) -> None:
        time_s, x, answer, generation, ballot = question
        y_pred, proba = answer
        if y_pred is not None:
            batch.scored.append((y, y_pred, proba if self._keeps_proba else None))
        if self._dueling is None:
            self._learn(x, y)
        else:
            self._succession.teach_waiting(x, y)
            if happened := self._dueling.step(offset, time_s, x, y, ballot):
                self._follow(happened, batch)
        self.events_seen += 1
        batch.learned.append((offset, time_s, x, y, y_pred))
        if self._remembers:
            self._succession.remember(x, y, self._error(y, y_pred, proba) if y_pred is not None else 1.0)
        if self._adapts and self._members.changed():
            batch.facts += self._members.tell(offset, time_s, self.generation)
        now = self.generation
        seen = self._watching.see(offset, time_s, x, y, answer, now, of_now=generation == now) if self._watches else ()
        if seen or self._every_event or self._requested:
            self._consider(offset, time_s, y, answer, seen, batch)

    def _consider(self, offset: int, time_s: float, y: Label, answer: Answer, seen: Iterable[Any], batch: _Batch) -> None:
        """Show the policy the event, and carry out what it decides."""
        batch.facts.extend(seen)
        generation = self.generation
        moment = Moment(
            events_seen=self.events_seen,
            time_s=self._newest_time_s,
            generation=generation,
            drifted=frozenset([fact.signal for fact in seen if isinstance(fact, DriftDetected)]),
            warned=frozenset([fact.signal for fact in seen if isinstance(fact, WarningRaised)]),
            requested=self._requested,
            y=y,
            y_pred=answer[0],
            proba=answer[1],
        )
        self._requested = False
        decisions = self._policy.decide(moment, dueling=self._succession.busy, training=self._succession.training is not None)
        for decision in decisions:
            rule = decision.rule
            batch.facts.append(
                Decided(
                    offset=offset,
                    time_s=time_s,
                    trigger=str(rule.trigger),
                    reaction=type(rule.do).__name__,
                    outcome=decision.outcome,
                    generation=generation,
                    events_seen=self.events_seen,
                )
            )
            if decision.outcome == "done":
                self._carry_out(offset, time_s, decision, batch)

    def _carry_out(self, offset: int, time_s: float, decision: Decision, batch: _Batch) -> None:
        cause = Cause(offset, time_s, decision.index, str(decision.rule.trigger), self.events_seen)
        if isinstance(decision.rule.do, Race):
            batch.facts += self._succession.race(cause, decision.rule.do)
            self._dueling = self._succession.duel
            return
        batch.facts += self._succession.reset(cause)
        self._serve()
        self._watching.begin_afresh()

    def _follow(self, happened: Iterable[DuelFact], batch: _Batch) -> None:
        """Take over what a duel decided: who serves now, and at its end who is the champion."""
        dueling = self._succession.dueling
        batch.facts += self._succession.follow(happened)
        if dueling is not None and any(isinstance(fact, DuelEnded) for fact in happened):
            self._policy.acted(dueling.rule, self.events_seen)
        if any(isinstance(fact, LeadChanged | DuelEnded) for fact in happened):
            self._serve()
            self._watching.begin_afresh()

    def _serve(self, members: dict[str, Any] | None = None) -> None:
        """Bind what is called at every event to the model that serves now."""
        served = self._succession.served
        self.generation: int = self._succession.generation
        self._dueling = self._succession.duel
        self._learn = served.learn_one
        self._predict = predictor(served, self._pipeline.task, proba=self._pipeline.needs_proba)
        self._members = Members(served, members)
        self._adapts = self._members.adapts
