"""A request: what somebody asks of a shard while it runs, through whatever door."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Final, Literal, TypeAlias

__all__ = ["BY_BYTES_MAX", "REASON_BYTES_MAX", "REQUEST_KINDS", "TOKEN", "Asked", "RequestKind", "due_in", "due_token", "fitted"]

RequestKind: TypeAlias = Literal["retrain", "reset", "promote", "rollback", "pause", "resume"]
REQUEST_KINDS: Final[tuple[RequestKind, ...]] = typing.get_args(RequestKind)
TOKEN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
REASON_BYTES_MAX: Final = 1_000
BY_BYTES_MAX: Final = 200
_DUE: Final = re.compile(r"cron:(\d{1,9}):(\d{1,15})")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it was asked; every door makes the same."""

    token: str
    """Names the request (`TOKEN`): a second one of the same token is the same request."""
    do: RequestKind = "retrain"
    reason: str = ""
    version: str = ""
    """Of a promotion: the id of a version, or the alias `challenger` or `previous`."""
    by: str = ""
    """Who asks and through which door: `cli:USER`, `http:ADDRESS`, `topic:KEY ID`, or `schedule`."""
    rule: int | None = None
    """The rule of the pipeline that asks; None: a person or a program does."""


def fitted(asked: Asked) -> Asked:
    """The request as it is kept: reason and asker cut to their limits, as UTF-8."""
    reason, by = _cut(asked.reason, REASON_BYTES_MAX), _cut(asked.by, BY_BYTES_MAX)
    return dataclasses.replace(asked, reason=reason, by=by)


def _cut(text: str, bytes_max: int) -> str:
    return text.encode("utf-8", "replace")[:bytes_max].decode("utf-8", "ignore")


def due_token(rule: int, due_s: int) -> str:
    """The token of what the schedule of a rule asks, due at a time in seconds since the epoch: every worker gives it the same."""
    return f"cron:{rule}:{due_s}"


def due_in(token: str) -> tuple[int, int] | None:
    """The rule and the time in such a token; None: it is of no schedule."""
    found = _DUE.fullmatch(token)
    return None if found is None else (int(found[1]), int(found[2]))
