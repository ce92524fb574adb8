"""A lane: one partition's shard with its decoder and encoder. Records go in; outputs, learned rows, facts and commands come out.

Protocol of use, for a driver (the worker, a replay, the verifier and the demo differ only in what they do with the steps):

1. `outstanding()` once, after the lane was made from a saved state: commands it waits for.
2. `take(records)` for each batch, in order of offset; records below `next_offset` were taken before and are dropped. Below `live_from` the
   lane is silent: events are learned and nothing is put out, because it was before.
3. `reached(position)` where the log has no more records below a position though the lane has not come so far: transactions and
   compaction leave holes.
4. `receive(input)` between two batches; it takes effect with the next event. A checkpoint that holds it is written before anything later
   is committed (`core.contest.inputs`).
5. `snapshot()` between two batches: the state at `next_offset`.
6. `announcing`, where it was restored from what a replay must know of: the first event that is live tells it, before all else. It is no
   part of the state, so whoever saves a snapshot meanwhile keeps it beside it.

A lane has no clock and does no I/O: its state is a function of the pipeline, the records and the inputs.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import TypeAlias

from stream_retrain.core.contest.commands import Cancel, Command, Train
from stream_retrain.core.contest.inputs import Input
from stream_retrain.core.state import Saved
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.records import IntakePaused, Rejected
from stream_retrain.facts.request import Asked
from stream_retrain.facts.shard import ShardFact, ShardRestored
from stream_retrain.facts.values import Predicted, ShardId
from stream_retrain.lane.batch import Batch, Records
from stream_retrain.lane.encoder import encode
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.outcome import Outcome
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.step import Output, Step

__all__ = ["Encode", "Lane"]

Encode: TypeAlias = Callable[[ShardId, Batch, list[Predicted], list[ShardFact], int], list[Output]]
"""From a batch and what it did to its outputs, those of offsets below `live_from` left out (`lane.encoder.encode`)."""


class Lane:
    """The one mutable object of its partition."""

    def __init__(
        self,
        id_: ShardId,
        shard: Shard,
        decoder: EventDecoder,
        encoder: Encode = encode,
        *,
        next_offset: int = 0,
        live_from: int = 0,
        announcing: ShardRestored | None = None,
    ) -> None:
        self.id = id_
        self.shard = shard
        self.next_offset = next_offset
        self.live_from = live_from
        self.pauses = False
        """Whether it takes no more once the pipeline's limit of refused records is reached, as a worker's does."""
        self._resumed = False
        self.held: Asked | None = None
        """Who has had it paused: it takes nothing until that is None again."""
        self.announcing = announcing
        """What the first live event is to tell; its offset and time are that event's."""
        self._decoder = decoder
        self._encode = encoder

    @property
    def replaying(self) -> bool:
        """Whether it has not come to where it is live."""
        return self.next_offset < self.live_from

    @property
    def paused(self) -> bool:
        """Whether it takes nothing, because somebody has had it paused, or too many records were refused. A replay is never paused."""
        if self.held is not None:
            return not self.replaying
        return self.pauses and self.shard.intake.paused and not self.replaying and not self._resumed

    def resume(self) -> None:
        """Take the next record, however many were refused before it."""
        self._resumed = True

    def take(self, given: Records | Batch) -> Step | None:
        """Take the next records, or a batch that was decoded from them.

        None where all of them were taken before, or it is paused. Where it pauses among them, the step is of those before; whoever
        resumes it gives it the others again.
        """
        if self.paused:
            return None
        if isinstance(given, Records):
            records = given.since(self.next_offset)
            if not len(records):
                return None
            given = self._decoder.decode_batch(records)
        replayed = self.replaying
        given, outcome = self._take_all(given)
        facts = outcome.facts
        self.next_offset = given.records.offsets[-1] + 1
        return Step(
            records=len(given.records),
            predicted=outcome.predicted,
            learned=outcome.learned,
            facts=facts,
            outputs=[] if self.replaying else self._encode(self.id, given, outcome.predicted, facts, self.live_from),
            commands=outcome.commands,
            newest_time_s=given.events[-1].time_s if given.events else -math.inf,
            replayed=replayed,
            went_live=replayed and not self.replaying,
            delays_s=outcome.delays_s,
        )

    def _take_all(self, given: Batch) -> tuple[Batch, Outcome]:
        """The part of a batch that is taken, and what it did: all of it, unless the lane pauses in it.

        It can pause at the last record of each piece only.
        """
        intake, taken, done = self.shard.intake, 0, Outcome()
        careful = intake.limited and self.pauses and not self.replaying
        while taken < len(given):
            piece = given.rows(taken, min(len(given), taken + intake.room)) if careful else given
            self._resumed = False
            told = [] if self.announcing is None else self._announce(piece)
            outcome = self.shard.process(piece.events)
            outcome.facts = _in_order(piece, [*told, *outcome.facts] if told else outcome.facts)
            if intake.limited:
                refused = [fact for fact in outcome.facts if isinstance(fact, Rejected)]
                outcome.facts = _with(outcome.facts, intake.take(piece.records, refused))
            if len(piece) == len(given):
                return given, outcome
            done.extend(outcome)
            taken += len(piece)
            if intake.paused:
                break
        return given.rows(0, taken), done

    def reached(self, position: int) -> bool:
        """The log has no more records below `position`; whether the lane is live since."""
        if not self.replaying or position <= self.next_offset:
            return False
        self.next_offset = min(position, self.live_from)
        return not self.replaying

    def receive(self, given: Input) -> None:
        """Take an input; it takes effect with the next event."""
        self.shard.receive(given)

    def outstanding(self) -> list[Command]:
        """Commands it waits for."""
        return self.shard.outstanding()

    def release(self) -> list[Cancel]:
        """The lane goes elsewhere, and asks there again: what is to be undone here."""
        return [Cancel(training=command.training.number) for command in self.outstanding() if isinstance(command, Train)]

    def snapshot(self) -> Saved:
        """The state at `next_offset`; shares objects with the lane, so serialise it before the next `take`."""
        return self.shard.snapshot()

    def observe(self) -> Observation:
        """How its shard stands."""
        return self.shard.observe()

    def digest(self) -> str:
        """A digest of the state. Slow on big models."""
        return self.shard.digest()

    def _announce(self, batch: Batch) -> list[ShardFact]:
        """What it was restored from, if the batch begins where it is live and has an event: as it stands before that."""
        if self.announcing is None or self.replaying or not batch.events:
            return []
        told, self.announcing = self.announcing, None
        first, waits_for = batch.events[0], [each.training.number for each in self.outstanding() if isinstance(each, Train)]
        return [
            dataclasses.replace(
                told,
                offset=first.offset,
                time_s=first.time_s,
                training=waits_for[0] if waits_for else None,
                request=next(reversed(self.shard.requests_taken), ""),
                generation=self.shard.generation,
            )
        ]


def _with(facts: list[ShardFact], paused: list[IntakePaused]) -> list[ShardFact]:
    """The same and where the limit of refused records was reached, each after the last fact of its offset."""
    return sorted([*facts, *paused], key=operator.attrgetter("offset")) if paused else facts


def _in_order(batch: Batch, facts: list[ShardFact]) -> list[ShardFact]:
    """The facts of the decoder and of the shard in order of offset; no offset has both."""
    if not batch.rejected and not batch.passed:
        return facts
    return sorted([*batch.rejected, *batch.passed, *facts], key=operator.attrgetter("offset"))
