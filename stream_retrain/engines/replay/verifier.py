"""What one shard puts out when nothing interrupts it, and the verdict on what it did put out: the judge of every exactly-once test.

The oracle is one lane that takes the log of a partition in one piece, in this process, without driver, broker or store; it is given
the inputs that the live one had. What is found is compared with that by `engines.replay.comparison`, and the last state besides. (A
live topic is judged by the same comparison as it is read: `engines.replay.verification`.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stream_retrain.codec.stamp import encoder_of
from stream_retrain.core.contest.inputs import Input, Promote, Trained
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.comparison import EXAMPLES_MAX, Comparison
from stream_retrain.engines.replay.recorded import Artifacts, Recorded, give
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.put import Found, Put, put_of
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.lane.warm import WarmModel

__all__ = ["Expected", "Verdict", "expected_of", "verify"]


class Expected(NamedTuple):
    """The outputs and the final state of one shard when nothing interrupts it."""

    outputs: list[Put]
    digest: str
    next_offset: int


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """Counts over one partition or several; `examples` has a few of what is wrong, in words."""

    events: int = 0
    lost: int = 0
    duplicated: int = 0
    different: int = 0
    state_equal: bool = True
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return not (self.lost or self.duplicated or self.different) and self.state_equal

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.events + other.events,
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.different + other.different,
            self.state_equal and other.state_equal,
            (self.examples + other.examples)[:EXAMPLES_MAX],
        )


class _Nobody:
    """Has no artifacts."""

    def trained(self, name: str) -> Trained:
        raise StateError(f"artifact {name} is asked for, and there is nobody to give it")

    def promoted(self, name: str) -> WarmModel:
        raise StateError(f"artifact {name} is asked for, and there is nobody to give it")


def expected_of(
    pipeline: Pipeline,
    partition: int,
    records: Sequence[Record],
    inputs: Sequence[tuple[int, Input | Recorded]] = (),
    *,
    artifacts: Artifacts = _Nobody(),  # noqa: B008 - it has no state
    record_bytes_max: int = 1_000_000,
) -> Expected:
    """The oracle: one lane over the whole log of a partition, in one piece but where an input cuts it.

    inputs
        What came to the shard from outside, as it came or as it is recorded, each with the offset of the record with which it takes
        effect, in order.
    """
    decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
    encoder = encoder_of(pipeline, record_bytes_max)
    lane = Lane(ShardId(pipeline.name, pipeline.source, partition), Shard(pipeline), decoder, encoder)
    outputs: list[Put] = []
    rest = Records.of(records)
    for offset, given in inputs:
        if step := lane.take(rest.before(offset)):
            outputs += map(put_of, step.outputs)
        if isinstance(given, Trained | Promote):
            lane.receive(given)
        else:
            give(lane, given, artifacts)
    if step := lane.take(rest):
        outputs += map(put_of, step.outputs)
    return Expected(sorted(outputs, key=lambda put: OUTPUT_KINDS.index(put.kind)), lane.digest(), lane.next_offset)


def verify(expected: Expected, found: Iterable[Put], state: tuple[int, str] | None, events: int) -> Verdict:
    """Judge one partition: its committed outputs, and the offset and digest of the state in its last checkpoint."""
    comparison = Comparison()
    comparison.take(expected.outputs, [Found.of(at, put) for at, put in enumerate(found)])
    tally, wrong = comparison.tally, [each.words for each in comparison.tally.examples]
    state_equal = state == (expected.next_offset, expected.digest)
    if not state_equal:
        wrong.append(f"the state is {state}, not {(expected.next_offset, expected.digest)}")
    return Verdict(events, tally.lost, tally.duplicated, tally.different, state_equal, tuple(wrong))
