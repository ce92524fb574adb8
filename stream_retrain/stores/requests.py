"""The port of requests: what people and programs ask of a shard while it runs.

1. Anybody asks; the request gets a number above all before it, and waits.
2. The shard's owner looks, and takes what waits into the shard's state, numbers included (`core.inputs`).
3. Once a checkpoint holds that, the owner drops them. A request it sees again, because it died between 2 and 3, has a number its
   state knows already.

Requests that nobody takes are gone after a week.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from stream_retrain.core.messages import ShardId

__all__ = ["EXPIRE_S", "Asked", "RequestStore"]

EXPIRE_S: Final = 7 * 86_400


class Asked(NamedTuple):
    """A request that waits."""

    number: int
    reason: str


class RequestStore(Protocol):
    """What waits for each shard, in the order it was asked."""

    def ask(self, shard: ShardId, reason: str) -> int:
        """Leave a request; its number."""
        ...

    def waiting(self, shard: ShardId) -> list[Asked]:
        """What nobody has dropped yet, oldest first."""
        ...

    def drop(self, shard: ShardId, through: int) -> None:
        """Forget the requests up to a number."""
        ...
