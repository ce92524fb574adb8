"""What a lane made of a batch, as values: outputs, learned rows, facts and commands."""

from __future__ import annotations

import dataclasses
from typing import Final, Literal, TypeAlias

from stream_retrain.core.contest.commands import Command
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import Learned, Predicted

__all__ = ["DEAD_LETTERS", "DECISIONS", "OUTPUT_KINDS", "PREDICTIONS", "Output", "OutputKind", "Step"]

OutputKind: TypeAlias = Literal["predictions", "decisions", "dead_letters"]
PREDICTIONS: Final = "predictions"
DECISIONS: Final = "decisions"
DEAD_LETTERS: Final = "dead_letters"
OUTPUT_KINDS: Final[tuple[OutputKind, ...]] = (PREDICTIONS, DECISIONS, DEAD_LETTERS)

Output: TypeAlias = tuple[OutputKind, int, bytes | None, bytes | None, list[tuple[str, str | bytes | None]] | None]
"""A record to produce, in the partition of the record that caused it: kind of topic, partition, key, value, headers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What a batch did; `outputs` are those of offsets that are live, all else is of the whole batch."""

    records: int
    predicted: list[Predicted]
    learned: list[Learned]
    facts: list[ShardFact]
    """In order of offset."""
    outputs: list[Output]
    commands: list[Command]
    newest_time_s: float
    """Event time of the last event; -inf where no record was one."""
    replayed: bool
    """It began below the offset from which on the lane is live."""
    went_live: bool
    """The lane is live since this batch."""
    delays_s: list[float]
    """How long after its question each answer came, in event time."""
