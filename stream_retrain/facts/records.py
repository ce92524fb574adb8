"""What became of records and labels that moved nothing: refused ones, and labels without a question."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, TypeAlias

from stream_retrain.facts.telling import Counter, Level

__all__ = ["IntakePaused", "Passed", "RejectReason", "Rejected", "Unmatched", "UnmatchedReason"]

RejectReason: TypeAlias = Literal["empty", "too_large", "decode", "schema", "duplicate", "model"]
"""Why a record was refused: a closed set, so that it can be a metric's label.

- `empty`: no value (a tombstone)          - `too_large`: more bytes than `record_bytes_max`
- `decode`: not JSON                       - `schema`: a field is missing or does not fit
- `duplicate`: a question with its id waits already
- `model`: the model raised on it
"""
UnmatchedReason: TypeAlias = Literal["no_question", "expired_age", "expired_rows", "expired_bytes"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that could not become an event, or that the model refused: it moved nothing, and goes to the dead-letter topic."""

    kind: ClassVar[str] = "record.rejected"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("dead_letters", ("reason",))
    level: ClassVar[Level] = "warning"

    offset: int
    reason: RejectReason
    detail: str
    field: str | None = None
    time_s: float | None = None
    """Event time of the record; None where it could not be read."""

    @property
    def sentence(self) -> str:
        field = f" field {self.field!r}:" if self.field else ""
        return f"sent to the dead-letter topic ({self.reason}):{field} {self.detail}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A record that the pipeline's own `decode` passed over: it is no event, and nothing is wrong with it."""

    kind: ClassVar[str] = "record.passed"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("records_passed")
    level: ClassVar[Level] = "debug"

    offset: int
    reason: Literal["decode"] = "decode"

    @property
    def sentence(self) -> str:
        return "passed over by decode"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IntakePaused:
    """More of the last records were refused than the pipeline allows: a worker takes no more of the partition until it is told to."""

    kind: ClassVar[str] = "intake.paused"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("intake_pauses")
    level: ClassVar[Level] = "error"

    offset: int
    time_s: float
    """The timestamp of the record: a refused one may have no event time."""
    rejected: int
    over_records: int
    reason: RejectReason
    """Why the last of them was refused."""

    @property
    def sentence(self) -> str:
        return (
            f"{self.rejected:,} of the last {self.over_records:,} records were refused, the last one for {self.reason!r}: no more are taken"
            " until `stream-retrain resume`, or a start with a changed pipeline"
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """An answer came whose question is not waiting, or a question expired before its answer: counted, learned by nothing."""

    kind: ClassVar[str] = "label.unmatched"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("labels_unmatched", ("reason",))
    level: ClassVar[Level] = "debug"

    offset: int
    id: str
    reason: UnmatchedReason

    @property
    def sentence(self) -> str:
        match self.reason:
            case "no_question":
                return f"the label of {self.id!r} has no waiting question"
            case "expired_age":
                return f"question {self.id!r} waited longer than pending_age_max_s"
            case "expired_rows":
                return f"question {self.id!r} expired: more than pending_rows_max questions were waiting"
            case "expired_bytes":
                return f"question {self.id!r} expired: the waiting questions took more than pending_bytes_max"
