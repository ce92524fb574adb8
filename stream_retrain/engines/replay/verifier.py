"""What was put out beside what should have been: the judge of every exactly-once test, and of whoever audits a live topic.

The oracle is one lane that takes the log of a partition in one piece, in this process, without driver, broker or store; it is given
the inputs that the live one had. Against it stands what can be read as committed. An output is known by where it comes from: its kind,
the offset of the record that caused it, and its number among the decisions of that offset. Then, for each output,

- *lost*: the oracle has it, the topic has not;
- *duplicated*: the topic has it more than once;
- *different*: other bytes than the oracle's (an event learned twice, or never, changes all that follow), an output the oracle
  does not have, or outputs of a kind in another order than their inputs.

`CheckpointWatch` judges what was seen of a shard's checkpoints meanwhile: an offset that is never above the committed one, and never goes
back except after the store lost what it had.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from stream_retrain.core.contest.inputs import Input
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.json import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.step import OUTPUT_KINDS, Output, OutputKind

__all__ = ["CheckpointWatch", "Expected", "Put", "Verdict", "expected_of", "verify"]

EXAMPLES_MAX: Final = 5
_PREDICTION_OFFSET: Final = re.compile(rb'"offset":(\d+)')
_DECISION_ID: Final = re.compile(rb'"id":"(?:[^"\\]|\\.)*/\d+/(\d+)/(\d+)/[^"/]*"')


class Put(NamedTuple):
    """An output as it stands in its topic."""

    kind: OutputKind
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Expected(NamedTuple):
    """The outputs and the final state of one shard when nothing interrupts it."""

    outputs: list[Put]
    digest: str
    next_offset: int


class Identity(NamedTuple):
    """Where an output comes from."""

    kind: str
    offset: int
    number: int


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


def expected_of(
    pipeline: Pipeline,
    partition: int,
    records: Sequence[Record],
    inputs: Sequence[tuple[int, Input]] = (),
    *,
    record_bytes_max: int = 1_000_000,
) -> Expected:
    """The oracle: one lane over the whole log of a partition, in one piece but where a recorded input cuts it.

    inputs
        What came to the shard from outside, each with the offset of the record with which it takes effect, in order.
    """
    decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
    lane = Lane(ShardId(pipeline.name, pipeline.source, partition), Shard(pipeline), decoder)
    outputs: list[Output] = []
    rest = Records.of(records)
    for offset, given in inputs:
        if step := lane.take(rest.before(offset)):
            outputs += step.outputs
        lane.receive(given)
    if step := lane.take(rest):
        outputs += step.outputs
    by_kind = sorted(map(_put, outputs), key=lambda put: OUTPUT_KINDS.index(put.kind))
    return Expected(by_kind, lane.digest(), lane.next_offset)


def _put(output: Output) -> Put:
    kind, _, key, value, headers = output
    as_read = [(name, text if isinstance(text, bytes) else (text or "").encode()) for name, text in headers or ()]
    return Put(kind, key, value, tuple(as_read))


def verify(expected: Expected, found: Iterable[Put], state: tuple[int, str] | None, events: int) -> Verdict:
    """Judge one partition: its committed outputs, and the offset and digest of the state in its last checkpoint."""
    wanted = {_identity(put): put for put in expected.outputs}
    seen: collections.Counter[Identity] = collections.Counter()
    order: dict[str, list[int]] = collections.defaultdict(list)
    wrong: list[str] = []
    different = 0
    for put in found:
        name = _identity(put)
        seen[name] += 1
        if wanted.get(name) != put:
            different += 1
            wrong.append(f"{name} is {put.value!r}, not {wanted[name].value if name in wanted else None!r}")
        if seen[name] == 1:
            order[name.kind].append(name.offset)
    for kind, offsets in order.items():
        if offsets != sorted(offsets):
            different += 1
            wrong.append(f"{kind} are not in the order of their inputs")
    missing = [name for name in wanted if name not in seen]
    twice = [name for name, times in seen.items() if times > 1]
    wrong += [f"{name} is missing" for name in missing] + [f"{name} is there {seen[name]} times" for name in twice]
    state_equal = state == (expected.next_offset, expected.digest)
    if not state_equal:
        wrong.append(f"the state is {state}, not {(expected.next_offset, expected.digest)}")
    return Verdict(events, len(missing), sum(seen[name] - 1 for name in twice), different, state_equal, tuple(wrong[:EXAMPLES_MAX]))


def _identity(put: Put) -> Identity:
    value = put.value or b""
    if put.kind == "dead_letters":
        return Identity(put.kind, int(dict(put.headers).get("sr_offset", b"-1")), 0)
    found = (_PREDICTION_OFFSET if put.kind == "predictions" else _DECISION_ID).search(value)
    if found is None:
        return Identity(put.kind, -1, 0)
    return Identity(put.kind, int(found[1]), int(found[2]) if found.lastindex == 2 else 0)


class CheckpointWatch:
    """Takes checkpoint offsets as they are seen; `faults` says what must not be."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.seen = 0
        self._newest: dict[ShardId, int] = {}

    def saw(self, shard: ShardId, offset: int, committed: int | None) -> None:
        """A checkpoint at `offset` was there before `committed` was read."""
        self.seen += 1
        if committed is None or offset > committed:
            self.faults.append(f"{shard}: a checkpoint at {offset}, and {committed} is committed")
        if offset < self._newest.get(shard, 0):
            self.faults.append(f"{shard}: the checkpoint went back from {self._newest[shard]} to {offset}")
        self._newest[shard] = offset

    def forget(self, shards: Mapping[ShardId, object] | None = None) -> None:
        """The store was emptied: what comes next may begin anywhere."""
        for shard in list(self._newest if shards is None else shards):
            self._newest.pop(shard, None)
