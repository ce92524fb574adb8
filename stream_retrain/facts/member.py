"""What a model that adapts by itself did."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from stream_retrain.facts.telling import Counter, Level

__all__ = ["LeaderChanged", "LeaderWavered", "MemberRestarted"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemberRestarted:
    """A member of a model that adapts by itself began afresh."""

    kind: ClassVar[str] = "member.restarted"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("member_restarts", ("member",))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    member: str
    restarts: int
    """Of this member, this one included."""
    generation: int

    @property
    def sentence(self) -> str:
        return f"member {self.member} restarted; {self.restarts} restart{'s' if self.restarts != 1 else ''} so far"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaderChanged:
    """Another member of a model that adapts by itself has the largest weight in its predictions; told at most every thousand events."""

    kind: ClassVar[str] = "member.leads"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("member_lead_changes")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    before: str
    now: str
    weights: dict[str, float]
    generation: int

    @property
    def sentence(self) -> str:
        return f"member {self.now} leads in place of {self.before}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaderWavered:
    """The leading member changed again soon after that was told: counted, and told when things have calmed down."""

    kind: ClassVar[str] = "member.wavered"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("member_lead_changes")
    level: ClassVar[Level] = "debug"

    offset: int
    time_s: float
    now: str
    generation: int

    @property
    def sentence(self) -> str:
        return f"member {self.now} leads for now"
