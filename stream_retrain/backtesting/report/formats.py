"""Numbers as a reader of the report likes them: rounded to what they say, with their unit."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = ["count", "lead_text", "loss_text", "moment", "number", "plural", "share"]

NONE = "–"


def number(value: float | None, digits: int = 4) -> str:
    """A figure with so many significant digits: `0.8410`, `12,430`, `3.1e-07`."""
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= digits + 8 or size < -4:
        return f"{value:.{max(0, digits - 1)}e}"
    return f"{value:,.{max(0, digits - 1 - size)}f}"


def share(value: float | None, digits: int = 2) -> str:
    """A share as a percentage: `11.09 %`."""
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def count(value: int) -> str:
    """A count: `45,312`."""
    return f"{value:,}"


def plural(value: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun: `1 drift`, `77 drifts`."""
    return f"{value:,} {noun if value == 1 else nouns or noun + 's'}"


def loss_text(value: float | None, task: str) -> str:
    """A loss in the unit of the task: a share of labels, or an error in the label's own unit."""
    return number(value) if task == "regression" else share(value)


def lead_text(value: float, task: str, unit: str = " points") -> str:
    """A difference of two losses: of shares in points, of errors in the label's own unit."""
    return number(value) if task == "regression" else f"{100 * value:.2f}{unit}"


def moment(time_s: float | None) -> str:
    """An event time, in UTC: `1996-05-07 00:00`; seconds where they are not 0. What no calendar has is shown as its seconds."""
    if time_s is None or not math.isfinite(time_s):
        return NONE
    try:
        at = datetime.fromtimestamp(time_s, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{time_s:,.0f} s"
    return at.strftime("%Y-%m-%d %H:%M:%S" if at.second else "%Y-%m-%d %H:%M")
