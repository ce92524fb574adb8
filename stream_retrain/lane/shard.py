"""A shard: everything learned for one partition, as a function of (pipeline, log, recorded inputs).

Protocol of use: a lane calls `process` with events in order of offset, takes the outcome, and may call `snapshot` between two
calls, or `receive` as `core.contest.inputs` says. Nothing else enters, so any split of a log into batches gives the same outcome and
the same state.

One event, in this order (test, then train):

1. The inputs received since the last event take effect.
2. A question is predicted by the champion as it was before this event; the prediction waits until its label comes, or the label is
   there already.
3. The champion learns the label with the features the prediction was made from.
4. The label scores the prediction that was made, however many events ago, and whichever generation made it.
5. The detectors take the event's signals. Errors of an earlier generation are not shown to the detectors of this one.
6. The policy is shown the event, and its decisions are carried out. The next event meets the new champion.

While a duel lasts every contestant predicts the question and learns the label; the one that serves is the champion in what is said
above, and each change of it begins a generation.

A model is foreign code: if it raises, the event becomes `Rejected` (reason "model"), which moves nothing: scores, clock, waiting
questions, window and detectors stay as they were, and the shard goes on. (A pipeline of River whose later step raises may have learned
the event in an earlier one. A contestant of a duel that raised alone is out, whatever becomes of the event.)

A batch is cut where something happens: what is called at each event is bound at the beginning of a *stretch*, and whatever changes it
(an input, a decision that is carried out, a change of lead, the end of a duel) ends the stretch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from stream_retrain.core.contest.commands import Command
from stream_retrain.core.contest.duel import Ballot, Duel
from stream_retrain.core.contest.inputs import Input, NotTrained, Request, Trained
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.scores import needs_proba
from stream_retrain.core.serve.predictor import Prediction
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.shard import DuelFact, Rejected, Unmatched
from stream_retrain.facts.values import Event, Predicted
from stream_retrain.lane.outcome import Done, Outcome
from stream_retrain.lane.questions import Question, Questions
from stream_retrain.lane.reactor import Reactor

__all__ = ["Shard"]

REQUESTS_KEPT: Final = 1_000
"""Tokens of requests that a shard remembers: ten times as many as may wait for it."""


def _tokens_of_none(values: Saved) -> Saved:
    """Schema 1 knew requests by number; those it had are no longer there to be met again."""
    kept = {key: value for key, value in values.items() if key not in ("requests_through", "requests_taken")}
    return {**kept, "requests_taken": ()} if "requests_through" in values else kept


_SHARD: Final = Part.of(
    "shard",
    *("events_seen", "questions_seen", "newest_time_s", "questions", "scores", "inputs", "requests_taken", "reactions"),
    schema=2,
    migrations={1: _tokens_of_none},
)


class Shard:
    """The champion of one partition, its scores, detectors, policy and waiting questions."""

    def __init__(self, pipeline: Pipeline, snapshot: Saved | None = None) -> None:
        """Fresh, or as it was saved. Raises `StateError` for a snapshot that is not whole, or of a schema this release does not read."""
        values = _FRESH if snapshot is None else _SHARD.load(snapshot)
        self._pipeline = pipeline
        self._binary = pipeline.task == "binary"
        self.events_seen: int = values["events_seen"]
        self.questions_seen: int = values["questions_seen"]
        self._newest_time_s: float = values["newest_time_s"]
        self._questions = Questions(pipeline.pending_rows_max, pipeline.pending_age_max_s, values["questions"])
        self._scores = pipeline.scores.build(values["scores"])
        self._keeps_proba = any(needs_proba(metric) for metric in pipeline.scores.metrics)
        self._inputs: list[Input] = list(values["inputs"])
        self.requests_taken: dict[str, None] = dict.fromkeys(values["requests_taken"])
        """The tokens of the requests that were received, oldest first, at most `REQUESTS_KEPT`."""
        self._reactor = Reactor(pipeline, values["reactions"])

    @property
    def generation(self) -> int:
        """The number of the model that serves."""
        return self._reactor.generation

    @property
    def waiting(self) -> int:
        """Questions that wait for their labels."""
        return len(self._questions.waiting)

    def receive(self, given: Input) -> None:
        """Take an input; it takes effect with the next event (see `core.contest.inputs`)."""
        if isinstance(given, Request) and given.token:
            if given.token in self.requests_taken:
                return
            self.requests_taken[given.token] = None
            if len(self.requests_taken) > REQUESTS_KEPT:
                del self.requests_taken[next(iter(self.requests_taken))]
        self._inputs.append(given)

    def take_over(self, questions: Saved) -> int:
        """Wait for the labels of the questions another shard left; how many. Their predictions are of no generation of this one."""
        pipeline = self._pipeline
        self._questions = Questions(pipeline.pending_rows_max, pipeline.pending_age_max_s, questions)
        waiting = self._questions.waiting
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
        coming = events if isinstance(events, list) else list(events)
        at, end = 0, len(coming)
        while at < end:
            if self._inputs:
                self._take_inputs(coming[at], done)
            at = self._take_stretch(coming, at, done)
        self._scores.update(done.scored)
        return done.outcome(self._reactor.succession.take_commands())

    def snapshot(self) -> Saved:
        """The whole state; shares objects with the shard, so serialise it before the next `process`."""
        return _SHARD.save(
            events_seen=self.events_seen,
            questions_seen=self.questions_seen,
            newest_time_s=self._newest_time_s,
            questions=self._questions.snapshot(),
            scores=self._scores.snapshot(),
            inputs=tuple(self._inputs),
            requests_taken=tuple(self.requests_taken),
            reactions=self._reactor.snapshot(),
        )

    def digest(self) -> str:
        """A digest of the state; equal where two shards will do the same from here on. Slow on big models."""
        return digest(self.snapshot())

    def observe(self) -> Observation:
        """What metrics and status show; costs an update of each metric for each event of the rolling score."""
        reactor = self._reactor
        training, duel = reactor.succession.training, reactor.succession.duel
        return Observation(
            generation=self.generation,
            events_seen=self.events_seen,
            questions_seen=self.questions_seen,
            pending=self.waiting,
            newest_time_s=self._newest_time_s,
            running=self._scores.running(),
            rolling=self._scores.rolling(),
            readings=reactor.watches.readings(),
            duel=duel.number if duel else None,
            training=training.number if training else None,
            members=reactor.adaptation.standing(),
        )

    def _take_stretch(self, events: list[Any], at: int, done: Done) -> int:  # noqa: C901 - one loop, so that there is one law
        """Take events from `at` on, until something happens that changes what is bound here, or to the end; where the next one is."""
        reactor, duel, binary, keeps_proba = self._reactor, self._reactor.succession.duel, self._binary, self._keeps_proba
        predict, learn, generation, follow = reactor.predict, reactor.learn, reactor.generation, reactor.label
        waiting, predicted, learned, scored = self._questions.waiting, done.predicted.append, done.learned.append, done.scored.append
        for event in itertools.islice(events, at, None):
            at += 1
            offset, id_, time_s, x, y = event
            known = self._known(event) if waiting else None
            if (x if known is None else y) is None:
                self._pass_over(event, known is not None, done)
                continue
            happened: list[DuelFact] = _NOTHING if duel is None else []
            try:
                if duel is not None:
                    x, prediction, asked, ballot = _race(duel, event, known, happened)
                elif known is not None:
                    _, x, prediction, asked, ballot = known
                else:
                    prediction, asked, ballot = predict(x), generation, None
                if y is not None and duel is None:
                    learn(x, y)
            except Exception as raised:  # noqa: BLE001 - the model is foreign code; see the module's docstring
                self._refuse(event, raised, happened, done)
                if happened:
                    return at
                continue
            if time_s > self._newest_time_s:
                self._newest_time_s = time_s
            if waiting:
                done.facts += self._questions.settle(offset, self._newest_time_s, None if known is None else id_)
            y_pred, proba = prediction
            if known is None:
                probability = (proba.get(True, 0.0) if binary else proba.get(y_pred)) if proba else None
                predicted(Predicted(id_, offset, y_pred, probability, asked))
                self.questions_seen += 1
            if duel is not None:
                done.facts += reactor.race_goes_on(x, y, happened, self.events_seen)
            if y is None:
                done.facts += self._questions.ask(offset, id_, (time_s, x, prediction, asked, ballot))
            else:
                if y_pred is not None:
                    scored((y, y_pred, proba if keeps_proba else None))
                self.events_seen += 1
                learned((offset, time_s, x, y, y_pred))
                if follow(offset, time_s, x, y, prediction, asked, (self.events_seen, self._newest_time_s), done.facts):
                    return at
            if happened:
                return at
        return at

    def _known(self, event: Event) -> Question | None:
        """The question that waits under the event's id, unless it has expired by the event's time."""
        question = self._questions.waiting.get(event.id)
        if question is not None and event.id in self._questions.expired(max(event.time_s, self._newest_time_s)):
            return None
        return question

    def _pass_over(self, event: Event, known: bool, done: Done) -> None:
        """A question that waits already is asked again; or the answer to a question that does not wait."""
        if known:
            detail = f"question {event.id!r} was asked before and waits for its answer"
            done.facts.append(Rejected(offset=event.offset, reason="duplicate", detail=detail))
            return
        self._newest_time_s = max(self._newest_time_s, event.time_s)
        done.facts += self._questions.settle(event.offset, self._newest_time_s)
        done.facts.append(Unmatched(offset=event.offset, id=event.id, reason="no_question"))

    def _refuse(self, event: Event, raised: Exception, happened: Sequence[DuelFact], done: Done) -> None:
        if happened:
            done.facts += self._reactor.take_over(happened, self.events_seen)
        detail = f"the model raised {type(raised).__name__}: {raised}"
        done.facts.append(Rejected(offset=event.offset, reason="model", detail=detail))

    def _take_inputs(self, event: Event, done: Done) -> None:
        given, self._inputs = self._inputs, []
        time_s = max(self._newest_time_s, event.time_s)
        for each in given:
            done.facts += self._reactor.receive(each, event.offset, time_s)


def _race(duel: Duel, event: Event, known: Question | None, happened: list[DuelFact]) -> tuple[Any, Prediction, int, Ballot | None]:
    """In a duel everyone predicts a question and learns a label; what that did is added to `happened`, whatever is raised later."""
    offset, _, time_s, x, y = event
    if known is not None:
        _, x, prediction, asked, ballot = known
    else:
        prediction, ballot, facts = duel.ask(offset, time_s, x or {})
        asked = duel.generation
        happened += facts
    if y is not None:
        happened += duel.step(offset, time_s, x or {}, y, ballot)
    return x, prediction, asked, ballot


_NOTHING: Final[list[DuelFact]] = []
_FRESH: Final[Saved] = {
    "events_seen": 0,
    "questions_seen": 0,
    "newest_time_s": float("-inf"),
    **dict.fromkeys(("questions", "scores", "reactions")),
    "inputs": (),
    "requests_taken": (),
}
