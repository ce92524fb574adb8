"""The replay of one partition of a live run, compared as it goes with what its topics hold.

1. The decisions say how the outputs came about: sections and lineages (`engines.replay.sections`).
2. Each lineage that the range touches is replayed from its beginning, or from the newest stored checkpoint of it that is not beyond the
   range: silently up to the range, then compared to its end. What came from outside is given again at its offset
   (`engines.replay.recorded`).
3. Where no replay can come to the same state, that is said, and nothing is compared up to the next lineage: another pipeline, records
   that retention has deleted, a checkpoint or an artifact that is not there, an input that a restore had lost.
4. A difference says nothing where other software made the outputs, or where compaction may have deleted records: then that is said in
   its place.

All of it is read as it comes: memory holds some thousand records of each topic.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit, open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.stamp import stamp_of
from stream_retrain.codec.warm import open_warm
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.comparison import Comparison
from stream_retrain.engines.replay.kept_artifacts import KeptArtifacts
from stream_retrain.engines.replay.output_stream import OutputStream
from stream_retrain.engines.replay.past import KeptStates, PartitionPast, Wanted
from stream_retrain.engines.replay.recorded import Recorded, give, recorded_in
from stream_retrain.engines.replay.report import Impossible, PartitionReport
from stream_retrain.engines.replay.sections import Lineage, Section, lineages_of, sections_of
from stream_retrain.errors import StateError
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import Predicted, ShardId
from stream_retrain.lane.batch import Batch, Records
from stream_retrain.lane.encoder import encode
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.put import Found, Put, identity_of, put_of
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS, Output, OutputKind
from stream_retrain.lane.warm import state_with

__all__ = ["verify_partition"]


class _ImpossibleError(Exception):
    """From this offset on no comparison is possible."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def verify_partition(
    pipeline: Pipeline,
    id_: ShardId,
    past: PartitionPast,
    kept: KeptStates,
    keyring: Keyring,
    wanted: Wanted,
    *,
    record_bytes_max: int,
    progress: Callable[[int, int], None] = lambda _began, _offset: None,
) -> PartitionReport:
    """Replay and compare one partition. `progress` is told where the replay began, and the next offset, now and then.

    Raises `BrokerError`, `StoreError`.
    """
    return _PartitionVerifier(pipeline, id_, past, kept, keyring, wanted, record_bytes_max, progress).run()


@dataclasses.dataclass(slots=True)
class _Replay:
    """A lane on its way through a lineage, and what is found beside it."""

    lane: Lane
    lineage: Lineage
    began: int
    """The first offset that it learned."""
    first: int
    """The first offset that is compared."""
    streams: dict[OutputKind, OutputStream]
    since: dict[OutputKind, int]
    """By kind, where the comparison begins: later than `first` where the topic has lost its beginning."""


