"""How the topic of requests is read: a fold over what the thread that reads it tells."""

from __future__ import annotations

from typing import Any, assert_never

from stream_retrain.facts.doors import DoorFact, RequestsRead, RequestTopicChanged

__all__ = ["RequestTopicStanding"]


class RequestTopicStanding:
    """Folds its facts; `snapshot` is None until there was one."""

    def __init__(self) -> None:
        self._standing: dict[str, Any] | None = None

    def __call__(self, fact: DoorFact) -> None:
        """Take one fact."""
        before = self._standing or {"state": "starting", "detail": "", "taken": 0, "refused": 0, "lag_records": None}
        match fact:
            case RequestTopicChanged():
                self._standing = before | {"state": fact.state, "detail": fact.detail}
            case RequestsRead():
                counted = {"taken": before["taken"] + fact.taken, "refused": before["refused"] + sum(fact.refused.values())}
                self._standing = before | counted | {"lag_records": fact.lag_records}
            case _:
                assert_never(fact)

    def snapshot(self) -> dict[str, Any] | None:
        """State, counts since the start, and lag."""
        return None if self._standing is None else dict(self._standing)
