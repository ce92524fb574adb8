"""What tests of shards and lanes look into: facts of one kind, parts of a snapshot, a shard restored from its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from river import linear_model

from stream_retrain import Pipeline, Shard
from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.state import dump_state
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.state import Saved
from stream_retrain.lane.outcome import Outcome

Kind = TypeVar("Kind")
Facts = tuple[list[Any], list[Any], list[Any]]


def of(kind: type[Kind], facts: Iterable[Any]) -> list[Kind]:
    """The facts of a kind."""
    return [fact for fact in facts if isinstance(fact, kind)]


def joined(outcomes: Iterable[Outcome]) -> Facts:
    """Predictions, rows and facts of several batches, as if they were one."""
    predicted, learned, facts = [], [], []
    for outcome in outcomes:
        predicted += outcome.predicted
        learned += outcome.learned
        facts += outcome.facts
    return predicted, learned, facts


def succession(shard: Shard) -> Saved:
    """Who serves and who wants to, as it is saved."""
    saved: Saved = shard.snapshot()["reactions"]["succession"]
    return saved


def contestants(shard: Shard) -> Sequence[tuple[str, Any, str]]:
    """Name, model and family of those in the duel."""
    return tuple(succession(shard)["duel"]["contestants"])


def wanted(shard: Shard) -> Train | None:
    """The training it waits for, as it would ask for it again after a restart."""
    asked = [command for command in shard.outstanding() if isinstance(command, Train)]
    assert len(asked) <= 1, "one training at a time"
    return asked[0] if asked else None


def restored(pipeline: Pipeline, shard: Shard) -> Shard:
    """The shard as another process would build it from its bytes."""
    return Shard(pipeline, open_payload(dump_state(shard.snapshot()), pipeline, "the state"))


class Refusing(linear_model.LogisticRegression):  # type: ignore[misc]
    """A model that refuses to learn where `c` is above 90, and to predict where it is below -90; else it is as any other."""

    def predict_proba_one(self, x: dict[Any, Any]) -> Any:
        if x["c"] < -90:
            raise ZeroDivisionError(f"c is {x['c']}")
        return super().predict_proba_one(x)

    def learn_one(self, x: dict[Any, Any], y: Any, w: float = 1.0) -> None:
        if x["c"] > 90:
            raise OverflowError(f"c is {x['c']}")
        super().learn_one(x, y, w)
