"""The port of a format: from a record to the object that the fields of the schema are read from.

A format is a function of the record: what it needs beside it, such as the schema a record was written by, never changes once it is there.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from stream_retrain.facts.values import Record

__all__ = ["PASSED", "Format"]

PASSED: Final = object()
"""In place of an object: the record is passed over."""


class Format(Protocol):
    """Reads the records of one pipeline."""

    def object_of(self, record: Record) -> Any:
        """The object of a record that has a value, or `PASSED`.

        Raises `EventError` for what it cannot read, and `FormatUnavailableError` where it cannot tell now: the record is taken later.
        """
        ...
