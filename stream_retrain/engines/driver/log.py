"""A partition's log, as a shard that is restored meets it."""

from __future__ import annotations

import dataclasses

__all__ = ["Log"]


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """A partition's log as the engine finds it."""

    committed: int | None
    """The next offset to put something out for, as last committed; None: nothing was."""
    low: int
    """The first offset that is retained."""
    high: int
    """The offset the next record will get."""
    start: str = "earliest"
    """Where to begin when nothing was committed."""
    topic_id: str = ""
    """Kafka's id of the topic; empty: not known."""
    committed_topic_id: str = ""
    """The id it had when `committed` was committed; empty: not known."""
    answered: int = 0
    """Where nothing is committed: the next offset after the last one of which an output is found."""

    @property
    def made_anew(self) -> bool:
        """Whether what is committed is of another topic of the same name."""
        return self.is_other(self.committed_topic_id)

    def is_other(self, topic_id: str) -> bool:
        """Whether that id is of another topic."""
        return bool(topic_id and self.topic_id) and topic_id != self.topic_id

    @property
    def live_from(self) -> int:
        """The first offset whose outputs are not committed."""
        if self.committed is not None:
            return max(self.committed, self.low)
        return self.low if self.start == "earliest" else self.high
