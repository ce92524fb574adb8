"""A duel: the champion and its challengers answer and learn on the same live events, and the evidence says who serves.

Protocol of use, for the shard that holds it:

1. `DuelSpec.start` when the policy wants a challenge; the champion serves. A challenger trained elsewhere may `join` later, if a place was
   kept for it.
2. For each question `ask`: everyone answers it as they are now. The served model's answer goes out; the ballot waits with the question.
3. For each label `step`, with the ballot of its question: the votes are compared, everyone learns, and what that did comes back as
   facts. `served` and `model` say who answers the next question; after `DuelEnded`, `model` is the champion from now on.

Rules:

- Test, then train: votes are scored as they were when the question was asked, however late the label. A question asked before the duel has
  no ballot, one asked in an earlier duel has that duel's: both teach everyone and prove nothing.
- A model that cannot answer yet has missed (classification); it is not spared the question.
- The loser stays until the end and may win its place back. Nothing restarts a duel; a drift during it is the duel's own business.
- A rematch has no end before the lead changes; from there on it is a duel like any other. The pipeline's own model has one with a
  champion of another family.
- The models are foreign code. A contestant that raises where another does not is out and the duel goes on; if it was serving, the
  champion, or else the first who is left, takes over. Where everyone raises it is the event's fault: it is raised, and nobody is out.
- It ends when `events_max` events were scored since the last one joined, or when nobody is left to compare with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from stream_retrain.core.evidence import Evidence, RelativeLoss
from stream_retrain.core.messages import Features, Label
from stream_retrain.core.predictors import Answer, Predictor, predictor

__all__ = [
    "Asked",
    "Ballot",
    "Contestant",
    "ContestantFailed",
    "Duel",
    "DuelEnded",
    "DuelFact",
    "DuelSpec",
    "DuelStarted",
    "LeadChanged",
    "Standing",
]

CHAMPION: Final = 0
NO_ANSWER: Final[Answer] = (None, None)


class Contestant(NamedTuple):
    """A model in a duel, and what facts call it: "champion", "fresh", "since_change"."""

    name: str
    model: Any
    family: str = ""
    """Of a model that is not the pipeline's: the challenger it came as; empty: it is the pipeline's own."""


class Ballot(NamedTuple):
    """What each contestant of duel number `duel` answered to one question; keep it with the question."""

    duel: int
    votes: tuple[Label | None, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a contestant stands when something happens."""

    name: str
    loss_mean: float
    """Over all events of the duel it was scored on: the share of labels missed, or the mean `RelativeLoss`."""
    events: int
    e_value: float
    """Evidence that it is better than the model that served until now, since the last change; 1 is none."""
    e_value_against: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelStarted:
    """Challengers were trained and race the champion from the next question on."""

    offset: int
    time_s: float
    duel: int
    contestants: tuple[str, ...]
    trained_on: tuple[int, ...]
    """Events each has learned for the duel, in the order of `contestants`; the champion's 0 means it is as it was."""
    generation: int
    cause: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeadChanged:
    """Another contestant serves from the next question on."""

    offset: int
    time_s: float
    duel: int
    before: str
    now: str
    cause: Literal["evidence", "failure"]
    events: int
    standings: tuple[Standing, ...]
    generation: int = 0
    """The number under which it serves; the shard gives it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContestantFailed:
    """A contestant raised where another did not, and is out."""

    offset: int
    time_s: float
    duel: int
    name: str
    detail: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelEnded:
    """The duel is over and `winner` is the champion.

    `promoted`: it is a challenger. `kept`: it is the champion, and every challenger was shown to be worse, lost the lead again, or
    failed. `undecided`: it is the champion, and of some challenger nothing was shown.
    """

    offset: int
    time_s: float
    duel: int
    result: Literal["promoted", "kept", "undecided"]
    winner: str
    events: int
    changes: int
    standings: tuple[Standing, ...]
    generation: int = 0
    """The winner's; the shard gives it."""


DuelFact: TypeAlias = DuelStarted | LeadChanged | ContestantFailed | DuelEnded


