"""What a driver is allowed: by the settings of a worker, or by whoever replays."""

from __future__ import annotations

import dataclasses

from stream_retrain.engines.driver.restore import Missing, Unfit
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
