"""An event in a duel, where everyone predicts and everyone learns."""

from __future__ import annotations

from typing import Any

from stream_retrain.core.contest.duel import Ballot, Duel
from stream_retrain.core.serve.predictor import Prediction
from stream_retrain.facts.shard import DuelFact
from stream_retrain.facts.values import Event
from stream_retrain.lane.questions import Question

__all__ = ["raced"]


def raced(
    duel: Duel, event: Event, known: Question | None, happened: list[DuelFact], model: str
) -> tuple[Any, Prediction, int, Ballot | None, str]:
    """In a duel everyone predicts a question and learns a label; what that did is added to `happened`, whatever is raised later.

    Who serves may change while it is asked: so the version of the model that was asked comes with its prediction.
    """
    offset, _, time_s, x, y = event
    if known is not None:
        _, x, prediction, asked, ballot = known
    else:
        prediction, ballot, facts = duel.ask(offset, time_s, x or {})
        asked = duel.generation
        happened += facts
    if y is not None:
        happened += duel.step(offset, time_s, x or {}, y, ballot)
    return x, prediction, asked, ballot, f"{model}-{asked}"
