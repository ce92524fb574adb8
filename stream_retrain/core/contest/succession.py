"""Who serves, and who may replace it: the champion of a shard, the duel around it, and the training of the next challenger.

Rules:

- The served model is the champion, or in a duel whoever leads it; each change of it begins a generation.
- A duel is not restarted. A challenger that comes from the trainer joins the duel its rule began, or begins one of its own; while
  another rule's duel lasts it waits, and learns every event meanwhile.
- A rule that only the trainer carries out may train again while its duel lasts, if a hundred events have shown nothing in favour of
  the challenger: the newer one then takes its place (the old duel ends, undecided, and another starts). Where something is shown by the
  time it comes, it waits for the duel's end.
- Where a duel ends with a champion that is not the pipeline's model, the best of the duel that is has a rematch with it, without end
  until the lead changes. A rematch holds nothing up: the next duel takes its rival over, a reset ends it.
- Who asks for a reset or a version ends whatever duel there is, which nobody wins then. A training goes on: its challenger races the new
  champion, as do those who waited for the duel's end.
- One training at a time. It is part of the state: after a restart it is asked for again, under the same number.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from stream_retrain.core.contest.cause import Cause, challenger_of
from stream_retrain.core.contest.challenger import RIVAL, Challenger
from stream_retrain.core.contest.change_point import LOOK_BACK_EVENTS
from stream_retrain.core.contest.commands import Command, Stop, Train
from stream_retrain.core.contest.duel import Contestant, Duel, DuelSpec, rule_of
from stream_retrain.core.contest.inputs import NotTrained, Promote, Reset, Trained
from stream_retrain.core.contest.trained_here import trained_here
from stream_retrain.core.contest.training import Training, copy_of, train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Challenge, Race
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.shard import (
    DuelEnded,
    DuelFact,
    DuelStarted,
    ModelPromoted,
    ModelReset,
    ShardFact,
    TrainingFailed,
    TrainingRequested,
)
from stream_retrain.facts.values import Features, Label, Learned

__all__ = ["Succession"]

_SUCCESSION: Final = Part.of(
    "succession", "champion", "family", "generation", "duels", "duel", "trainings", "training", "base", "waiting", "recent"
)


class Succession:
    """The champion, the duel and the training of one shard."""

    def __init__(self, pipeline: Pipeline, saved: Saved | None = None) -> None:
        """Fresh, or as it was saved. Raises `StateError`."""
        values = _fresh(pipeline) if saved is None else _SUCCESSION.load(saved)
        self._pipeline = pipeline
        self.champion: Any = values["champion"]
        self._family: str = values["family"]
        """The champion's, as in `Contestant`."""
        self.generation: int = values["generation"]
        self.duels: int = values["duels"]
        self.trainings: int = values["trainings"]
        self.training: Training | None = values["training"]
        self.base: Any = values["base"]
        """The copy of the champion that the training starts from, as it was when it was asked for."""
        duel = values["duel"]
        self.duel: Duel | None = None if duel is None else self._spec(rule_of(duel)).build(duel)
        self._waiting: list[tuple[Training, Trained]] = list(values["waiting"])
        self._recent: collections.deque[tuple[Features, Any, float]] | None = None
        if any(isinstance(rule.do, Race) for rule in pipeline.react):
            self._recent = collections.deque(values["recent"], maxlen=LOOK_BACK_EVENTS)
        self._commands: list[Command] = []
        races = [rule.do if isinstance(rule.do, Race) else None for rule in pipeline.react]
        self._by_trainer = [race is not None and all(each.by_trainer for each in race.contestants()) for race in races]
        """Of each rule, whether all its challengers come from the trainer, so that its duel keeps no place for one."""

    @property
    def remembers(self) -> bool:
        """Whether `remember` wants every labelled event."""
        return self._recent is not None

    def remember(self, rows: Iterable[tuple[Features, Label, float]]) -> None:
        """Keep events for a challenger trained on the spot, each with the error of the prediction that was made, 1 where there was none."""
        if self._recent is not None:
            self._recent.extend(rows)

    @property
    def served(self) -> Any:
        """The model that serves."""
        return self.champion if self.duel is None else self.duel.model

    def models(self) -> Iterator[Any]:
        """Every model it holds: the champion, those in the duel, and those that wait for its end."""
        yield from [self.champion] if self.duel is None else [each.model for each in (self.duel.leader, *self.duel.rivals)]
        yield from (trained.model for _, trained in self._waiting)

    @property
    def busy(self) -> bool:
        """Whether a duel is in progress that nothing may interrupt."""
        return self.duel is not None and not self.duel.rematch

    @property
    def replaceable(self) -> int | None:
        """The rule whose challenger a new training of it may replace."""
        duel = self.duel
        if duel is None or not self.busy or not duel.shows_nothing:
            return None
        return duel.rule if self._by_trainer[duel.rule] else None

    def outstanding(self) -> Train | None:
        """The command of the training it waits for."""
        return None if self.training is None else Train(training=self.training, base=self.base, generation=self.generation)

    def take_commands(self) -> list[Command]:
        """What it wants done since the last call."""
        commands, self._commands = self._commands, []
        return commands

    def want(self, commands: Iterable[Command]) -> None:
        """Have these given out with the others."""
        self._commands += commands

    def reset(self, cause: Cause) -> list[ShardFact]:
        """Begin afresh with the pipeline's model."""
        facts: list[ShardFact] = []
        if self.duel is not None:
            facts.append(self.duel.end(cause.offset, cause.time_s))
            self._conclude(self.duel)
        self.generation += 1
        self.champion, self._family = self._pipeline.model.clone(), ""
        facts.append(ModelReset(offset=cause.offset, time_s=cause.time_s, generation=self.generation, cause=cause.trigger))
        return [*facts, *self._enter_waiting(cause.offset, cause.time_s)]

    def stop(self, reason: str) -> None:
        """Ask for the end of the worker."""
        self._commands.append(Stop(reason=reason))

    def reset_as_asked(self, offset: int, time_s: float, asked: Reset) -> list[ShardFact]:
        """Begin afresh, because somebody asked for it."""
        ended = self._supersede(offset, time_s, self._pipeline.model.clone(), "")
        told = {"cause": "request", "reason": asked.reason, "by": asked.by, "token": asked.token}
        reset = ModelReset(offset=offset, time_s=time_s, generation=self.generation, **told)
        return [*ended, reset, *self._enter_waiting(offset, time_s)]

    def promote(self, offset: int, time_s: float, asked: Promote) -> list[ShardFact]:
        """Let a version serve, as a new generation."""
        ended = self._supersede(offset, time_s, asked.model, asked.family)
        told = {name: getattr(asked, name) for name in ("version", "how", "family", "digest", "reason", "token", "by")}
        promoted = ModelPromoted(offset=offset, time_s=time_s, generation=self.generation, **told)
        return [*ended, promoted, *self._enter_waiting(offset, time_s)]

    def race(self, cause: Cause, race: Race) -> list[ShardFact]:
        """Train the challengers that can be trained on the spot and let them race; ask the trainer for the other.

        One that would start from nothing is left out where a model of its family, which is not the pipeline's, races already.
        """
        declared = race.contestants()
        facts: list[ShardFact] = [self._request(cause, index, each) for index, each in enumerate(declared) if each.by_trainer]
        here = [challenger for challenger in declared if not challenger.by_trainer]
        if here:
            ended, staying = self._make_way(cause.offset, cause.time_s)
            racing = {self._family, *(each.family for each in staying)} - {""}
            here = [each for each in here if not (each.from_nothing and self._family_of(each) in racing)] or here
            recent = list(self._recent or ())
            models, trained_on = zip(*(trained_here(self._pipeline, each, self.champion, recent) for each in here), strict=True)
            contestants = [Contestant(each.name, model, self._family_of(each)) for each, model in zip(here, models, strict=True)]
            facts += [*ended, self._start(cause, contestants, trained_on, staying, to_come=len(facts))]
        return facts

    def join(self, offset: int, time_s: float, trained: Trained) -> list[ShardFact]:
        """Let a challenger in that the trainer has trained; nothing where nobody waits for it any more."""
        training = self.training
        if training is None or training.number != trained.training:
            return []
        self.training = self.base = None
        if self.duel is not None and self.busy:
            if self.replaceable == training.rule:
                return self._replaced(offset, time_s, self.duel, training, trained)
            if self.duel.rule != training.rule or self._by_trainer[training.rule]:
                self._waiting.append((training, trained))
                name = challenger_of(self._pipeline, training).name
                return [trained.waits(offset, time_s, challenger=name, generation=self.generation)]
        ended, staying = self._make_way(offset, time_s)
        return [*ended, *self._enter(offset, time_s, training, trained, staying)]

    def fail(self, offset: int, time_s: float, failed: NotTrained) -> list[ShardFact]:
        """A training ended without a model."""
        training = self.training
        if training is None or training.number != failed.training:
            return []
        self.training = self.base = None
        name = challenger_of(self._pipeline, training).name
        return [TrainingFailed(offset=offset, time_s=time_s, training=training.number, challenger=name, error=failed.error)]

    def teach_waiting(self, x: Features, y: Label) -> None:
        """Those who wait for a duel to end learn what happens meanwhile."""
        for _, trained in self._waiting:
            train(trained.model, [Learned(0, 0.0, x, y, None)])

    def follow(self, happened: Iterable[DuelFact]) -> list[ShardFact]:
        """Take over what the duel decided: who serves now, and at its end who is the champion. The facts, with what follows on them."""
        told: list[ShardFact] = []
        for fact in happened:
            told.append(fact)
            if self.duel is not None:
                self.generation = self.duel.generation
                if isinstance(fact, DuelEnded):
                    told += self._next(fact.offset, fact.time_s, self.duel)
        return told

    def snapshot(self) -> Saved:
        """What is needed to go on from here; shares the models, so serialise it at once."""
        return _SUCCESSION.save(
            champion=self.champion,
            family=self._family,
            generation=self.generation,
            duels=self.duels,
            duel=self.duel and self.duel.snapshot(),
            trainings=self.trainings,
            training=self.training,
            base=self.base,
            waiting=tuple(self._waiting),
            recent=tuple(self._recent or ()),
        )

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
        self._commands.append(Train(training=self.training, base=self.base, generation=self.generation))
        return TrainingRequested(
            offset=cause.offset,
            time_s=cause.time_s,
            training=number,
            challenger=challenger.name,
            cause=cause.trigger,
            generation=self.generation,
        )

    def _family_of(self, challenger: Challenger) -> str:
        if challenger.model is not None:
            return challenger.name
        return self._family if challenger.start == "champion" else ""

    def _make_way(self, offset: int, time_s: float) -> tuple[list[ShardFact], list[Contestant]]:
        """End the rematch, if there is one, because something else begins; what happened, and who was in it beside the champion."""
        if self.duel is None or not self.duel.rematch:
            return [], []
        ended = self.duel.end(offset, time_s)
        return [ended], self._conclude(self.duel)

    def _supersede(self, offset: int, time_s: float, model: Any, family: str) -> list[ShardFact]:
        """Put a model in the champion's place, as a new generation; whatever duel there is ends, and nobody stays."""
        ended = [] if self.duel is None else [self.duel.end(offset, time_s)]
        self.duel, self.champion, self._family = None, model, family
        self.generation += 1
        return [dataclasses.replace(each, result="superseded", winner="", held_by=None) for each in ended]

    def _enter_waiting(self, offset: int, time_s: float) -> list[ShardFact]:
        """Whoever waited longest for the end of a duel enters."""
        return self._enter(offset, time_s, *self._waiting.pop(0), []) if self._waiting else []

    def _replaced(self, offset: int, time_s: float, duel: Duel, training: Training, trained: Trained) -> list[ShardFact]:
        """End a duel that shows nothing, for a newer challenger; who is in it from a rematch stays."""
        ended, staying = duel.end(offset, time_s), [each for each in duel.rivals if each.name == RIVAL]
        self._conclude(duel)
        return [ended, *self._enter(offset, time_s, training, trained, staying)]

    def _conclude(self, duel: Duel) -> list[Contestant]:
        """Make who leads the champion; who else was in the duel, the best first."""
        _, self.champion, self._family = duel.leader
        self.duel = None
        return [each._replace(name=RIVAL) for each in duel.rivals]

    def _next(self, offset: int, time_s: float, over: Duel) -> list[ShardFact]:
        """What follows on the end of a duel: who waits for it enters, or the best of the pipeline's own models has a rematch."""
        own = [each for each in self._conclude(over) if not each.family]
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
        given: dict[str, Any] = {"places": len(rivals) + to_come, "rematch": rematch}
        self.duel = self._spec(cause.rule).start(self.duels, champion, rivals, rule=cause.rule, generation=self.generation, **given)
        self.duels += 1
        return DuelStarted(
            offset=cause.offset,
            time_s=cause.time_s,
            duel=self.duel.number,
            contestants=("champion", *(rival.name for rival in rivals)),
            trained_on=(0, *trained_on, *(0 for _ in staying)),
            generation=self.generation,
            cause=cause.trigger,
            loss=self.duel.loss,
        )

    def _enter(self, offset: int, time_s: float, training: Training, trained: Trained, staying: list[Contestant]) -> list[ShardFact]:
        """The challenger of a training joins the duel of its rule, or begins one, in which the rival of a rematch stays."""
        challenger = challenger_of(self._pipeline, training)
        contestant = Contestant(challenger.name, trained.model, self._family_of(challenger))
        facts: list[ShardFact] = []
        if self.duel is not None:
            self.duel.join(contestant)
            duel = self.duel.number
        else:
            cause = Cause(offset, time_s, training.rule, training.cause, training.events_seen)
            started = self._start(cause, [contestant], [trained.lessons], staying)
            duel = started.duel
            facts.append(started)
        return [*facts, trained.joined(offset, time_s, duel=duel, challenger=contestant.name, generation=self.generation)]

    def _spec(self, rule: int) -> DuelSpec:
        reaction: Any = self._pipeline.react[rule].do
        of = self._pipeline
        return DuelSpec(evidence=reaction.evidence, task=of.task, proba=of.needs_proba, threshold=of.threshold, metric=of.metric_of_labels)


def _fresh(pipeline: Pipeline) -> Saved:
    nothing = dict.fromkeys(("duel", "training", "base")) | dict.fromkeys(("generation", "duels", "trainings"), 0)
    return {"champion": pipeline.model.clone(), "family": "", "waiting": (), "recent": (), **nothing}
