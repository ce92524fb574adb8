"""Who is in a duel, and what they said of a question."""

from __future__ import annotations

from typing import Any, NamedTuple

from stream_retrain.core.serve.predictor import Prediction
from stream_retrain.facts.duel import DuelFact

__all__ = ["Asked", "Ballot", "Contestant"]


class Contestant(NamedTuple):
    """A model in a duel, and what facts call it: "champion", "fresh", "since_change"."""

    name: str
    model: Any
    family: str = ""
    """Of a model that is not the pipeline's: the challenger it came as; empty: it is the pipeline's own."""


class Ballot(NamedTuple):
    """What each contestant of duel number `duel` predicted for one question, as far as its loss asks for it; keep it with the question."""

    duel: int
    votes: tuple[Any, ...]
    labels: tuple[Any, ...] = ()
    """The labels they predicted, where the duel is also guarded by a metric of them."""


class Asked(NamedTuple):
    """The served model's prediction, everyone's, and what asking did (almost always nothing)."""

    prediction: Prediction
    ballot: Ballot
    facts: list[DuelFact]
