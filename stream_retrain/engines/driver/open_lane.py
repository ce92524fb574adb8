"""A lane that is open in a driver: how far it is committed and saved, and what of it waits."""

from __future__ import annotations

import dataclasses

from stream_retrain.core.contest.commands import Command
from stream_retrain.engines.driver.window_feed import WindowFeed
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import Output, Step

__all__ = ["OpenLane"]


@dataclasses.dataclass(slots=True)
class OpenLane:
    """Everything of one partition that is not in the lane's own state; offsets are the next ones."""

    lane: Lane
    epoch: int
    feed: WindowFeed
    committed: int
    checkpointed: int
    checkpointed_at_s: float
    observed_at_s: float = float("-inf")
    outputs: list[Output] = dataclasses.field(default_factory=list)
    """Not committed yet."""
    commands: list[Command] = dataclasses.field(default_factory=list)
    """Not carried out yet."""
    learned: int = 0
    """Events since the last checkpoint."""

    @property
    def id(self) -> ShardId:
        """Its shard."""
        return self.lane.id

    @property
    def settled(self) -> bool:
        """Whether the state is that of a committed offset."""
        return self.lane.replaying or self.lane.next_offset == self.committed

    @property
    def uncommitted(self) -> bool:
        """Whether there is something to commit."""
        return not self.lane.replaying and self.lane.next_offset > self.committed

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
