"""A lane that is open in a driver: how far it is committed and saved, and what of it waits."""

from __future__ import annotations

import dataclasses
from typing import Final

from stream_retrain.core.contest.commands import Cancel, Command, Keep, Stop, Train
from stream_retrain.engines.driver.parts import KeptParts
from stream_retrain.engines.driver.restore import RestoredShard
from stream_retrain.engines.driver.window_feed import WindowFeed
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import ShardHeld, Tell
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import Output, OutputKind, Step
from stream_retrain.stores.ports import Looked, Stores, WindowLimits

__all__ = ["OpenLane", "opened_as", "stub_of"]

STUB_TEXT_MAX: Final = 1_000
"""Bytes of the key and of each header of a stub."""


@dataclasses.dataclass(slots=True)
class OpenLane:
    """Everything of one partition that is not in the lane's own state; offsets are the next ones."""

    lane: Lane
    epoch: int
    feed: WindowFeed
    parts: KeptParts
    committed: int
    checkpointed: int
    checkpointed_at_s: float
    topic_id: str = ""
    observed_at_s: float = float("-inf")
    outputs: list[Output] = dataclasses.field(default_factory=list)
    """Not committed yet."""
    commands: list[Command] = dataclasses.field(default_factory=list)
    """Not carried out yet."""
    learned: int = 0
    """Events since the last checkpoint."""
    pickling_s: float = 0.0
    """What pickling its state took the last time."""

    @property
    def id(self) -> ShardId:
        """Its shard."""
        return self.lane.id

    @property
    def settled(self) -> bool:
        """Whether the state is that of a committed offset."""
        return self.lane.replaying or self.lane.next_offset == self.committed

    @property
    def position(self) -> int:
        """The offset to commit: in a replay that is where it ends, which is answered already."""
        return max(self.lane.next_offset, self.lane.live_from)

    @property
    def uncommitted(self) -> bool:
        """Whether there is something to commit; in a replay only where nothing that is committed counts."""
        return self.position > self.committed

    @property
    def replay_debt(self) -> int:
        """Records that would have to be learned again if this process died now."""
        return self.lane.next_offset - self.checkpointed

    def keep(self, step: Step) -> None:
        """Keep what a step leaves to be done: 1 outputs, until they are committed; 2 commands, until it is settled; 3 rows."""
        self.outputs += step.outputs
        self.commands += step.commands
        self.learned += len(step.learned)
        self.feed.add(step.learned)

    def pause(self, looked: Looked, tell: Tell) -> None:
        """Take nothing, or go on, as somebody asked."""
        lane = self.lane
        if (lane.held is None) != (looked.paused is None):
            lane.held = looked.paused
            tell(ShardHeld(shard=self.id, offset=lane.next_offset, asked=looked.paused))
        if lane.paused and lane.held is None and looked.resumed == lane.next_offset:
            lane.resume()

    def next_command(self) -> Train | Cancel | Stop | None:
        """What is to be carried out next, of what is no version to keep."""
        command = self.commands[0] if self.commands else None
        return None if isinstance(command, Keep) else command

    def shorten(self, kind: OutputKind | None, refused: Output | None) -> Output | None:
        """Replace the output that a topic refused for its size by its stub; what was replaced, None where nothing was.

        Where it is not known which one was refused, it is the largest of its kind: where that was not it, the next refusal finds it.
        """
        found = [output for output in self.outputs if output is refused] if refused is not None else []
        if not found:
            found = [output for output in self.outputs if kind in (None, output[0]) and output[3] is not None]
        if not found:
            return None
        largest = max(found, key=_size)
        at = next(place for place, output in enumerate(self.outputs) if output is largest)
        self.outputs[at] = stub_of(largest)
        return largest


def opened_as(restored: RestoredShard, lane: Lane, stores: Stores, window: WindowLimits | None, now_s: float) -> OpenLane:
    """The lane of a shard that was restored.

    Where a group begins is committed at once, also ahead of a replay: after a crash `start = "latest"` would begin elsewhere, and where
    offsets had expired somebody would have to tell it again to rebuild.
    """
    return OpenLane(
        lane=lane,
        epoch=restored.epoch,
        feed=WindowFeed(lane.id, restored.epoch, stores.window, window),
        parts=KeptParts(lane.id, restored.epoch, stores.parts, restored.parts, restored.needed),
        committed=restored.live_from - 1 if restored.begins else restored.live_from,
        checkpointed=restored.offset,
        checkpointed_at_s=now_s,
        commands=lane.outstanding(),
    )


def stub_of(output: Output) -> Output:
    """What goes out instead of an output that its topic does not take: no value, and of key and headers what is short."""
    kind, partition, key, value, headers = output
    short = [(name, text if text is None else text[:STUB_TEXT_MAX]) for name, text in headers or []]
    cut = [*short, ("sr_refused", b"MSG_SIZE_TOO_LARGE"), ("sr_refused_bytes", str(len(value or b"")).encode())]
    return kind, partition, key if len(key or b"") <= STUB_TEXT_MAX else None, None, cut


def _size(output: Output) -> int:
    return len(output[2] or b"") + len(output[3] or b"")
