"""What a log record carries beside its sentence: fields for whoever reads JSON, and by what its repeats are counted.

A line is given both by `LOG.info("...", extra=fields_with(partition=3, kind="drift.detected"))`. One without them is counted by its words.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Hashable
from typing import Any, Final

__all__ = ["ALWAYS", "count_of", "fields_of", "fields_with", "key_of"]

ALWAYS: Final = ("always",)
"""`counted_by` of a line that is said however often the like of it was said before."""
_FIELDS: Final = "stream_retrain_fields"
_KEY: Final = "stream_retrain_key"
_COUNT: Final = "stream_retrain_count"
_NUMBERS: Final = re.compile(r"\d+(?:[.,:]\d+)*")


def fields_with(counted_by: Hashable = None, count: int = 1, /, **fields: Any) -> dict[str, Any]:
    """The `extra` of a line: its fields, without those that are None.

    `counted_by` is what makes another line one of the same kind; `count` for how many it stands where it is not said but counted.
    """
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}, _KEY: counted_by, _COUNT: count}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields a record was given."""
    found: dict[str, Any] = getattr(record, _FIELDS, {})
    return found


def count_of(record: logging.LogRecord) -> int:
    """For how many lines a record stands."""
    found: int = getattr(record, _COUNT, 1)
    return found


def key_of(record: logging.LogRecord) -> Hashable | None:
    """What makes another record one of the same kind; None where it must be said in any case.

    Of one kind are lines that were given the same key. Those without one repeat where their words are the same; where they are no errors,
    their numbers may differ. What was asked for by `log_level = "debug"` is said.
    """
    key = getattr(record, _KEY, None)
    if record.levelno <= logging.DEBUG or key == ALWAYS:
        return None
    if key is not None:
        return record.name, key
    words = record.getMessage()
    return record.name, words if record.levelno >= logging.ERROR else _NUMBERS.sub("#", words)
