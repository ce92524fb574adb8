"""A duel: the champion and its challengers predict and learn on the same live events, and the evidence says who serves.

Protocol of use, for the shard that holds it:

1. `DuelSpec.start` when the policy wants a challenge; the champion serves. A challenger trained elsewhere may `join` later, if a place was
   kept for it.
2. For each question `ask`: everyone predicts it as they are now. The served model's prediction goes out; the ballot, which has
   everyone's, waits with the question.
3. For each label `step`, with the ballot of its question: the predictions are compared, everyone learns, and what that did comes back
   as facts. `served` and `model` say who serves the next question; after `DuelEnded`, `model` is the champion from now on.

Rules:

- Test, then train: predictions are scored as they were when the question was asked, however late the label. A question asked before the
  duel has no ballot, one asked in an earlier duel has that duel's: such labels train all models and are not counted as evidence.
- By which loss is settled when the duel starts, from what its contestants give (`core.contest.loss`); one that joins later changes nothing.
- A model that cannot predict yet has missed (classification): that counts against it.
- The loser stays until the end and may win its place back. Nothing restarts a duel, and a drift during it does not either.
- A rematch has no end before the lead changes; from there on it is a duel like any other. The pipeline's own model has one with a
  champion of another family.
- Each change of lead begins a generation. A metric of labels may hold it up (`core.contest.metric_guard`).
- The models are foreign code. A contestant that raises where another does not is out and the duel goes on; if it was serving, the
  champion, or else the first who is left, takes over. Where everyone raises it is the event's fault: it is raised, and nobody is out.
- It ends when enough was seen (`core.contest.ending`), or when nobody is left to compare with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

from stream_retrain.core.contest.contestant import Asked, Ballot, Contestant
from stream_retrain.core.contest.ending import SAME_EVENTS, Ending
from stream_retrain.core.contest.evidence import Evidence
from stream_retrain.core.contest.metric_guard import MetricGuard
from stream_retrain.core.contest.scorer import Scorer
from stream_retrain.core.contest.tally import Tally
from stream_retrain.core.serve.predictor import Prediction, Predictor, label_is_most_probable, predictor
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.duel import ContestantFailed, DuelEnded, DuelFact, DuelResult, LeadCause, LeadChanged, LossName
from stream_retrain.facts.observation import DuelStanding
from stream_retrain.facts.values import Features

__all__ = ["Asked", "Ballot", "Contestant", "Duel", "DuelSpec", "rule_of"]

CHAMPION: Final = 0
NO_PREDICTION: Final[Prediction] = (None, None)
_DUEL: Final = Part.of(
    "duel",
    *("number", "rule", "rematch", "generation", "rivals", "contestants", "failed", "led", "loss_sums", "scored"),
    *("test", "scorer", "ending", "guard"),
    schema=3,
    migrations={2: lambda values: {**values, "guard": None}},
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelSpec:
    """How the duels of a pipeline are held."""

    evidence: Evidence
    task: str
    proba: bool = False
    """Whether the served model's probabilities are wanted, whatever the loss asks for."""
    threshold: float | None = None
    """The probability from which on a binary label is True (`Pipeline.threshold`)."""
    metric: Any = None
    """A River metric of labels that a change of lead must not make worse."""

    def start(
        self,
        number: int,
        champion: Contestant,
        challengers: Sequence[Contestant],
        *,
        rule: int = 0,
        generation: int = 0,
        places: int = 0,
        rematch: bool = False,
    ) -> Duel:
        """Begin duel `number`, which carries out a rule of the pipeline, around the champion of a generation.

        places
            Rivals it may have in all, those that join later included.
        rematch
            It has no end before the lead changes.
        """
        contestants = [champion, *challengers]
        scorer = Scorer.start(self.evidence, self.task, [each.model for each in contestants])
        ending = self.ending(scorer.name)
        if not rematch:
            ending.begin()
        rivals = max(places, len(challengers))
        none = [0] * len(contestants)
        return self.build(
            _DUEL.save(
                number=number,
                rule=rule,
                rematch=rematch,
                generation=generation,
                rivals=rivals,
                contestants=contestants,
                failed=(),
                led=(),
                loss_sums=none,
                scored=none,
                test=self.evidence.build(contestants=rivals + 1).snapshot(),
                scorer=scorer.snapshot(),
                ending=ending.snapshot(),
                guard=None,
            )
        )

    def guard(self, saved: Saved | None) -> MetricGuard | None:
        """What keeps the lead from whom the metric says to be worse. Raises `StateError`."""
        margin = self.evidence.metric_margin
        return None if self.metric is None or margin is None else MetricGuard(self.metric, margin, saved)

    def ending(self, loss: LossName, saved: Saved | None = None) -> Ending:
        """When a duel by a loss ends. Raises `StateError`."""
        return Ending(self.evidence, saved, numbers=loss == "relative", by_label=loss in ("miss", "cost"))

    def build(self, saved: Saved) -> Duel:
        """The duel as it was saved. Raises `StateError`."""
        return Duel(self, saved)


