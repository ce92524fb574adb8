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

A model is foreign code: if it raises, the event becomes `Rejected` (reason "model") and the shard goes on. A pipeline of
River whose later step raises may have learned the event in an earlier one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from stream_retrain.core.digest import digest
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
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Situation
from stream_retrain.core.predictors import Answer, predictor
from stream_retrain.core.signals import Reading, Watch, Watcher, classification_loss, reading, regression_loss

__all__ = ["Observation", "Shard"]

# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_predicted: Callable[[tuple[Any, ...]], Predicted] = functools.partial(tuple.__new__, Predicted)
_learned: Callable[[tuple[Any, ...]], Learned] = functools.partial(tuple.__new__, Learned)


class Question(NamedTuple):
    """An answered question whose label has not come yet."""

    time_s: float
    x: Features
    answer: Answer
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What can be seen of a shard at a moment, for metrics, status and reports."""

    generation: int
    events_seen: int
    questions_answered: int
    pending: int
    newest_time_s: float
    running: dict[str, float]
    rolling: dict[str, float]
    readings: dict[tuple[str, str], Reading]
    """By signal and detector."""


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
        self._policy = pipeline.policy.build(state.get("policy"))
        watchers = state.get("watchers") or [None] * len(pipeline.watch)
        self._watchers = [watch.build(saved) for watch, saved in zip(pipeline.watch, watchers, strict=True)]
        self._sort_watchers()
        self._install(state["model"] if snapshot else pipeline.model.clone())

    def process(self, events: Iterable[Event]) -> Outcome:
        """Take the next events of the log, in order of offset; return what they did."""
        outcome = Outcome()
        for event in events:
            predicted = len(outcome.predicted)
            try:
                self._take(event, outcome)
            except Exception as error:  # noqa: BLE001 - the model is foreign code; see the module's docstring
                del outcome.predicted[predicted:]
                detail = f"the model raised {type(error).__name__}: {error}"
                outcome.facts.append(Rejected(offset=event.offset, reason="model", detail=detail))
        return outcome

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

    def _take(self, event: Event, outcome: Outcome) -> None:
        offset, id_, time_s, x, y = event
        if time_s > self._newest_time_s:
            self._newest_time_s = time_s
        if self._pending:
            self._expire(offset, outcome)
            if id_ in self._pending:
                self._take_known(event, outcome)
                return
        if x is None:
            outcome.facts.append(Unmatched(offset=offset, id=id_, reason="no_question"))
            return
        answer = self._predict(x)
        y_pred, proba = answer
        probability = self._probability(y_pred, proba) if proba else None
        outcome.predicted.append(_predicted((offset, id_, y_pred, probability, self.generation)))
        if y is None:
            self._wait(offset, id_, Question(time_s, x, answer, self.generation), outcome)
        else:
            self._teach(offset, time_s, x, y, answer, self.generation, outcome)
        self.questions_answered += 1

    def _take_known(self, event: Event, outcome: Outcome) -> None:
        """An event whose id waits already: its answer, or the same question again."""
        if event.y is None:
            detail = f"question {event.id!r} was asked before and waits for its answer"
            outcome.facts.append(Rejected(offset=event.offset, reason="duplicate", detail=detail))
            return
        question = self._pending.pop(event.id)
        self._teach(event.offset, event.time_s, question.x, event.y, question.answer, question.generation, outcome)

    def _wait(self, offset: int, id_: str, question: Question, outcome: Outcome) -> None:
        if len(self._pending) >= self._pipeline.pending_rows_max:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            outcome.facts.append(Unmatched(offset=offset, id=oldest, reason="expired_rows"))
        self._pending[id_] = question

    def _expire(self, offset: int, outcome: Outcome) -> None:
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
            outcome.facts.append(Unmatched(offset=offset, id=id_, reason="expired_age"))

    def _teach(self, offset: int, time_s: float, x: Features, y: Label, answer: Answer, generation: int, outcome: Outcome) -> None:
        y_pred, proba = answer
        if y_pred is not None:
            self._scores.update(y, y_pred, proba)
        self._learn(x, y)
        self.events_seen += 1
        outcome.learned.append(_learned((offset, time_s, x, y, y_pred)))
        if self._watchers:
            drifts = self._watch(offset, time_s, x, y, answer, generation)
            if drifts:
                self._react(offset, time_s, drifts, outcome)

    def _watch(self, offset: int, time_s: float, x: Features, y: Any, answer: Answer, generation: int) -> list[DriftDetected]:
        """Show the event's signals to the detectors; what they detected."""
        drifts: list[DriftDetected] = []
        y_pred, proba = answer
        if self._on_model and y_pred is not None and generation == self.generation:
            for watch, watcher, signal in self._on_model:
                value = signal(y, y_pred, proba)
                if value is not None and (direction := watcher.update(value)):
                    drifts.append(self._drift(offset, time_s, watch, direction, value))
        for watch, watcher, feature in self._on_features:
            number: Any = x.get(feature)
            if number is not None and (direction := watcher.update(number)):
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

    def _react(self, offset: int, time_s: float, drifts: list[DriftDetected], outcome: Outcome) -> None:
        outcome.facts.extend(drifts)
        generation = self.generation
        for decision in self._policy.decide(Situation(self.events_seen, generation, tuple(drifts))):
            rule = decision.rule
            outcome.facts.append(
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
                self._reset()
                outcome.facts.append(ModelReset(offset=offset, time_s=time_s, generation=self.generation, cause=str(rule.trigger)))

    def _reset(self) -> None:
        """A fresh champion, and fresh detectors on its signals; the detectors on features go on."""
        self.generation += 1
        watched = zip(self._pipeline.watch, self._watchers, strict=True)
        self._watchers = [watcher if watch.feature else watch.build() for watch, watcher in watched]
        self._sort_watchers()
        self._install(self._pipeline.model.clone())

    def _install(self, model: Any) -> None:
        self._model = model
        self._learn = model.learn_one
        self._predict = predictor(model, self._pipeline.task, proba=self._pipeline.needs_proba)

    def _sort_watchers(self) -> None:
        """Those that watch the model's signals, each with its signal, and those that watch features."""
        self._on_model: list[tuple[Watch, Watcher, Any]] = []
        self._on_features: list[tuple[Watch, Watcher, str]] = []
        for watch, watcher in zip(self._pipeline.watch, self._watchers, strict=True):
            if watch.feature is not None:
                self._on_features.append((watch, watcher, watch.feature))
            else:
                self._on_model.append((watch, watcher, self._signal(watch.signal)))

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
