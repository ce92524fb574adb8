"""What became of records and labels that moved nothing: refused ones, and labels without a question."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Final, Literal, TypeAlias

from stream_retrain.facts.telling import Counter, Level

__all__ = ["IntakePaused", "Passed", "RejectReason", "Rejected", "Unmatched", "UnmatchedReason"]

RejectReason: TypeAlias = Literal[
    "empty", "too_large", "decode", "schema", "duplicate", "model", "correction", "no_question", "signature", "request"
]
"""Why a record was refused: a closed set, so that it can be a metric's label.

- `empty`: no value (a tombstone)          - `too_large`: more bytes than `record_bytes_max`
- `decode`: not JSON                       - `schema`: a field is missing or does not fit
- `duplicate`: a question with its id waits already
- `model`: the model raised on it         - `correction`: an answer to a question that was answered before with another label
- `no_question`: a label of another topic waited too long for its question
- `signature`: a request of the topic of requests is not signed by who may ask
- `request`: it is too old, or of another pipeline, or asks what the pipeline cannot do
"""
UnmatchedReason: TypeAlias = Literal[
    "no_question",
    "duplicate",
    "correction",
    "late",
    "early_age",
    "early_rows",
    "early_bytes",
    "early_refused",
    "expired_age",
    "expired_rows",
    "expired_bytes",
]
"""Why an answer found no question, or a question no answer: a closed set too.

- `no_question`: none is known              - `duplicate`: the question was answered before, with the same label
- `correction`: with another label          - `late`: the question expired before
- `early_*`: it was kept for a question that did not come: for too long, or there was no place; or its label cannot be a class any more
- `expired_*`: a question waited too long, or there was no place
"""


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
    """An answer found no question to learn by, or a question expired before its answer: counted and told, learned by nothing."""

    kind: ClassVar[str] = "label.unmatched"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("labels_unmatched", ("reason",))
    level: ClassVar[Level] = "warning"

    offset: int
    id: str
    reason: UnmatchedReason

    @property
    def sentence(self) -> str:
        return _UNMATCHED[self.reason].format(id=self.id)


_UNMATCHED: Final[Mapping[UnmatchedReason, str]] = {
    "no_question": "the label of {id!r} has no waiting question",
    "duplicate": "the label of {id!r} came again: its question was answered before",
    "correction": "another label of {id!r} came: its question was answered before, and what was learned stays",
    "late": "the label of {id!r} came after its question had expired",
    "early_age": "the label of {id!r} was kept longer than early_age_max_s, and its question did not come",
    "early_rows": "the label of {id!r} was given up: more than early_rows_max labels waited for their questions",
    "early_bytes": "the label of {id!r} was given up: those that waited for their questions took more than early_bytes_max",
    "early_refused": "the label kept for {id!r} cannot be a class any more",
    "expired_age": "question {id!r} waited longer than pending_age_max_s",
    "expired_rows": "question {id!r} expired: more than pending_rows_max questions were waiting",
    "expired_bytes": "question {id!r} expired: the waiting questions took more than pending_bytes_max",
}
