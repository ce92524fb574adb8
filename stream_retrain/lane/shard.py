"""A shard: everything learned for one partition, as a function of (pipeline, log, recorded inputs).

Protocol of use: a lane calls `process` with events in order of offset, takes the outcome, and may call `snapshot` between two
calls, or `receive` as `core.contest.inputs` says. Nothing else enters, so any split of a log into batches gives the same outcome and
the same state.

One event, in this order (test, then train):

1. The inputs received since the last event take effect.
2. A question is predicted by the champion as it was before this event; the prediction waits until its label comes, or the label is
   there already: with the question, or because its answer came first and was kept (`lane.answers`).
3. The champion learns the label with the features the prediction was made from.
4. The label scores the prediction that was made, however many events ago, and whichever generation made it.
5. The detectors take the event's signals: those on features and predictions when the question is asked, the others with its label. Errors
   of an earlier generation are not shown to the detectors of this one.
6. The policy is shown the event, and its decisions are carried out. The next event meets the new champion.

While a duel lasts every contestant predicts the question and learns the label; the one that serves is the champion in what is said
above, and each change of it begins a generation.

A model is foreign code: if it raises, the event becomes `Rejected` (reason "model"), which moves nothing: scores, clock, waiting
questions, window and detectors stay as they were, and the shard goes on. (A pipeline of River whose later step raises may have learned
the event in an earlier one. A contestant of a duel that raised alone is out, whatever becomes of the event.)

What it answers is looked at where it is asked (`core.serve.predictor`). A failed prediction goes out as null and is told; its event is
learned all the same, it is not scored, and the detectors take it as the worst error.

Where a multiclass pipeline declares no classes, the first label fixes their type, and there are at most `classes_max`: a label of another
type, or one class more, is refused (reason "schema").

A batch is cut where something happens: what is called at each event is bound at the beginning of a *stretch*, and whatever changes it
(an input, a decision that is carried out, a change of lead, the end of a duel) ends the stretch. Where labels come with their questions,
no rule has to be asked at every event, and no duel is on, the model takes a *run* of events in one call (`core.serve.step`); it ends
where something happens, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from msgspec import UNSET

from stream_retrain.core.contest.commands import Command
from stream_retrain.core.contest.inputs import ASKED, Input, NotTrained, Trained
from stream_retrain.core.contest.keeping import Keeping
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.scores import needs_proba
from stream_retrain.core.serve.keys import segments_of
from stream_retrain.core.serve.predictor import FAILED, Prediction, Unusable
from stream_retrain.core.state import Saved
from stream_retrain.facts.observation import DuelStanding, Observation
from stream_retrain.facts.shard import DuelFact, PredictionFailed, Rejected
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Event, Predicted
from stream_retrain.lane.batch import Events
from stream_retrain.lane.class_probabilities import class_probabilities
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.lane.intake import Intake
from stream_retrain.lane.labelling import Labelling
from stream_retrain.lane.outcome import Done, Outcome
from stream_retrain.lane.questions import Question, Questions
from stream_retrain.lane.raced import raced
from stream_retrain.lane.reactor import Reactor
from stream_retrain.lane.run import Run
from stream_retrain.lane.scheduled import remember
from stream_retrain.lane.shard_state import FRESH, SHARD
from stream_retrain.models.segments import Segment

__all__ = ["Shard"]

REQUESTS_KEPT: Final = 1_000
"""Tokens of requests that a shard remembers: ten times as many as may wait for it."""


class Shard:
    """The champion of one partition, its scores, detectors, policy and waiting questions."""

    def __init__(self, pipeline: Pipeline, snapshot: Saved | None = None) -> None:
        """Fresh, or as it was saved. Raises `StateError` for a snapshot that is not whole, or of a schema this release does not read."""
        values = FRESH if snapshot is None else SHARD.load_whole(snapshot, "questions", "scores", "reactions")
        self._pipeline = pipeline
        self._binary = pipeline.task == "binary"
        self.events_seen: int = values["events_seen"]
        self.questions_seen: int = values["questions_seen"]
        self._newest_time_s: float = values["newest_time_s"]
        self._labels = Labelling(pipeline, values["questions"], values["classes"])
        self._failed_through: int = values["failed_through"]
        """How many questions there had been with the last one whose prediction failed."""
        self._scores = pipeline.scores.build(values["scores"])
        self._keeps_proba = any(needs_proba(metric) for metric in pipeline.scores.metrics)
        self._inputs: list[Input] = list(values["inputs"])
        self.requests_taken: dict[str, None] = dict.fromkeys(values["requests_taken"])
        """The tokens of the requests that were received, oldest first, at most `REQUESTS_KEPT`."""
        self._reactor = Reactor(pipeline, values["reactions"])
        self._model = pipeline.model_digest()
        self.intake = Intake(pipeline, values["intake"])
        """Counts records that were refused; the lane tells it."""

    @property
    def generation(self) -> int:
        """The number of the model that serves."""
        return self._reactor.generation

    @property
    def duel(self) -> DuelStanding | None:
        """How the duel in progress stands."""
        return self._reactor.duel

    @property
    def inputs_wait(self) -> bool:
        """Whether something was received that takes effect with the next event."""
        return bool(self._inputs)

    def waits_with(self, token: str) -> bool:
        """Whether the request of this token was received and waits for the next event."""
        return any(isinstance(given, ASKED) and given.token == token for given in self._inputs)

    @property
    def waiting(self) -> int:
        """Questions that wait for their labels."""
        return len(self._labels.questions.waiting)

    def receive(self, given: Input) -> None:
        """Take an input; it takes effect with the next event (see `core.contest.inputs`)."""
        if isinstance(given, ASKED) and given.token:
            if given.token in self.requests_taken:
                return
            remember(self.requests_taken, given.token, REQUESTS_KEPT)
        self._inputs.append(given)

    @property
    def keeping(self) -> Keeping:
        """When copies of the served model are wanted; whoever keeps versions says how one is made."""
        return self._reactor.keeping

    def take_over(self, questions: Saved) -> int:
        """Wait for the labels of the questions another shard left; how many. Their predictions are of no generation of this one."""
        self._labels.questions = Questions.of(self._pipeline, questions)
        waiting = self._labels.questions.waiting
        for id_, (time_s, x, prediction, _, _) in list(waiting.items()):
            waiting[id_] = (time_s, x, prediction, -1, None)
        return len(waiting)

    def outstanding(self) -> list[Command]:
        """What it still waits for: to be carried out again by who has just restored it."""
        wanted = self._reactor.succession.outstanding()
        if wanted is None:
            return []
        came = (given.training for given in self._inputs if isinstance(given, Trained | NotTrained))
        return [] if wanted.training.number in came else [wanted]

    def process(self, events: Iterable[Event]) -> Outcome:
        """Take the next events of the log, in order of offset; return what they did."""
        done = Done()
        coming: Sequence[Event] = events if isinstance(events, list | Events) else list(events)
        at, end = 0, len(coming)
        while at < end:
            if self._inputs:
                self._take_inputs(coming[at], done)
            at = self._take_run(coming, at, done) or self._take_stretch(coming, at, done)
        if failures := self._scores.update(done.scored):
            done.tell(failures)
        return done.outcome(self._reactor.succession.take_commands())

    def snapshot(self) -> Saved:
        """The whole state; shares objects with the shard, so serialise it before the next `process`."""
        return SHARD.save(
            events_seen=self.events_seen,
            questions_seen=self.questions_seen,
            newest_time_s=self._newest_time_s,
            questions=self._labels.questions.snapshot(),
            scores=self._scores.snapshot(),
            inputs=tuple(self._inputs),
            requests_taken=tuple(self.requests_taken),
            reactions=self._reactor.snapshot(),
            classes=tuple(self._labels.classes.known),
            failed_through=self._failed_through,
            intake=self.intake.snapshot(),
        )

    def digest(self) -> str:
        """A digest of the state; equal where two shards will do the same from here on. Slow on big models."""
        return digest(self.snapshot())

    def observe(self) -> Observation:
        """What metrics and status show; costs an update of each metric for each event of the rolling score."""
        return Observation(
            generation=self.generation,
            events_seen=self.events_seen,
            questions_seen=self.questions_seen,
            pending=self.waiting,
            labels=self._labels.questions.answers.counts,
            newest_time_s=self._newest_time_s,
            running=self._scores.running(),
            rolling=self._scores.rolling(),
            **self._reactor.observe(),
        )

    def segments(self) -> list[Segment]:
        """Of its models those that were put away, in pieces that never change."""
        return [each for model in self._reactor.succession.models() for each in segments_of(model)]

    def _take_run(self, events: Sequence[Event], start: int, done: Done) -> int:
        """Let the model take events with their labels in one call, until something happens; where the next one is, 0: there is none such.

        At none but the last one anything happens; that one is told as any other.
        """
        reactor, labels = self._reactor, self._labels
        room = 0 if labels.wait else reactor.room(self.events_seen)
        if not room or (run := Run.of(events, start, room, labels.open_classes)) is None:
            return 0
        taken = reactor.step(run.xs, run.ys, reactor.watches.looks(iter(events[start:]), reactor.generation))
        last = len(taken.predictions) - 1
        at = start + last + 1
        if last >= 0:
            asked, (offset, time_s, x, y, y_pred) = reactor.generation, (*run.at(last), taken.predictions[last])
            done.predicted += run.predicted(taken, asked, f"{self._model}-{asked}", shows=self._pipeline.probabilities)
            done.learned += run.learned(taken)
            done.scored += run.scored(taken, keeps_proba=self._keeps_proba)
            self._newest_time_s = max(self._newest_time_s, *run.times_s[: last + 1])
            reactor.passed(run.xs[:last], run.ys[:last], taken.predictions[:last])
            self.questions_seen += last
            prediction: Prediction = y_pred, taken.of_classes[last] if taken.of_classes else None
            signs = None if taken.failed else reactor.watches.signs_of(taken.said, offset, time_s, y, y_pred, asked)
            if taken.failed:
                prediction = self._none(events[at - 1], prediction, asked, done)
            self.questions_seen += 1
            self.events_seen += last + 1
            reactor.label(offset, time_s, x, y, prediction, asked, (self.events_seen, self._newest_time_s), done.facts, True, signs)
        if taken.error is not None:
            self._refuse(events[at], taken.error, _NOTHING, done)
            return at + 1
        return self._take_stretch(events, at, done, at + 1) if taken.odd else at

    def _take_stretch(self, events: Sequence[Any], start: int, done: Done, end: int | None = None) -> int:  # noqa: C901 - one loop, one law
        """Take events from `start` on, until something happens that changes what is bound here, or to the end; where the next one is."""
        reactor, labels, binary, keeps_proba = self._reactor, self._labels, self._binary, self._keeps_proba
        predict, learn, generation, follow = reactor.predict, reactor.learn, reactor.generation, reactor.label
        waiting, early, duel = labels.questions.waiting, labels.questions.answers.early, reactor.succession.duel
        classes, is_odd, shows = labels.open_classes, labels.classes.is_odd, self._pipeline.probabilities
        predicted, learned, scored, model = done.predicted.append, done.learned.append, done.scored.append, f"{self._model}-{generation}"
        for at, given in enumerate(events[start:end], start + 1):
            event, known, delay_s = labels.matched(given, self._newest_time_s, done.facts) if waiting or early else (given, None, None)
            offset, id_, time_s, x, y = event
            if (x if known is None else y) is None or (classes is not None and y not in classes and is_odd(event, done.facts)):
                self._newest_time_s = labels.pass_over(event, known is not None, self._newest_time_s, done.facts)
                continue
            happened: list[DuelFact] = _NOTHING if duel is None else []
            try:
                if duel is not None:
                    x, prediction, asked, ballot, model = raced(duel, event, known, happened, self._model)
                elif known is not None:
                    _, x, prediction, asked, ballot = known
                else:
                    prediction, asked, ballot = predict(x), generation, None
                if y is not None and duel is None:
                    learn(x, y)
            except Exception as error:  # noqa: BLE001 - the model is foreign code; see the module's docstring
                if self._refuse(event, error, happened, done):
                    return at
                continue
            self._newest_time_s = max(self._newest_time_s, time_s)
            if waiting or early:
                labels.settle(event, delay_s, self._newest_time_s, done)
            y_pred, proba = prediction if prediction[0] is not None else (prediction := self._none(event, prediction, asked, done))
            if known is None:
                probability = (proba.get(True, 0.0) if binary else proba.get(y_pred)) if proba else None
                by_class = class_probabilities(proba) if shows else UNSET
                predicted(Predicted(id_, offset, time_s, y_pred, probability, asked, model, by_class))
                self.questions_seen += 1
            if duel is not None:
                done.facts += reactor.race_goes_on(x, y, happened, self.events_seen)
            if y is None:
                self._ask(event, (time_s, x, prediction, asked, ballot), done)
            else:
                if y_pred is not None:
                    scored((y, y_pred, proba if keeps_proba else None))
                self.events_seen += 1
                learned((offset, time_s, x, y, y_pred))
                if follow(offset, time_s, x, y, prediction, asked, (self.events_seen, self._newest_time_s), done.facts, known is None):
                    return at
            if happened:
                return at
        return at

    def _ask(self, event: Event, question: Question, done: Done) -> None:
        """A question without a label waits, and the detectors of questions see it."""
        done.facts += self._labels.questions.ask(event.offset, text_of_id(event.id), question)
        if self._reactor.notices:
            self._reactor.question(event.offset, event.time_s, question[1], question[2], done.facts)

    def _refuse(self, event: Event, error: Exception, happened: Sequence[DuelFact], done: Done) -> bool:
        """The model raised; whether that changed who serves or races."""
        self._labels.classes.refused(event.offset)
        if happened:
            done.facts += self._reactor.take_over(happened, self.events_seen)
        detail = f"the model raised {raised(error)}"
        done.facts.append(Rejected(offset=event.offset, reason="model", detail=detail, time_s=event.time_s))
        return bool(happened)

    def _none(self, event: Event, prediction: Prediction, generation: int, done: Done) -> Prediction:
        """Where there is no label or number: what is kept of it, which for a failed prediction is told."""
        unusable, asked_before = prediction[1], self.questions_seen
        if unusable.__class__ is not Unusable:
            return prediction
        offset, time_s, repeated = event.offset, event.time_s, self._failed_through == asked_before
        detail: str = unusable.detail
        done.facts.append(PredictionFailed(offset=offset, time_s=time_s, detail=detail, generation=generation, repeated=repeated))
        self._failed_through = asked_before + 1
        return FAILED

    def _take_inputs(self, event: Event, done: Done) -> None:
        given, self._inputs = self._inputs, []
        time_s = max(self._newest_time_s, event.time_s)
        for each in given:
            done.facts += self._reactor.receive(each, event.offset, time_s, self.events_seen)


_NOTHING: Final[list[DuelFact]] = []