class Asked(NamedTuple):
    """The served model's answer, everyone's votes, and what asking did (almost always nothing)."""

    answer: Answer
    ballot: Ballot
    facts: list[DuelFact]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelSpec:
    """How the duels of a pipeline are held."""

    evidence: Evidence
    task: str
    proba: bool = False
    """Whether the served model's probabilities are wanted; the others are asked for their label only."""

    def start(
        self, number: int, champion: Contestant, challengers: Sequence[Contestant], *, places: int = 0, rematch: bool = False
    ) -> Duel:
        """Begin duel `number`; `places`: rivals it may have in all, those that join later included."""
        contestants = [champion, *challengers]
        rivals = max(places, len(challengers))
        test = self.evidence.build(contestants=rivals + 1).snapshot()
        events_left = None if rematch else self.evidence.events_max
        return self.build({"number": number, "contestants": contestants, "rivals": rivals, "test": test, "events_left": events_left})

    def build(self, snapshot: dict[str, Any]) -> Duel:
        """The duel as `snapshot` left it."""
        return Duel(self, snapshot)


class Duel:
    """The contestants, in the order they came (the champion first), and the evidence between them."""

    def __init__(self, spec: DuelSpec, snapshot: dict[str, Any]) -> None:
        self._spec = spec
        self.number: int = snapshot["number"]
        self._rivals: int = snapshot["rivals"]
        self._contestants: list[Contestant] = [Contestant(*each) for each in snapshot["contestants"]]
        none = [0] * len(self._contestants)
        self._failed: set[int] = set(snapshot.get("failed", ()))
        self._led: set[int] = set(snapshot.get("led", ()))
        self._loss_sums: list[float] = list(snapshot.get("loss_sums", none))
        self._scored: list[int] = list(snapshot.get("scored", none))
        self._events_left: int | None = snapshot["events_left"]
        self._test = spec.evidence.build(snapshot["test"])
        self._relative = RelativeLoss(snapshot.get("relative")) if spec.task == "regression" else None
        self._install()

    @property
    def leader(self) -> Contestant:
        """The contestant that answers."""
        return self._contestants[self._test.served]

    @property
    def served(self) -> str:
        """Its name."""
        return self.leader.name

    @property
    def model(self) -> Any:
        """The model that answers."""
        return self.leader.model

    @property
    def over(self) -> bool:
        """Whether the duel has ended, or will with the next label."""
        return (self._events_left is not None and self._events_left <= 0) or len(self._in) < 2

    @property
    def rivals(self) -> list[Contestant]:
        """Those still in who do not answer, the smallest mean loss first."""
        others = [index for index, *_ in self._in if index != self._test.served]
        return [
            self._contestants[index] for index in sorted(others, key=lambda index: self._loss_sums[index] / max(1, self._scored[index]))
        ]

    def ask(self, offset: int, time_s: float, x: Features) -> Asked:
        """Let everyone answer a question. Raises what the served model raised if everyone did."""
        answers: list[Answer] = [NO_ANSWER] * len(self._contestants)
        failures: dict[int, Exception] | None = None
        for index, predict, _ in self._in:
            try:
                answers[index] = predict(x)
            except Exception as error:  # noqa: BLE001 - models are foreign code; see the module's docstring
                failures = {**(failures or {}), index: error}
        facts = self._drop(offset, time_s, failures) if failures else []
        return Asked(answers[self._test.served], Ballot(self.number, tuple([vote for vote, _ in answers])), facts)

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
            self._score(offset, time_s, y, ballot.votes, facts)
        if self.over:
            facts.append(self.end(offset, time_s))
        return facts

    def end(self, offset: int, time_s: float) -> DuelEnded:
        """End it, in its time or before; who leads stays."""
        challengers = range(1, len(self._contestants))
        test, number, winner = self._test, self.number, self.served
        result: Literal["promoted", "kept", "undecided"] = "undecided"
        if test.served != CHAMPION:
            result = "promoted"
        elif all(index in self._failed or index in self._led or test.rejects(index) for index in challengers):
            result = "kept"
        events, changes, standings = test.events, test.changes, self.standings()
        return DuelEnded(
            offset=offset, time_s=time_s, duel=number, result=result, winner=winner, events=events, changes=changes, standings=standings
        )

    def join(self, challenger: Contestant) -> None:
        """Let a challenger in that was trained elsewhere; the duel then has all its events before it. Raises ValueError without a place."""
        if len(self._contestants) > self._rivals:
            raise ValueError(f"duel {self.number} has places for {self._rivals} challengers, and all are taken; start it with more places")
        self._contestants.append(challenger)
        self._loss_sums, self._scored = [*self._loss_sums, 0.0], [*self._scored, 0]
        self._events_left = self._spec.evidence.events_max
        self._install()

    def snapshot(self) -> dict[str, Any]:
        """What `DuelSpec.build` needs to go on from here; shares the models with the duel, so serialise it at once."""
        return {
            "number": self.number,
            "rivals": self._rivals,
            "contestants": [tuple(each) for each in self._contestants],
            "failed": sorted(self._failed),
            "led": sorted(self._led),
            "loss_sums": list(self._loss_sums),
            "scored": list(self._scored),
            "events_left": self._events_left,
            "test": self._test.snapshot(),
            "relative": self._relative.snapshot() if self._relative else None,
        }

    def standings(self) -> tuple[Standing, ...]:
        """How each contestant stands now, in the order they came."""
        return tuple(map(self._standing, range(len(self._contestants))))

    def _standing(self, index: int) -> Standing:
        name, events, test = self._contestants[index].name, self._scored[index], self._test
        e_value, against = test.e_value(index), test.e_value_against(index)
        loss_mean = self._loss_sums[index] / max(1, events)
        return Standing(name=name, loss_mean=loss_mean, events=events, e_value=e_value, e_value_against=against)

    def _install(self) -> None:
        """The contestants still in, each with its predictor and its `learn_one`."""
        spec, served = self._spec, self._test.served
        self._in: list[tuple[int, Predictor, Callable[[Features, Any], None]]] = [
            (index, predictor(each.model, spec.task, proba=spec.proba and index == served), each.model.learn_one)
            for index, each in enumerate(self._contestants)
            if index not in self._failed
        ]

    def _score(self, offset: int, time_s: float, y: Any, votes: tuple[Label | None, ...], facts: list[DuelFact]) -> None:
        losses = self._losses(y, votes)
        if losses is None:
            return
        if len(losses) < len(self._contestants):  # somebody joined after the question was asked
            losses += [None] * (len(self._contestants) - len(losses))
        if losses[self._test.served] is None:
            return
        if self._events_left is not None:
            self._events_left -= 1
        sums, scored = self._loss_sums, self._scored
        for index, loss in enumerate(losses):
            if loss is not None:
                sums[index] += loss
                scored[index] += 1
        if (taker := self._test.update(losses)) is not None:
            facts.append(self._lead(offset, time_s, taker, "evidence"))

    def _losses(self, y: Any, votes: tuple[Label | None, ...]) -> list[float | None] | None:
        """The loss of each vote; None for a contestant that is out, and for everyone while there is no scale."""
        if self._relative is not None:
            numbers: Any = [None if index in self._failed else vote for index, vote in enumerate(votes)]
            return self._relative.losses(y, numbers)
        if self._failed:
            return [None if index in self._failed else y != vote for index, vote in enumerate(votes)]
        return [y != vote for vote in votes]

    def _lead(self, offset: int, time_s: float, taker: int, cause: Literal["evidence", "failure"]) -> LeadChanged:
        number, before, now = self.number, self.served, self._contestants[taker].name
        events, standings = self._test.events, self.standings()
        self._led.add(taker)
        if self._events_left is None:
            self._events_left = self._spec.evidence.events_max
        self._test.lead(taker)
        self._install()
        return LeadChanged(
            offset=offset, time_s=time_s, duel=number, before=before, now=now, cause=cause, events=events, standings=standings
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
        return facts
