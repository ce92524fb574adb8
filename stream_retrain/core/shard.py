"""A shard: everything learned for one partition, as a function of (pipeline, log).

Protocol of use: the driver calls `process` with events in order of offset, takes the outcome, and may call `snapshot` between
two calls. Nothing else enters, so any split of a log into batches gives the same outcome and the same state.

One event, in this order (test, then train):

1. A question is answered by the champion as it was before this event; the answer waits until its label comes, or the label is
   there already.
2. The label scores the answer that was given, however many events ago, and whichever generation gave it.
3. The champion learns the label with the features the answer was made from.
4. The detectors take the event's signals. Errors of an earlier generation are not shown to the detectors of this one.
5. The policy is asked about the drifts, and its decision is carried out. The next event meets the new champion.

While a duel lasts (reaction `Challenge`) every contestant answers the question and learns the label; the one that serves is the
champion in what is said above, and each change of it begins a generation.

A model is foreign code: if it raises, the event becomes `Rejected` (reason "model") and the shard goes on. A pipeline of
River whose later step raises may have learned the event in an earlier one.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from stream_retrain.core.change_point import LOOK_BACK_EVENTS, events_since_rise, events_since_rise_of_losses
from stream_retrain.core.digest import digest
from stream_retrain.core.duel import Ballot, Contestant, Duel, DuelEnded, DuelFact, DuelSpec, DuelStarted, LeadChanged
from stream_retrain.core.messages import (
    Decided,
    DriftDetected,
    Event,
    Features,
    Label,
    Learned,
    ModelReset,
    Outcome,
    Predicted,
    Rejected,
    Unmatched,
)
from stream_retrain.core.observation import Observation
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Challenge, Decision, Situation
from stream_retrain.core.predictors import Answer, predictor
from stream_retrain.core.scores import Scored, needs_proba
from stream_retrain.core.signals import Direction, Watch, classification_loss, reading, regression_loss

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


class Dueling(NamedTuple):
    """A duel in progress, and which rule of the pipeline it carries out."""

    rule: int
    duel: Duel


class Shard:
    """The champion of one partition, its scores, detectors, policy and waiting questions."""

    def __init__(self, pipeline: Pipeline, snapshot: dict[str, Any] | None = None) -> None:
        state = snapshot or {}
        self._pipeline = pipeline
        self._regression = pipeline.task == "regression"
        self._binary = pipeline.task == "binary"
        self.generation: int = state.get("generation", 0)
        self.events_seen: int = state.get("events_seen", 0)
        self.questions_answered: int = state.get("questions_answered", 0)
        self._newest_time_s: float = state.get("newest_time_s", float("-inf"))
        self._pending: dict[str, Question] = state.get("pending", {})
        self._scores = pipeline.scores.build(state.get("scores"))
        self._keeps_proba = any(needs_proba(metric) for metric in pipeline.scores.metrics)
        self._policy = pipeline.policy.build(state.get("policy"))
        watchers = state.get("watchers") or [None] * len(pipeline.watch)
        self._watchers = [watch.build(saved) for watch, saved in zip(pipeline.watch, watchers, strict=True)]
        self._sort_watchers()
        self._install(state["model"] if snapshot else pipeline.model.clone())
        self._error = self._signal("error")
        self.duels: int = state.get("duels", 0)
        self._dueling: Dueling | None = None
        if (saved := state.get("dueling")) is not None:
            self._dueling = Dueling(saved["rule"], self._duel_spec(saved["rule"]).build(saved["duel"]))
        self._recent: collections.deque[tuple[Features, Any, float]] | None = None
        if any(isinstance(rule.do, Challenge) for rule in pipeline.react):
            self._recent = collections.deque(state.get("recent", ()), maxlen=LOOK_BACK_EVENTS)

    def process(self, events: Iterable[Event]) -> Outcome:
        """Take the next events of the log, in order of offset; return what they did."""
        batch = _Batch()
        for event in events:
            try:
                self._take(event, batch)
            except Exception as error:  # noqa: BLE001 - the model is foreign code; see the module's docstring
                if batch.predicted and batch.predicted[-1][0] == event.offset:
                    del batch.predicted[-1]
                detail = f"the model raised {type(error).__name__}: {error}"
                batch.facts.append(Rejected(offset=event.offset, reason="model", detail=detail))
        self._scores.update(batch.scored)
        return Outcome(list(map(_predicted, batch.predicted)), list(map(_learned, batch.learned)), batch.facts)

    def snapshot(self) -> dict[str, Any]:
        """The whole state; shares objects with the shard, so serialise it before the next `process`."""
        return {
            "model": self._model,
            "generation": self.generation,
            "events_seen": self.events_seen,
            "questions_answered": self.questions_answered,
            "newest_time_s": self._newest_time_s,
            "pending": self._pending,
            "scores": self._scores.snapshot(),
            "policy": self._policy.snapshot(),
            "watchers": [watcher.snapshot() for watcher in self._watchers],
            "duels": self.duels,
            "dueling": {"rule": self._dueling.rule, "duel": self._dueling.duel.snapshot()} if self._dueling else None,
            "recent": tuple(self._recent or ()),
        }

    def digest(self) -> str:
        """A digest of the state; equal where two shards will do the same from here on. Slow on big models."""
        return digest(self.snapshot())

    def observe(self) -> Observation:
        """What metrics and status show; costs an update of each metric for each event of the rolling score."""
        watched = zip(self._pipeline.watch, self._watchers, strict=True)
        return Observation(
            generation=self.generation,
            events_seen=self.events_seen,
            questions_answered=self.questions_answered,
            pending=len(self._pending),
            newest_time_s=self._newest_time_s,
            running=self._scores.running(),
            rolling=self._scores.rolling(),
            readings={(watch.signal, watch.detector_name): reading(watcher.detector) for watch, watcher in watched},
        )

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
            answer, ballot, happened = self._dueling.duel.ask(offset, time_s, x)
            if happened:
                self._follow(happened, batch)
        y_pred, proba = answer
        probability = self._probability(y_pred, proba) if proba else None
        batch.predicted.append((offset, id_, y_pred, probability, self.generation))
        if y is None:
            self._wait(offset, id_, Question(time_s, x, answer, self.generation, ballot), batch)
        else:
            self._teach(offset, y, (time_s, x, answer, self.generation, ballot), batch)
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
        elif happened := self._dueling.duel.step(offset, time_s, x, y, ballot):
            self._follow(happened, batch)
        self.events_seen += 1
        batch.learned.append((offset, time_s, x, y, y_pred))
        if self._recent is not None:
            self._recent.append((x, y, self._error(y, y_pred, proba) if y_pred is not None else 1.0))
        if self._watchers:
            drifts = self._watch(offset, time_s, x, y, answer, generation)
            if drifts:
                self._react(offset, time_s, drifts, batch)

    def _watch(self, offset: int, time_s: float, x: Features, y: Any, answer: Answer, generation: int) -> list[DriftDetected]:
        """Show the event's signals to the detectors; what they detected."""
        drifts: list[DriftDetected] = []
        y_pred, proba = answer
        if self._on_model and y_pred is not None and generation == self.generation:
            for watch, update, signal in self._on_model:
                value = signal(y, y_pred, proba)
                if value is not None and (direction := update(value)):
                    drifts.append(self._drift(offset, time_s, watch, direction, value))
        for watch, update, feature in self._on_features:
            number: Any = x.get(feature)
            if number is not None and (direction := update(number)):
                drifts.append(self._drift(offset, time_s, watch, direction, float(number)))
        return drifts

    def _drift(self, offset: int, time_s: float, watch: Watch, direction: Any, value: float) -> DriftDetected:
        return DriftDetected(
            offset=offset,
            time_s=time_s,
            signal=watch.signal,
            detector=watch.detector_name,
            direction=direction,
            value=value,
            generation=self.generation,
        )

    def _react(self, offset: int, time_s: float, drifts: list[DriftDetected], batch: _Batch) -> None:
        batch.facts.extend(drifts)
        generation = self.generation
        situation = Situation(self.events_seen, generation, tuple(drifts), dueling=self._dueling is not None)
        for decision in self._policy.decide(situation):
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
        cause = str(decision.rule.trigger)
        if isinstance(decision.rule.do, Challenge):
            batch.facts.append(self._challenge(offset, time_s, decision.rule.do, decision.index, cause))
            return
        self.generation += 1
        self._install(self._pipeline.model.clone())
        self._fresh_watchers()
        batch.facts.append(ModelReset(offset=offset, time_s=time_s, generation=self.generation, cause=cause))

    def _challenge(self, offset: int, time_s: float, reaction: Challenge, rule: int, cause: str) -> DuelStarted:
        """Train the challengers on what the shard has kept, and let them race from the next question on."""
        recent = list(self._recent or ())
        errors = [error for _, _, error in recent]
        since = events_since_rise_of_losses(errors) if self._regression else events_since_rise([int(error) for error in errors])
        contestants, trained_on = [], []
        for name in reaction.challengers:
            rows = recent[len(recent) - since :] if name == "since_change" else []
            model = self._pipeline.model.clone()
            for x, y, _ in rows:
                model.learn_one(x, y)
            contestants.append(Contestant(name, model))
            trained_on.append(len(rows))
        duel = self._duel_spec(rule).start(self.duels, self._model, contestants)
        self._dueling = Dueling(rule, duel)
        self.duels += 1
        return DuelStarted(
            offset=offset,
            time_s=time_s,
            duel=duel.number,
            contestants=("champion", *reaction.challengers),
            trained_on=(0, *trained_on),
            generation=self.generation,
            cause=cause,
        )

    def _follow(self, happened: Iterable[DuelFact], batch: _Batch) -> None:
        """Take over what a duel decided: who serves now, and at its end who is the champion."""
        for fact in happened:
            told: Any = fact
            if isinstance(fact, LeadChanged):
                self.generation += 1
                self._fresh_watchers()
                told = dataclasses.replace(fact, generation=self.generation)
            elif isinstance(fact, DuelEnded) and self._dueling is not None:
                self._install(self._dueling.duel.model)
                self._dueling = None
                self._fresh_watchers()
                told = dataclasses.replace(fact, generation=self.generation)
            batch.facts.append(told)

    def _duel_spec(self, rule: int) -> DuelSpec:
        reaction: Any = self._pipeline.react[rule].do
        return DuelSpec(evidence=reaction.evidence, task=self._pipeline.task, proba=self._pipeline.needs_proba)

    def _fresh_watchers(self) -> None:
        """Fresh detectors on the model's signals, for another model; the detectors on features go on."""
        watched = zip(self._pipeline.watch, self._watchers, strict=True)
        self._watchers = [watcher if watch.feature else watch.build() for watch, watcher in watched]
        self._sort_watchers()

    def _install(self, model: Any) -> None:
        self._model = model
        self._learn = model.learn_one
        self._predict = predictor(model, self._pipeline.task, proba=self._pipeline.needs_proba)

    def _sort_watchers(self) -> None:
        """Those that watch the model's signals, each with its signal, and those that watch features."""
        self._on_model: list[tuple[Watch, Callable[[float], Direction | None], Any]] = []
        self._on_features: list[tuple[Watch, Callable[[float], Direction | None], str]] = []
        for watch, watcher in zip(self._pipeline.watch, self._watchers, strict=True):
            if watch.feature is not None:
                self._on_features.append((watch, watcher.update, watch.feature))
            else:
                self._on_model.append((watch, watcher.update, self._signal(watch.signal)))

    def _signal(self, name: str) -> Any:
        """The function (y, y_pred, proba) -> value of a signal of the model."""
        match name, self._regression:
            case "error", True:
                return lambda y, y_pred, _: abs(y - y_pred)
            case "error", False:
                return lambda y, y_pred, _: 0 if y == y_pred else 1
            case "loss", True:
                return lambda y, y_pred, _: regression_loss(y, y_pred)
            case "loss", False:
                return lambda y, _, proba: classification_loss(y, proba) if proba else None
            case "prediction", True:
                return lambda _, y_pred, __: float(y_pred)
            case _:
                return lambda _, y_pred, proba: self._probability(y_pred, proba) if proba else None

    def _probability(self, y_pred: Label | None, proba: dict[Any, float]) -> float | None:
        """Of the positive class for a binary task, else of the answer."""
        if self._binary:
            return proba.get(True, 0.0)
        return proba.get(y_pred)
