"""What a shard does about what it sees: signals to detectors, triggers to the policy, decisions to the succession.

It holds whoever serves: `predict`, `learn` and `generation` are bound to the served model, and bound anew whenever that changes.

Rules are asked at labels. What the detectors of questions say at one without a label is told there, and the rules are asked about it
at the next label, as they are about a request: no reaction can do anything before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, assert_never

from stream_retrain.core.contest.cause import Cause
from stream_retrain.core.contest.ceiling import Ceiling, pruned, too_large
from stream_retrain.core.contest.inputs import Input, NotTrained, Promote, Refused, Request, Reset, Trained
from stream_retrain.core.contest.keeping import Keeping
from stream_retrain.core.contest.succession import Succession
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.combinations import leaves
from stream_retrain.core.react.policy import Decision
from stream_retrain.core.react.reactions import Prune, Race, Stop
from stream_retrain.core.react.rules import On
from stream_retrain.core.react.triggers import Memory, MetricFailure, Moment
from stream_retrain.core.serve.adaptation import Adaptation
from stream_retrain.core.serve.keys import keys_held_by
from stream_retrain.core.serve.predictor import Prediction, has_failed, predictor
from stream_retrain.core.serve.step import step_of
from stream_retrain.core.state import Part, Saved
from stream_retrain.core.watch.signals import signal_of
from stream_retrain.core.watch.watches import Seen, Watches
from stream_retrain.facts.observation import DuelStanding, MemorySeen
from stream_retrain.facts.shard import (
    Decided,
    DriftDetected,
    DuelEnded,
    DuelFact,
    LeadChanged,
    MemoryReached,
    MetricFailed,
    ModelPruned,
    Requested,
    RequestRefused,
    ShardFact,
    WarningRaised,
)
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Features, Label

__all__ = ["PART", "Reactor"]

PART: Final = Part.of(
    "reactions",
    *("policy", "watches", "requested", "scheduled", "noticed", "succession", "adaptation", "ceiling"),
    schema=4,
    migrations={
        1: lambda values: {**values, "noticed": ()},
        2: lambda values: {**values, "ceiling": None},
        3: lambda values: {**values, "scheduled": ()},
    },
)


def _whole(saved: Saved) -> Saved:
    return PART.load_whole(saved, "policy", "watches", "succession", "adaptation")


class Reactor:
    """The detectors, the policy and the succession of one shard."""

    def __init__(self, pipeline: Pipeline, saved: Saved | None = None) -> None:
        """Fresh, or as it was saved. Raises `StateError`."""
        values: Saved = {**dict.fromkeys(PART.keys), "requested": False, "scheduled": (), "noticed": ()} if saved is None else _whole(saved)
        self._pipeline = pipeline
        self._policy = pipeline.policy.build(values["policy"])
        self._every_event = pipeline.policy.every_event
        self.watches = Watches(pipeline, values["watches"])
        self._sees, self._see = self.watches.of_model, self.watches.see
        self.notices, self._notice = self.watches.of_questions, self.watches.notice
        self._error = signal_of("error", pipeline.task)
        self._requested: bool = values["requested"]
        self._scheduled = frozenset[int](values["scheduled"])
        """The rules that their schedules have asked since the last label."""
        self._noticed: list[tuple[str, bool]] = list(values["noticed"])
        """Signals of which something was said at questions since the last label, and whether it was a drift."""
        self.succession = Succession(pipeline, values["succession"])
        self._remembers = self.succession.remembers
        self._ceiling = Ceiling(pipeline, values["ceiling"])
        self._memory: MemorySeen | None = None
        """What was measured at this event."""
        self.keeping = Keeping(self.succession.generation, self.succession.served)
        self._serve(values["adaptation"])

    @property
    def duel(self) -> DuelStanding | None:
        """How the duel in progress stands."""
        duel = self.succession.duel
        return None if duel is None else duel.standing()

    def observe(self) -> dict[str, Any]:
        """What is to be seen of it, by the names of an `Observation`."""
        training = self.succession.training
        return {
            "readings": self.watches.readings(),
            "duel": self.duel,
            "training": None if training is None else training.number,
            "members": self._adaptation.standing(),
            "memory": self._ceiling.seen,
            "keys": keys_held_by(self.succession.served),
        }

    def label(
        self,
        offset: int,
        time_s: float,
        x: Features,
        y: Label,
        prediction: Prediction,
        asked: int,
        seen: tuple[int, float],
        facts: list[ShardFact],
        at_once: bool,
        signs: Sequence[Seen] | None = None,
    ) -> bool:
        """What follows on a label that was learned; whether it changed who serves or races. What happened is added to `facts`.

        asked
            The generation that made the prediction.
        seen
            Labelled events the shard has learned, this one included, and the newest event time.
        at_once
            The label came with the question, which nobody has noticed yet.
        signs
            What the detectors said of it; None: they have not seen it.
        """
        if self._remembers:
            y_pred, proba = prediction
            worst = self.watches.worst_error() if proba is False else 1.0
            self.succession.remember([(x, y, self._error(y, y_pred, proba) if y_pred is not None else worst)])
        now = self.generation
        if self._adapts and self._adaptation.changed():
            facts += self._adaptation.tell(offset, time_s, now)
        if signs is None:
            signs = self._see(offset, time_s, y, prediction, now) if self._sees and asked == now else ()
            if at_once and self.notices:
                signs = [*signs, *self._notice(offset, time_s, x, prediction, now)]
        measured = seen[0] >= self._ceiling.next_at and self._measure(offset, time_s, seen[0], facts)
        if not (signs or self._every_event or self._requested or self._scheduled or self._noticed or measured):
            return False
        facts += signs
        return self._consider(offset, time_s, y, prediction, signs, seen, facts)

    def room(self, events_seen: int) -> float:
        """How many events the model may take in one call: none while rules are to be asked at each."""
        if self.succession.duel is not None or self._every_event or self._requested or self._scheduled or self._noticed:
            return 0
        return max(1.0, min(self._ceiling.next_at - events_seen, self._adaptation.room() if self._adapts else math.inf))

    def passed(self, xs: Sequence[Features], ys: Sequence[Label], predictions: Sequence[Label | None]) -> None:
        """Events were learned at which nothing happened."""
        if self._remembers:
            errors = [1.0 if y_pred is None else self._error(y, y_pred, None) for y, y_pred in zip(ys, predictions, strict=True)]
            self.succession.remember(zip(xs, ys, errors, strict=True))
        if self._adapts:
            self._adaptation.passed(len(xs))

    def _measure(self, offset: int, time_s: float, events_seen: int, facts: list[ShardFact]) -> bool:
        """Measure the models; the rules are to be asked about it: True."""
        new = self._ceiling.measure(self.succession.models(), events_seen)
        self._memory = self._ceiling.seen
        if new and self._memory is not None:
            told: dict[str, Any] = {"model_bytes": self._memory.model_bytes, "shard_bytes": self._memory.shard_bytes}
            facts.append(MemoryReached(offset=offset, time_s=time_s, generation=self.generation, **told))
        return True

    def question(self, offset: int, time_s: float, x: Features, prediction: Prediction, facts: list[ShardFact]) -> None:
        """What a question without a label leads to: the detectors of questions see it. What they say is added to `facts`."""
        if signs := self._notice(offset, time_s, x, prediction, self.generation):
            facts += signs
            said = [(sign.signal, isinstance(sign, DriftDetected)) for sign in signs if isinstance(sign, DriftDetected | WarningRaised)]
            self._noticed += [each for each in said if each not in self._noticed]

    def race_goes_on(self, x: Features, y: Label | None, happened: Sequence[DuelFact], events_seen: int) -> list[ShardFact]:
        """What else an event does while a duel lasts: those who wait learn it, and what happened is taken over."""
        if y is not None:
            self.succession.teach_waiting(x, y)
        return self.take_over(happened, events_seen) if happened else []

    def take_over(self, happened: Sequence[DuelFact], events_seen: int) -> list[ShardFact]:
        """Take over what a duel decided: who serves now, and at its end who is the champion."""
        duel = self.succession.duel
        facts = self.succession.follow(happened)
        if duel is not None and any(isinstance(fact, DuelEnded) for fact in happened):
            self._policy.acted(duel.rule, events_seen)
        if any(isinstance(fact, LeadChanged | DuelEnded) for fact in happened):
            self._serve()
            self.watches.begin_afresh()
        return facts

    def receive(self, given: Input, offset: int, time_s: float, events_seen: int) -> list[ShardFact]:
        """An input takes effect."""
        match given:
            case Trained():
                return self.succession.join(offset, time_s, given)
            case NotTrained():
                return self.succession.fail(offset, time_s, given)
            case Request():
                if given.rule is None:
                    self._requested = True
                else:
                    self._scheduled |= {given.rule}
                told: dict[str, Any] = {"reason": cut(given.reason), "token": given.token, "by": given.by, "rule": given.rule}
                return [Requested(offset=offset, time_s=time_s, **told)]
            case Reset() | Promote():
                return self._replace_champion(given, offset, time_s, events_seen)
            case Refused():
                told = {name: getattr(given, name) for name in ("do", "token", "detail", "reason", "by")}
                return [RequestRefused(offset=offset, time_s=time_s, **told)]
            case _:
                assert_never(given)

    def _replace_champion(self, given: Reset | Promote, offset: int, time_s: float, events_seen: int) -> list[ShardFact]:
        """Somebody asked for another champion: who races now leaves, and the detectors begin afresh."""
        succession = self.succession
        if succession.duel is not None and succession.busy:
            self._policy.acted(succession.duel.rule, events_seen)
        match given:
            case Reset():
                facts = succession.reset_as_asked(offset, time_s, given)
            case Promote():
                facts = succession.promote(offset, time_s, given)
        self._serve()
        self.watches.begin_afresh()
        return facts

    def snapshot(self) -> Saved:
        """What is needed to go on from here; shares the models, so serialise it at once."""
        return PART.save(
            policy=self._policy.snapshot(),
            watches=self.watches.snapshot(),
            requested=self._requested,
            scheduled=tuple(sorted(self._scheduled)),
            noticed=tuple(self._noticed),
            succession=self.succession.snapshot(),
            adaptation=self._adaptation.snapshot(),
            ceiling=self._ceiling.snapshot(),
        )

    def _consider(
        self,
        offset: int,
        time_s: float,
        y: Label,
        prediction: Prediction,
        signs: Sequence[Seen],
        seen: tuple[int, float],
        facts: list[ShardFact],
    ) -> bool:
        """Show the policy the event, and carry out what it decides; whether anything was."""
        generation, (events_seen, newest_time_s) = self.generation, seen
        failures: list[MetricFailure] = []
        drifted, warned = self._said(signs)
        moment = Moment(
            events_seen=events_seen,
            time_s=newest_time_s,
            generation=generation,
            drifted=drifted,
            warned=warned,
            requested=self._requested,
            scheduled=self._scheduled,
            y=y,
            y_pred=prediction[0],
            proba=prediction[1] or None,
            failed=has_failed(prediction),
            metric_failures=failures,
            memory=self._memory,
        )
        self._requested, self._scheduled, self._memory, carried_out = False, frozenset(), None, False
        succession, in_training = self.succession, self.succession.training is not None
        decisions = self._policy.decide(moment, in_duel=succession.busy, in_training=in_training, replaceable=succession.replaceable)
        facts += [MetricFailed(offset=offset, time_s=time_s, **each._asdict()) for each in failures]
        for decision in decisions:
            rule = decision.rule
            facts.append(
                Decided(
                    offset=offset,
                    time_s=time_s,
                    trigger=str(rule.trigger),
                    reaction=type(rule.do).__name__,
                    outcome=decision.outcome,
                    generation=generation,
                    events_seen=events_seen,
                )
            )
            if decision.outcome == "done":
                carried_out = True
                facts += self._carry_out(offset, time_s, decision, events_seen)
        return carried_out

    def _said(self, signs: Sequence[Seen]) -> tuple[frozenset[str], frozenset[str]]:
        """The signals on which a drift was detected, and those on which a warning began, at this label and at the questions before it."""
        noticed, self._noticed = self._noticed, []
        drifted = [sign.signal for sign in signs if isinstance(sign, DriftDetected)] + [signal for signal, drift in noticed if drift]
        warned = [sign.signal for sign in signs if isinstance(sign, WarningRaised)] + [signal for signal, drift in noticed if not drift]
        return frozenset(drifted), frozenset(warned)

    def _carry_out(self, offset: int, time_s: float, decision: Decision, events_seen: int) -> list[ShardFact]:
        cause = Cause(offset, time_s, decision.index, str(decision.rule.trigger), events_seen)
        if isinstance(decision.rule.do, Race):
            return self.succession.race(cause, decision.rule.do)
        if decision.rule.makes_room:
            return self._make_room(cause, decision.rule, events_seen)
        return self._reset(cause)

    def _make_room(self, cause: Cause, rule: On, events_seen: int) -> list[ShardFact]:
        """Models take too much memory: prune them; else let those leave a duel that are too large; else begin afresh."""
        succession, duel = self.succession, self.succession.duel
        self._ceiling.made_room(events_seen)
        if isinstance(rule.do, Stop):
            said = f"models take more memory than {rule.trigger} allows, and the reaction is to stop"
            succession.stop(f"{said}: raise the limit, declare another reaction (On.memory), or use a smaller model")
            return []
        limits = next(each for each in leaves(rule.trigger) if isinstance(each, Memory))
        if isinstance(rule.do, Prune) and (sizes := pruned(list(succession.models()), limits)) is not None:
            self._ceiling.made_room(events_seen, sizes[1])
            at: dict[str, Any] = {"offset": cause.offset, "time_s": cause.time_s, "generation": self.generation}
            return [ModelPruned(bytes_before=sizes[0], bytes_after=sizes[1], **at)]
        if duel is not None and (out := too_large(duel, limits)):
            return self.take_over(duel.leave(cause.offset, cause.time_s, out), events_seen)
        return self._reset(cause)

    def _reset(self, cause: Cause) -> list[ShardFact]:
        facts = self.succession.reset(cause)
        self._serve()
        self.watches.begin_afresh()
        return facts

    def _serve(self, adaptation: Saved | None = None) -> None:
        """Bind what is called at every event to the model that serves now."""
        served = self.succession.served
        self.generation: int = self.succession.generation
        self.learn = served.learn_one
        self.succession.want(self.keeping.serves(self.generation, served))
        of = self._pipeline
        self.predict = predictor(served, of.task, proba=of.needs_proba, threshold=of.threshold)
        self.step = step_of(served, of.task, self.predict, proba=of.needs_proba or of.probabilities, threshold=of.threshold)
        self._adaptation = Adaptation(served, adaptation)
        self._adapts = self._adaptation.adapts
