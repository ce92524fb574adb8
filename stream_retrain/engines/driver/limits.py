"""What a driver is allowed: by the settings of a worker, or by whoever replays."""

from __future__ import annotations

import dataclasses
from typing import Self

from stream_retrain.engines.driver.restore import Missing, Unfit
from stream_retrain.settings import Settings
from stream_retrain.stores.ports import ArtifactLimits

__all__ = ["DriverLimits", "VersionLimits"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VersionLimits:
    """Of how many versions a copy of the model is kept, and how long; what an alias names is kept beyond them."""

    models_max: int = 20
    """Of a shard; 0: no copies, and what is known of each version all the same."""
    age_max_s: float | None = None
    """Since it stopped serving; None: for ever."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriverLimits:
    """How rarely checkpoints may be written, how large a record may be, what to do where nothing can be restored, and what is kept."""

    checkpoint_events: int = 50_000
    checkpoint_interval_s: float = 60.0
    record_bytes_max: int = 1_000_000
    replay_debt_events_max: int = 500_000
    checkpoint_missing: Missing = "earliest"
    checkpoint_unfit: Unfit = "fail"
    artifacts: ArtifactLimits = dataclasses.field(default_factory=ArtifactLimits)
    keeps_window: bool = True
    versions: VersionLimits | None = None
    """None: nobody keeps versions, and nobody pays for it."""
    pauses: bool = False
    """Whether a lane takes no more where the pipeline's limit of refused records is reached: only a worker can be told to go on."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What a worker is allowed."""
        return cls(
            checkpoint_events=settings.checkpoint_events,
            checkpoint_interval_s=settings.checkpoint_interval_s,
            record_bytes_max=settings.record_bytes_max,
            replay_debt_events_max=settings.replay_debt_events_max,
            checkpoint_missing=settings.checkpoint_missing,
            checkpoint_unfit=settings.checkpoint_unfit,
            pauses=True,
            versions=VersionLimits(models_max=settings.versions_models_max, age_max_s=settings.versions_age_max_s),
            artifacts=ArtifactLimits(bytes_max=settings.artifacts_bytes_max, age_max_s=settings.artifacts_age_max_s),
        )
