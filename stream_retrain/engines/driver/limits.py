"""What a driver is allowed: by the settings of a worker, or by whoever replays."""

from __future__ import annotations

import dataclasses
from typing import Self

from stream_retrain.engines.driver.restore import Missing, Unfit
from stream_retrain.settings import Settings
from stream_retrain.stores.ports import ArtifactLimits

__all__ = ["DriverLimits"]


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
            artifacts=ArtifactLimits(bytes_max=settings.artifacts_bytes_max, age_max_s=settings.artifacts_age_max_s),
        )
