"""Versions in memory, for tests: models by the id or the alias under which they are asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from stream_retrain.engines.driver.promotions import FoundVersion, Promotions, Versions
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId

__all__ = ["KnownVersions", "at_once"]


class KnownVersions:
    """`known` is asked for the model of a version of a shard, and its id; what it raises is raised."""

    def __init__(self, known: Callable[[ShardId, str], tuple[str, Any]], family: str = "") -> None:
        self._known = known
        self._family = family
        self.asked: list[tuple[ShardId, str]] = []

    @classmethod
    def of(cls, **models: Any) -> KnownVersions:
        """The same models for all shards; the name of a version with underscores for its hyphens."""
        by_id = {name.replace("_", "-").removeprefix("v"): model for name, model in models.items()}

        def known(shard: ShardId, wanted: str) -> tuple[str, Any]:
            if wanted not in by_id:
                raise StateError(f"{shard} has no version {wanted}")
            return wanted, by_id[wanted]

        return cls(known)

    def find(self, shard: ShardId, wanted: str) -> FoundVersion:
        """A copy that nobody else holds."""
        self.asked.append((shard, wanted))
        id_, model = self._known(shard, wanted)
        return FoundVersion(id_, pickle.loads(pickle.dumps(model)), self._family)


def at_once(versions: Versions | None) -> Promotions:
    """Promotions that are found in place, so that a test has no thread to wait for."""
    return Promotions(versions, lambda work: work())
