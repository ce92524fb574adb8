"""Who answers, and who wants its place: the champion of a shard, the duel around it, and the training of the next challenger.

Rules:

- The served model is the champion, or in a duel whoever leads it; each change of it begins a generation.
- A duel is not restarted. A challenger that comes from the trainer joins the duel its rule began, or begins one of its own; while
  another rule's duel lasts it waits, and learns every event meanwhile.
- Where a duel ends with a champion that is not the pipeline's model, the best of the duel that is has a rematch with it, without end
  until the lead changes. A rematch holds nothing up: the next duel takes its rival over, a reset ends it.
- One training at a time. It is part of the state: after a restart it is asked for again, under the same number.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from stream_retrain.core.change_point import LOOK_BACK_EVENTS, events_since_worse
from stream_retrain.core.duel import Contestant, Duel, DuelEnded, DuelFact, DuelSpec, DuelStarted, LeadChanged
from stream_retrain.core.inputs import Ended, Trained
from stream_retrain.core.messages import ChallengerJoined, Features, Label, Learned, ModelReset, TrainingFailed, TrainingRequested
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Challenge, Race
from stream_retrain.core.training import RIVAL, Challenger, Training, copy_of, train
from stream_retrain.errors import TrainingError

__all__ = ["Cause", "Dueling", "Succession", "challenger_of"]


class Cause(NamedTuple):
    """Where and why something is done."""

    offset: int
    time_s: float
    rule: int
    trigger: str
    events_seen: int


class Dueling(NamedTuple):
    """A duel in progress, and which rule of the pipeline it carries out."""

    rule: int
    duel: Duel
    rematch: bool = False


def challenger_of(pipeline: Pipeline, training: Training) -> Challenger:
    """The declaration a training is of. Raises `TrainingError` where the pipeline has none such."""
    race = pipeline.react[training.rule].do if training.rule < len(pipeline.react) else None
    contestants = race.contestants() if isinstance(race, Race) else ()
    if training.challenger >= len(contestants):
        raise TrainingError(f"rule {training.rule} of pipeline {pipeline.name!r} has no challenger {training.challenger}")
    return contestants[training.challenger]


class Succession:
    """The champion, the duel and the training of one shard."""

    def __init__(self, pipeline: Pipeline, snapshot: dict[str, Any] | None = None) -> None:
        state = snapshot or {}
        self._pipeline = pipeline
        self.champion: Any = state["champion"] if snapshot else pipeline.model.clone()
        self._family: str = state.get("family", "")
        """The champion's, as in `Contestant`."""
        self.generation: int = state.get("generation", 0)
        self.duels: int = state.get("duels", 0)
        self.trainings: int = state.get("trainings", 0)
        self.training: Training | None = state.get("training")
        self.base: Any = state.get("base")
        """The copy of the champion that the training starts from, as it was when it was asked for."""
        self.dueling: Dueling | None = None
        if (saved := state.get("dueling")) is not None:
            self.dueling = Dueling(saved["rule"], self._spec(saved["rule"]).build(saved["duel"]), saved["rematch"])
        self._waiting: list[tuple[Training, Trained]] = list(state.get("waiting", ()))
        self._recent: collections.deque[tuple[Features, Any, float]] | None = None
        if any(isinstance(rule.do, Race) for rule in pipeline.react):
            self._recent = collections.deque(state.get("recent", ()), maxlen=LOOK_BACK_EVENTS)

    @property
    def remembers(self) -> bool:
        """Whether `remember` wants every labelled event."""
        return self._recent is not None

    def remember(self, x: Features, y: Label, error: float) -> None:
        """Keep an event for a challenger trained on the spot; `error` of the answer that was given, 1 where there was none."""
        if self._recent is not None:
            self._recent.append((x, y, error))

    @property
    def served(self) -> Any:
        """The model that answers."""
        return self.champion if self.duel is None else self.duel.model

    @property
    def duel(self) -> Duel | None:
        """The duel in progress."""
        return None if self.dueling is None else self.dueling.duel

    @property
    def busy(self) -> bool:
        """Whether a duel is in progress that nothing may interrupt."""
        return self.dueling is not None and not self.dueling.rematch

    def reset(self, cause: Cause) -> list[Any]:
        """Begin afresh with the pipeline's model."""
        facts, _ = self._make_way(cause.offset, cause.time_s)
        self.generation += 1
        self.champion, self._family = self._pipeline.model.clone(), ""
        return [*facts, ModelReset(offset=cause.offset, time_s=cause.time_s, generation=self.generation, cause=cause.trigger)]

    def race(self, cause: Cause, race: Race) -> list[Any]:
        """Train the challengers that can be trained on the spot and let them race; ask the trainer for the other.

        One that would start from nothing is left out where a model of its family, which is not the pipeline's, races already.
        """
        declared = race.contestants()
        facts: list[Any] = [self._request(cause, index, each) for index, each in enumerate(declared) if each.by_trainer]
        here = [challenger for challenger in declared if not challenger.by_trainer]
        if here:
            ended, staying = self._make_way(cause.offset, cause.time_s)
            racing = {self._family, *(each.family for each in staying)} - {""}
            here = [each for each in here if not (each.from_nothing and self._family_of(each) in racing)] or here
            models, trained_on = zip(*map(self._trained_here, here), strict=True)
            contestants = [Contestant(each.name, model, self._family_of(each)) for each, model in zip(here, models, strict=True)]
            facts += [*ended, self._start(cause, contestants, trained_on, staying, to_come=len(facts))]
        return facts

    def join(self, offset: int, time_s: float, trained: Trained) -> list[Any]:
        """Let a challenger in that the trainer has trained; nothing where nobody waits for it any more."""
        training = self.training
        if training is None or training.number != trained.training:
            return []
        self.training = self.base = None
        if self.dueling is not None and self.busy and self.dueling.rule != training.rule:
            self._waiting.append((training, trained))
            return []
        ended, staying = self._make_way(offset, time_s)
        return [*ended, *self._enter(offset, time_s, training, trained, staying)]

    def fail(self, offset: int, time_s: float, ended: Ended) -> list[Any]:
        """A training ended without a model."""
        training = self.training
        if training is None or training.number != ended.training:
            return []
        self.training = self.base = None
        name = challenger_of(self._pipeline, training).name
        return [TrainingFailed(offset=offset, time_s=time_s, training=training.number, challenger=name, error=ended.error)]

    def teach_waiting(self, x: Features, y: Label) -> None:
        """Those who wait for a duel to end learn what happens meanwhile."""
        if self._waiting:
            for _, trained in self._waiting:
                train(trained.model, [Learned(0, 0.0, x, y, None)])

    def follow(self, happened: Iterable[DuelFact]) -> list[Any]:
        """Take over what a duel decided: who serves now, and at its end who is the champion. The facts, with their generation."""
        told: list[Any] = []
        for fact in happened:
            if isinstance(fact, LeadChanged):
                self.generation += 1
                told.append(dataclasses.replace(fact, generation=self.generation))
            elif isinstance(fact, DuelEnded) and self.dueling is not None:
                told.append(dataclasses.replace(fact, generation=self.generation))
                told += self._next(fact.offset, fact.time_s, self.dueling)
            else:
                told.append(fact)
        return told

    def snapshot(self) -> dict[str, Any]:
        """What is needed to go on from here; shares the models, so serialise it at once."""
        return {
            "champion": self.champion,
            "family": self._family,
            "generation": self.generation,
            "duels": self.duels,
            "dueling": self.dueling and {**self.dueling._asdict(), "duel": self.dueling.duel.snapshot()},
            "trainings": self.trainings,
            "training": self.training,
            "base": self.base,
            "waiting": tuple(self._waiting),
            "recent": tuple(self._recent or ()),
        }

    def _request(self, cause: Cause, index: int, challenger: Challenger) -> TrainingRequested:
        number, self.trainings = self.trainings, self.trainings + 1
        self.training = Training(
            number=number,
            rule=cause.rule,
            challenger=index,
            through_offset=cause.offset,
            time_s=cause.time_s,
            events_seen=cause.events_seen,
            cause=cause.trigger,
        )
        self.base = copy_of(self.served) if challenger.start == "champion" else None
        return TrainingRequested(
            offset=cause.offset,
            time_s=cause.time_s,
            training=number,
            challenger=challenger.name,
            cause=cause.trigger,
            generation=self.generation,
        )

    def _trained_here(self, challenger: Challenger) -> tuple[Any, int]:
        """A challenger that needs no more than the events kept here, and how many of them it learned."""
        model = copy_of(self.champion) if challenger.start == "champion" else challenger.begin(self._pipeline.model, self._pipeline.task)
        recent = list(self._recent or ())
        window = challenger.window
        rows = 0
        if window is not None:
            errors = [error for _, _, error in recent]
            rows = events_since_worse(self._pipeline.task, errors) if window.since_change else min(window.rows or 0, len(recent))
        train(model, [Learned(0, 0.0, x, y, None) for x, y, _ in recent[len(recent) - rows :]])
        return model, rows

    def _family_of(self, challenger: Challenger) -> str:
        if challenger.model is not None:
            return challenger.name
        return self._family if challenger.start == "champion" else ""

    def _make_way(self, offset: int, time_s: float) -> tuple[list[Any], list[Contestant]]:
        """End the rematch, if there is one, because something else begins; what happened, and who was in it beside the champion."""
        if self.dueling is None or not self.dueling.rematch:
            return [], []
        ended = dataclasses.replace(self.dueling.duel.end(offset, time_s), generation=self.generation)
        return [ended], self._conclude(self.dueling.duel)

    def _conclude(self, duel: Duel) -> list[Contestant]:
        """Make who leads the champion; who else was in the duel, the best first."""
        _, self.champion, self._family = duel.leader
        self.dueling = None
        return [each._replace(name=RIVAL) for each in duel.rivals]

    def _next(self, offset: int, time_s: float, over: Dueling) -> list[Any]:
        """What follows on the end of a duel: who waits for it enters, or the best of the pipeline's own models has a rematch."""
        own = [each for each in self._conclude(over.duel) if not each.family]
        race = self._pipeline.react[over.rule].do
        staying = own[:1] if self._family and isinstance(race, Challenge) and race.rematch else []
        if self._waiting:
            return self._enter(offset, time_s, *self._waiting.pop(0), staying)
        if not staying:
            return []
        return [self._start(Cause(offset, time_s, over.rule, "rematch", 0), [], [], staying, rematch=True)]

    def _start(
        self,
        cause: Cause,
        challengers: Sequence[Contestant],
        trained_on: Sequence[int],
        staying: Sequence[Contestant],
        *,
        to_come: int = 0,
        rematch: bool = False,
    ) -> DuelStarted:
        """A duel of the champion, of challengers, and of who stays from a rematch; places are kept for those the trainer will bring."""
        champion, rivals = Contestant("champion", self.champion, self._family), [*challengers, *staying]
        duel = self._spec(cause.rule).start(self.duels, champion, rivals, places=len(rivals) + to_come, rematch=rematch)
        self.dueling = Dueling(cause.rule, duel, rematch)
        self.duels += 1
        return DuelStarted(
            offset=cause.offset,
            time_s=cause.time_s,
            duel=duel.number,
            contestants=("champion", *(rival.name for rival in rivals)),
            trained_on=(0, *trained_on, *(0 for _ in staying)),
            generation=self.generation,
            cause=cause.trigger,
        )

    def _enter(self, offset: int, time_s: float, training: Training, trained: Trained, staying: list[Contestant]) -> list[Any]:
        """The challenger of a training joins the duel of its rule, or begins one, in which the rival of a rematch stays."""
        challenger = challenger_of(self._pipeline, training)
        contestant = Contestant(challenger.name, trained.model, self._family_of(challenger))
        facts: list[Any] = []
        if self.dueling is not None:
            self.dueling.duel.join(contestant)
            duel = self.dueling.duel.number
        else:
            cause = Cause(offset, time_s, training.rule, training.cause, training.events_seen)
            started = self._start(cause, [contestant], [trained.lessons], staying)
            duel = started.duel
            facts.append(started)
        facts.append(
            ChallengerJoined(
                offset=offset,
                time_s=time_s,
                training=training.number,
                duel=duel,
                challenger=contestant.name,
                lessons=trained.lessons,
                learned_through=trained.learned_through,
                caught_up=trained.caught_up,
                gap=trained.gap,
                generation=self.generation,
            )
        )
        return facts

    def _spec(self, rule: int) -> DuelSpec:
        reaction: Any = self._pipeline.react[rule].do
        return DuelSpec(evidence=reaction.evidence, task=self._pipeline.task, proba=self._pipeline.needs_proba)