def rule_of(saved: Saved) -> int:
    """Which rule of the pipeline a saved duel carries out; its reaction says how it is held. Raises `StateError`."""
    rule: int = _DUEL.load(saved)["rule"]
    return rule


class Duel:
    """The contestants, in the order they came (the champion first), and the evidence between them."""

    def __init__(self, spec: DuelSpec, saved: Saved) -> None:
        values = _DUEL.load(saved)
        self._spec = spec
        self.number: int = values["number"]
        self.rule: int = values["rule"]
        self.rematch: bool = values["rematch"]
        self.generation: int = values["generation"]
        """Of the model that serves."""
        self._rivals: int = values["rivals"]
        self._contestants: list[Contestant] = [Contestant(*each) for each in values["contestants"]]
        self._failed: set[int] = set(values["failed"])
        self._led: set[int] = set(values["led"])
        self._tally = Tally(values["loss_sums"], values["scored"])
        self._scorer = Scorer(spec.evidence, spec.task, values["scorer"])
        self._test = spec.evidence.build(values["test"], unit=self._scorer.unit)
        self.loss: LossName = self._scorer.name
        self._ending = spec.ending(self.loss, values["ending"])
        self._guard = spec.guard(values["guard"])
        self._install()

    @property
    def leader(self) -> Contestant:
        """The contestant that serves."""
        return self._contestants[self._test.served]

    @property
    def served(self) -> str:
        """Its name."""
        return self.leader.name

    @property
    def model(self) -> Any:
        """The model that serves."""
        return self.leader.model

    @property
    def over(self) -> bool:
        """Whether the duel has ended, or will with the next label."""
        return self._ending.due or self._ending.twins or len(self._in) < 2

    @property
    def shows_nothing(self) -> bool:
        """Whether a hundred scored events and more have shown nothing in favour of any challenger."""
        test = self._test
        no_rival = (index == test.served or test.e_value(index) <= 1 for index, *_ in self._in)
        return test.changes == 0 and test.events >= SAME_EVENTS and all(no_rival)

    @property
    def rivals(self) -> list[Contestant]:
        """Those still in who do not serve, the smallest mean loss first."""
        others = [index for index, *_ in self._in if index != self._test.served]
        return [self._contestants[index] for index in sorted(others, key=self._tally.loss_mean)]

    def ask(self, offset: int, time_s: float, x: Features) -> Asked:
        """Let everyone predict a question. Raises what the served model raised if everyone did."""
        predictions: list[Prediction] = [NO_PREDICTION] * len(self._contestants)
        failures: dict[int, Exception] | None = None
        for index, predict, _ in self._in:
            try:
                predictions[index] = predict(x)
            except Exception as error:  # noqa: BLE001 - models are foreign code; see the module's docstring
                failures = {**(failures or {}), index: error}
        facts = self._drop(offset, time_s, failures) if failures else []
        vote = self._scorer.vote
        labels = () if self._guard is None else tuple([y_pred for y_pred, _ in predictions])
        ballot = Ballot(self.number, tuple([vote(y_pred, proba) for y_pred, proba in predictions]), labels)
        served = predictions[self._test.served]
        return Asked(served if self._shows_proba or not served[1] else (served[0], None), ballot, facts)

    def step(self, offset: int, time_s: float, x: Features, y: Any, ballot: Ballot | None) -> list[DuelFact]:
        """Take a label: everyone learns it, the ballot of its question is scored. Raises what the served model raised if everyone did."""
        failures: dict[int, Exception] | None = None
        for index, _, learn in self._in:
            try:
                learn(x, y)
            except Exception as error:  # noqa: BLE001 - the same
                failures = {**(failures or {}), index: error}
        facts = self._drop(offset, time_s, failures) if failures else []
        if ballot is not None and ballot.duel == self.number:
            self._score(offset, time_s, y, ballot, facts)
        if self.over:
            facts.append(self.end(offset, time_s))
        return facts

    def end(self, offset: int, time_s: float) -> DuelEnded:
        """End it, in its time or before; who leads stays."""
        challengers = range(1, len(self._contestants))
        test, number, winner = self._test, self.number, self.served
        result: DuelResult = "undecided"
        if test.served != CHAMPION:
            result = "promoted"
        elif self._ending.twins or all(index in self._failed or index in self._led or test.rejects(index) for index in challengers):
            result = "kept"
        return DuelEnded(
            offset=offset,
            time_s=time_s,
            duel=number,
            result=result,
            winner=winner,
            events=test.events,
            changes=test.changes,
            standings=self.standing().contestants,
            generation=self.generation,
            loss=self.loss,
            held_by=self._guard.name if self._guard is not None and self._guard.holds else None,
        )

    def leave(self, offset: int, time_s: float, why: dict[str, Exception]) -> list[DuelFact]:
        """Some may not go on, by name, for a reason that is no event's; not all of them."""
        failures = {index: why[each.name] for index, each in enumerate(self._contestants) if each.name in why}
        return [*self._drop(offset, time_s, failures), *([self.end(offset, time_s)] if self.over else [])]

    def join(self, challenger: Contestant) -> None:
        """Let a challenger in that was trained elsewhere; the duel then has all its events before it. Raises ValueError without a place."""
        if len(self._contestants) > self._rivals:
            raise ValueError(f"duel {self.number} has places for {self._rivals} challengers, and all are taken; start it with more places")
        self._contestants.append(challenger)
        self._tally.joined()
        self._ending.joined()
        if self._guard is not None:
            self._guard.joined()
        self._install()

    def snapshot(self) -> Saved:
        """What `DuelSpec.build` needs to go on from here; shares the models with the duel, so serialise it at once."""
        return _DUEL.save(
            number=self.number,
            rule=self.rule,
            rematch=self.rematch,
            generation=self.generation,
            rivals=self._rivals,
            contestants=[tuple(each) for each in self._contestants],
            failed=sorted(self._failed),
            led=sorted(self._led),
            loss_sums=list(self._tally.loss_sums),
            scored=list(self._tally.scored),
            test=self._test.snapshot(),
            scorer=self._scorer.snapshot(),
            ending=self._ending.snapshot(),
            guard=self._guard and self._guard.snapshot(),
        )

    def standing(self) -> DuelStanding:
        """How it stands now, and each contestant, in the order they came."""
        contestants = self._tally.standings([each.name for each in self._contestants], self._test)
        return DuelStanding(self.number, self.served, self._test.events, self._test.passes_at, contestants, self.rematch)

    def _install(self) -> None:
        """The contestants still in, each with its predictor and its `learn_one`."""
        spec, served, of_proba = self._spec, self._test.served, self._scorer.of_proba
        self._shows_proba = spec.proba or spec.task == "regression" or label_is_most_probable(self.leader.model)
        self._in: list[tuple[int, Predictor, Callable[[Features, Any], None]]] = []
        for index, each in enumerate(self._contestants):
            if index not in self._failed:
                proba = of_proba or (spec.proba and index == served)
                self._in.append((index, predictor(each.model, spec.task, proba=proba, threshold=spec.threshold), each.model.learn_one))

    def _score(self, offset: int, time_s: float, y: Any, ballot: Ballot, facts: list[DuelFact]) -> None:
        guard, served, votes = self._guard, self._test.served, ballot.votes
        losses = self._scorer.losses(y, votes, self._failed)
        if losses is None:
            return
        if len(losses) < len(self._contestants):  # somebody joined after the question was asked
            losses += [None] * (len(self._contestants) - len(losses))
        if losses[served] is None:
            return
        self._ending.count(y, losses)
        self._tally.count(losses)
        if guard is not None:
            guard.count(y, ballot.labels)
        taker = self._test.update(losses, self._scorer.most_lost(votes, served))
        if taker is not None and (guard is None or guard.allows(served, taker)):
            facts.append(self._lead(offset, time_s, taker, "evidence"))

    def _lead(self, offset: int, time_s: float, taker: int, cause: LeadCause) -> LeadChanged:
        number, before, now = self.number, self.served, self._contestants[taker].name
        events, standings = self._test.events, self.standing().contestants
        self._led.add(taker)
        if self._ending.is_open:
            self._ending.begin()
        self._test.lead(taker)
        self.generation += 1
        self._install()
        return LeadChanged(
            offset=offset,
            time_s=time_s,
            duel=number,
            before=before,
            now=now,
            cause=cause,
            events=events,
            standings=standings,
            generation=self.generation,
            loss=self.loss,
        )

    def _drop(self, offset: int, time_s: float, failures: dict[int, Exception]) -> list[DuelFact]:
        """Take out those who raised, unless everyone did."""
        served = self._test.served
        if len(failures) == len(self._in):
            raise failures[served]
        facts: list[DuelFact] = []
        for index, error in failures.items():
            name, detail = self._contestants[index].name, f"{type(error).__name__}: {error}"
            facts.append(ContestantFailed(offset=offset, time_s=time_s, duel=self.number, name=name, detail=detail))
        self._failed.update(failures)
        self._install()
        if served in failures:
            facts.append(self._lead(offset, time_s, self._in[0][0], "failure"))
        self._contestants = [each._replace(model=None) if index in failures else each for index, each in enumerate(self._contestants)]
        return facts
