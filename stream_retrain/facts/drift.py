"""What detectors said."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from stream_retrain.facts.telling import Counter, Level

__all__ = ["DetectorFailed", "DriftDetected", "WarningRaised"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected:
    """A detector said that its signal changed, in a direction it was asked to watch."""

    kind: ClassVar[str] = "drift.detected"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("drift_detected", ("detector", "signal"))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    signal: str
    detector: str
    direction: Literal["up", "down"]
    value: float | None
    """The signal's value at this event, in the signal's own unit; None for a category, and where an optional feature that is a number is
    missing more often than before (up) or less often (down)."""
    generation: int

    @property
    def sentence(self) -> str:
        if self.value is None and self.signal.startswith("feature:"):
            more = "more" if self.direction == "up" else "less"
            return f"{self.signal.removeprefix('feature:')} is missing {more} often than before"
        if self.signal == "missing":
            return f"{self.detector} detected that {'more' if self.direction == 'up' else 'fewer'} of the features are missing"
        return f"{self.detector} detected that {self.signal} went {self.direction}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WarningRaised:
    """A detector entered its warning zone: an early sign, which may pass."""

    kind: ClassVar[str] = "drift.warned"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("drift_warnings", ("detector", "signal"))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    signal: str
    detector: str
    generation: int

    @property
    def sentence(self) -> str:
        return f"{self.detector} on {self.signal} entered its warning zone"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DetectorFailed:
    """A detector raised on a value; it is replaced by a fresh one, and the event counts as learned."""

    kind: ClassVar[str] = "drift.detector_failed"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("detector_failures", ("detector", "signal"))
    level: ClassVar[Level] = "warning"

    offset: int
    time_s: float
    signal: str
    detector: str
    detail: str
    generation: int

    @property
    def sentence(self) -> str:
        return f"{self.detector} on {self.signal} raised {self.detail}; a fresh one takes its place"