class _PartitionVerifier:
    """One partition, from its first section to its last."""

    def __init__(
        self,
        pipeline: Pipeline,
        id_: ShardId,
        past: PartitionPast,
        kept: KeptStates,
        keyring: Keyring,
        wanted: Wanted,
        record_bytes_max: int,
        progress: Callable[[int, int], None],
    ) -> None:
        self._pipeline, self._id, self._past, self._kept, self._keyring = pipeline, id_, past, kept, keyring
        self._wanted = wanted
        self._artifacts = KeptArtifacts(functools.partial(kept.artifact, id_), pipeline, id_, keyring)
        self._progress = progress
        self._decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
        self._ours = stamp_of(pipeline, record_bytes_max)
        self._headers = self._ours.headers
        """Of the decisions of the section that is replayed."""
        self._comparison = Comparison()
        self._impossible: list[Impossible] = []
        self._began: list[str] = []
        self._notes: list[str] = []
        self._records = self._inputs = 0

    def run(self) -> PartitionReport:
        """By the numbered steps of this module."""
        wanted = self._wanted
        with contextlib.closing(self._past.outputs(DECISIONS, 0)) as decisions:
            sections = sections_of(decisions, self._ours, wanted.to_offset)
        for lineage in lineages_of(sections):
            first, last = max(wanted.from_offset, lineage.since), min(wanted.to_offset, lineage.until or wanted.to_offset)
            if first < last:
                self._verify(lineage, first, last)
        return PartitionReport(
            partition=self._id.partition,
            from_offset=wanted.from_offset,
            to_offset=wanted.to_offset,
            began=tuple(self._began),
            records=self._records,
            inputs=self._inputs,
            tally=self._comparison.tally,
            impossible=tuple(self._impossible),
            notes=tuple(self._notes),
        )

    def _verify(self, lineage: Lineage, first: int, last: int) -> None:
        """Compare the outputs of a lineage from one offset to before another, as far as that is possible."""
        if lineage.stamp is None:
            self._notes.append(f"offsets {first:,} to {last:,}: no decision says by what software they were made")
        elif (other := lineage.stamp.other_pipeline(self._ours)) is not None:
            self._impossible.append(Impossible(first, last, other))
            return
        try:
            self._replay(self._lane(lineage, first), lineage, first, last)
        except _ImpossibleError as error:
            self._impossible.append(Impossible(max(first, error.offset), last, error.reason))
        except StateError as error:
            self._impossible.append(Impossible(first, last, str(error)))

    def _lane(self, lineage: Lineage, first: int) -> Lane:
        """A lane in a state of the lineage that is not beyond `first`."""
        why_not = self._no_beginning(lineage)
        if why_not is None and not self._wanted.from_checkpoint:
            shard = self._beginning(lineage, first)
            return self._lane_of(shard, lineage.begins_at or 0, first)
        reasons = [] if why_not is None else [why_not]
        for sealed in self._kept.checkpoints(self._id):
            try:
                offset, saved = self._opened(sealed, lineage, first)
            except StateError as error:
                reasons.append(str(error))
            else:
                self._began.append(f"with the checkpoint at offset {offset:,}")
                return self._lane_of(Shard(self._pipeline, saved), offset, first)
        if len(reasons) == (why_not is not None):
            reasons.append("no checkpoint is stored")
        raise _ImpossibleError(first, "; ".join(reasons))

    def _beginning(self, lineage: Lineage, first: int) -> Shard:
        """The shard as the lineage began: fresh, or with the model of a warm start."""
        if not lineage.model:
            self._began.append(f"with a fresh shard at offset {lineage.begins_at:,}")
            return Shard(self._pipeline)
        sealed = self._kept.artifact(self._id, lineage.model)
        if sealed is None:
            raise _ImpossibleError(first, f"the artifact {lineage.model} of the model it began with is not kept (any more)")
        warm = open_warm(sealed, lineage.model, self._pipeline, self._id, self._keyring)
        self._began.append(f"with the model of a warm start at offset {lineage.begins_at:,}")
        return Shard(self._pipeline, state_with(self._pipeline, warm))

    def _lane_of(self, shard: Shard, offset: int, first: int) -> Lane:
        return Lane(self._id, shard, self._decoder, self._encode, next_offset=offset, live_from=max(first, offset))

    def _encode(self, shard: ShardId, batch: Batch, predicted: list[Predicted], facts: list[ShardFact], live_from: int) -> list[Output]:
        return encode(shard, batch, predicted, facts, live_from, stamp=self._headers, carry=self._pipeline.carry_headers)

    def _no_beginning(self, lineage: Lineage) -> str | None:
        """Why the lineage cannot be replayed from its beginning."""
        begins_at, retained = lineage.begins_at, self._past.first
        if begins_at is None:
            return lineage.unknown
        if retained > begins_at:
            return f"retention has deleted the records of offsets {begins_at:,} to {retained:,}, which the shard had learned"
        if self._past.whole_from(DECISIONS) and lineage.sections[0].restored is None:
            return "retention has deleted the first decisions, which may have told of inputs and restores"
        return None

    def _opened(self, sealed: bytes, lineage: Lineage, first: int) -> tuple[int, Any]:
        """The offset and the saved state of a checkpoint that can be gone on from. Raises `StateError`."""
        header, payload = unseal(sealed, self._keyring, where="a checkpoint")
        at = f"the checkpoint at offset {header.offset:,}"
        ours = checkpoint_header(self._pipeline, self._id, header.offset, header.generation)
        if (misfit := header_misfit(header, ours)) is not None:
            raise StateError(f"{at} cannot be used: {misfit}")
        if header.pipeline_digest != ours.pipeline_digest:
            raise StateError(f"{at} is of another pipeline")
        if header.extra or not lineage.since <= header.offset <= first:
            raise StateError(f"{at} is not of what came before offset {first:,}")
        if header.offset < self._past.first:
            raise StateError(f"{at} needs records that retention has deleted, up to offset {self._past.first:,}")
        return header.offset, open_payload(payload, self._pipeline, at, self._kept.parts(self._id))

    def _replay(self, lane: Lane, lineage: Lineage, first: int, last: int) -> None:
        kinds: list[OutputKind] = [DECISIONS, *((PREDICTIONS, DEAD_LETTERS) if self._wanted.predictions else ())]
        with contextlib.ExitStack() as stack:
            found: dict[OutputKind, OutputStream] = {}
            for kind in kinds:
                since = lane.next_offset if kind == DECISIONS else first
                found[kind] = OutputStream(stack.enter_context(contextlib.closing(self._past.outputs(kind, since))))
            since_of = {kind: self._whole_from(kind, first, last) for kind in kinds}
            replay = _Replay(lane, lineage, lane.next_offset, first, found, since_of)
            self._enter(lineage.section_at(lane.next_offset))
            records = stack.enter_context(contextlib.closing(self._past.records(lane.next_offset, last)))
            while (chunk := self._chunk(records, lane)) is not None:
                self._records += len(chunk)
                self._step(replay, chunk, chunk.offsets[-1])
                self._progress(replay.began, lane.next_offset)
            self._step(replay, Records.of([]), last - 1, last=True)
            self._progress(replay.began, last)

    def _enter(self, section: Section) -> None:
        """From here on decisions have the stamp of this section."""
        self._headers = self._ours.headers if section.headers is None else section.headers

    def _chunk(self, records: Iterator[Records], lane: Lane) -> Records | None:
        try:
            return next(records, None)
        except StateError as error:
            raise _ImpossibleError(lane.next_offset, str(error)) from None

    def _whole_from(self, kind: OutputKind, first: int, last: int) -> int:
        """From where on the topic of a kind has everything."""
        whole_from = self._past.whole_from(kind)
        if whole_from <= first:
            return first
        reason = f"retention has deleted the {kind.replace('_', ' ')} of these offsets"
        self._impossible.append(Impossible(first, min(whole_from, last), reason))
        return whole_from

    def _step(self, replay: _Replay, chunk: Records, through: int, *, last: bool = False) -> None:
        """Learn a chunk, give what was recorded in it, and compare what it put out."""
        decisions = replay.streams[DECISIONS].through(through, last=last)
        taken: list[Output] = []
        try:
            self._take(replay, chunk, decisions, taken)
        except _ImpossibleError as error:  # what came before it is compared all the same
            self._compare_all(replay, taken, [each for each in decisions if each.identity.offset < error.offset], error.offset - 1)
            raise
        self._compare_all(replay, taken, decisions, through, last=last)

    def _compare_all(self, replay: _Replay, taken: list[Output], decisions: Sequence[Found], through: int, *, last: bool = False) -> None:
        outputs = list(map(put_of, taken))
        for kind, stream in replay.streams.items():
            found, since = list(decisions) if kind == DECISIONS else stream.through(through, last=last), replay.since[kind]
            expected = [put for put in outputs if put.kind == kind]
            if since > replay.first:
                expected = [put for put in expected if identity_of(put).offset >= since]
            unknown_counts = not replay.lane.replaying
            found = [each for each in found if each.identity.offset >= since or (each.identity.offset < 0 and unknown_counts)]
            self._compare(replay, expected, found)

    def _take(self, replay: _Replay, chunk: Records, decisions: Sequence[Found], outputs: list[Output]) -> None:
        """Teach the lane a chunk, with what was recorded in it; what it puts out is added to `outputs`."""
        lane = replay.lane
        for offset, recorded in recorded_in(decisions):
            if not len(chunk) or not max(lane.next_offset, replay.lineage.since) <= offset <= chunk.offsets[-1]:
                continue  # before the lineage began, or out of its place
            if step := lane.take(chunk.before(offset)):
                outputs += step.outputs
            if isinstance(recorded, ShardRestored):
                self._goes_on(replay, offset, recorded)
            else:
                self._inputs += self._given(lane, offset, recorded)
        if step := lane.take(chunk):
            outputs += step.outputs

    def _given(self, lane: Lane, offset: int, recorded: Recorded) -> bool:
        try:
            return give(lane, recorded, self._artifacts)
        except StateError as error:
            raise _ImpossibleError(offset, str(error)) from None

    def _goes_on(self, replay: _Replay, offset: int, restored: ShardRestored) -> None:
        """Another lane went on here: with all the inputs that this one has had, or no replay can follow it."""
        lane = replay.lane
        self._enter(replay.lineage.section_at(offset))
        waits_for = [each.training.number for each in lane.outstanding() if isinstance(each, Train)]
        had = list(lane.shard.requests_taken)
        if restored.training is not None and restored.training not in waits_for:
            lost = f"the challenger of training {restored.training}"
        elif had and restored.request != had[-1] and (restored.request in had or not restored.request):
            lost = "a request"
        else:
            if offset >= replay.first:
                lane.announcing = restored
            return
        raise _ImpossibleError(
            offset, f"the shard was restored from a state that lacks {lost}, which it had taken before: its store had lost what was saved"
        )

    def _compare(self, replay: _Replay, expected: list[Put], found: list[Found]) -> None:
        before = self._comparison.tally.copy()
        difference = self._comparison.take(expected, found)
        if difference is None or (excuse := self._excuse(replay, difference.identity.offset)) is None:
            return
        self._comparison.tally = before
        raise _ImpossibleError(difference.identity.offset, f"{excuse}; so a difference says nothing: {difference.words}")

    def _excuse(self, replay: _Replay, offset: int) -> str | None:
        """Why a difference says nothing: what made the outputs up to there, of which every one rests on those before."""
        for section in replay.lineage.between(replay.began, offset):
            if section.stamp is None and section.decisions:
                return "an earlier release made them, which did not say by what"
            if section.stamp is not None and (other := section.stamp.other_software(self._ours)) is not None:
                return other
        return self._past.holes or None
