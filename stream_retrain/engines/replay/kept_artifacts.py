"""The models that a shard was given from outside, as they were kept for a replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

from stream_retrain.codec.artifacts import open_artifact, open_promoted
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.warm import WarmModel

__all__ = ["KeptArtifacts"]

_Opened = TypeVar("_Opened")


@dataclasses.dataclass(frozen=True, slots=True)
class KeptArtifacts:
    """The artifacts of one shard (`engines.replay.recorded.Artifacts`); `load` gives the sealed bytes of a name, None where it has none."""

    load: Callable[[str], bytes | None]
    pipeline: Pipeline
    shard: ShardId
    keyring: Keyring

    def trained(self, name: str) -> Trained:
        """The challenger of that name. Raises `StateError`."""
        return self._opened(name, "of a challenger that joined here", open_artifact)

    def promoted(self, name: str) -> WarmModel:
        """The model of that name. Raises `StateError`."""
        return self._opened(name, "of a version that began to serve here", open_promoted)

    def _opened(self, name: str, what: str, opens: Callable[[bytes, str, Pipeline, ShardId, Keyring], _Opened]) -> _Opened:
        sealed = self.load(name)
        if sealed is None:
            raise StateError(f"the artifact {name} {what} is not kept (any more)")
        try:
            return opens(sealed, name, self.pipeline, self.shard, self.keyring)
        except StateError as error:
            raise StateError(f"the artifact {name} {what} cannot be used: {error}") from None
