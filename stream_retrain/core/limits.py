"""The plain fields of a pipeline, held against what they may be: limits, what predictions hold, headers to carry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

__all__ = ["header_faults", "limit_faults", "output_faults"]

CARRIED_MAX: Final = 20


def header_faults(names: Any) -> Iterator[str]:
    """What is wrong with the headers that are to be carried."""
    if isinstance(names, str) or not isinstance(names, Sequence) or len(names) > CARRIED_MAX:
        yield f"carry_headers is {names!r}; use a tuple of at most {CARRIED_MAX} names of headers"
        return
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= 100 or name.startswith("sr_"):
            yield f"carry_headers: {name!r} is no name of a header to carry; use at most 100 characters, and none that begins with sr_"


def output_faults(pipeline: Any) -> Iterator[str]:
    """What is wrong with what predictions are to hold, and with what makes the first ones."""
    if (start := pipeline.start) is not None and not (isinstance(start, str) and start):
        yield f"start is {start!r}; use the path of a file, or import- and its digest, as text"
    if not isinstance(pipeline.probabilities, bool):
        yield f"probabilities is {pipeline.probabilities!r}; use True or False"
    elif pipeline.probabilities and pipeline.task == "regression":
        yield "probabilities: a regression task has no classes"
    if (threshold := pipeline.threshold) is not None:
        if pipeline.task != "binary":
            yield f"threshold: only a binary task has one, and this is a {pipeline.task} task"
        elif not (isinstance(threshold, int | float) and 0 < threshold < 1):
            yield f"threshold is {threshold!r}; use a probability above 0 and below 1"


def limit_faults(pipeline: Any) -> Iterator[str]:
    """What is wrong with the limits."""
    whole = (("window_rows_max", 0), ("pending_rows_max", 1), ("pending_bytes_max", 1), ("classes_max", 2), ("rejects_over_records", 1))
    for name, least in whole:
        value = getattr(pipeline, name)
        if not isinstance(value, int) or value < least:
            yield f"{name} is {value!r}; use a whole number of at least {least}"
    for name in ("window_age_max_s", "pending_age_max_s", "time_ahead_max_s"):
        value = getattr(pipeline, name)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            yield f"{name} is {value!r}; use seconds above 0, or None for no limit by age"
    if (share := pipeline.rejects_share_max) is not None and not (isinstance(share, int | float) and 0 < share <= 1):
        yield f"rejects_share_max is {share!r}; use a share above 0 and at most 1, or None for no limit"
