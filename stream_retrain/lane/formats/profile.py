"""What the objects of a sample hold, path by path: how often, of which types, between which values."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["FieldProfile", "Profile"]

PATHS_MAX: Final = 2_000
"""Paths that are told of; a sample with more has features that are best declared `Sparse`."""
VALUES_MAX: Final = 1_000
"""Different values of a field that are counted."""
SHOWN: Final = 5
LIST_PLACES_MAX: Final = 3
DEPTH_MAX: Final = 10
TEXT_MAX: Final = 40
_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTHS: Final = frozenset({"true", "false", "yes", "no"})


@dataclasses.dataclass(slots=True)
class FieldProfile:
    """One path."""

    present: int = 0
    """Records that have it, null or not."""
    nulls: int = 0
    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    low: float = math.inf
    high: float = -math.inf
    values: collections.Counter[Any] = dataclasses.field(default_factory=collections.Counter)
    number_texts: int = 0
    truth_texts: int = 0
    time_texts: int = 0

    def take(self, value: Any) -> None:
        """One value of it."""
        self.present += 1
        if value is None:
            self.nulls += 1
            return
        kind = type(value).__name__
        self.kinds[kind] += 1
        if isinstance(value, str):
            self.number_texts += _NUMBER.fullmatch(value) is not None
            self.truth_texts += value.lower() in _TRUTHS
            self.time_texts += _is_time(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            self.low, self.high = min(self.low, value), max(self.high, value)
        if isinstance(value, str | int | float | bool) and (len(self.values) < VALUES_MAX or value in self.values):
            self.values[value if not isinstance(value, str) else value[:TEXT_MAX]] += 1

    @property
    def kind(self) -> str:
        """The types it has, the most frequent first; `int` where all are `int`, `float` where some are."""
        if set(self.kinds) == {"int", "float"}:
            return "float"
        return " or ".join(kind for kind, _ in self.kinds.most_common()) or "null"

    def described(self, records: int) -> dict[str, Any]:
        """For a table, or as JSON."""
        said: dict[str, Any] = {"type": self.kind, "present": self.present, "null": self.nulls, "missing": records - self.present}
        if self.low <= self.high:
            said |= {"min": self.low, "max": self.high}
        if self.values:
            said["distinct"] = len(self.values) if len(self.values) < VALUES_MAX else f"{VALUES_MAX} or more"
            said["values"] = [value for value, _ in self.values.most_common(SHOWN)]
        for name in ("number_texts", "truth_texts", "time_texts"):
            if count := getattr(self, name):
                said[name] = count
        return said


class Profile:
    """All paths of the objects that it was shown, in the order in which they came."""

    def __init__(self) -> None:
        self.records = 0
        self.fields: dict[str, FieldProfile] = {}
        self.left_out = False

    def take(self, given: Mapping[str, Any]) -> None:
        """One object."""
        self.records += 1
        for path, value in _leaves(given, "", DEPTH_MAX):
            field = self.fields.get(path)
            if field is None:
                if len(self.fields) >= PATHS_MAX:
                    self.left_out = True
                    continue
                field = self.fields[path] = FieldProfile()
            field.take(value)


def _leaves(given: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    """What stands in an object, and in the first places of its lists."""
    parts: Iterator[tuple[str, Any]]
    if isinstance(given, Mapping):
        parts = ((_written(str(name)), value) for name, value in given.items())
    else:
        parts = ((str(at), value) for at, value in enumerate(given[:LIST_PLACES_MAX]))
    for part, value in parts:
        path = f"{prefix}{part}"
        if isinstance(value, Mapping | list) and value and depth:
            yield from _leaves(value, f"{path}.", depth - 1)
        elif not isinstance(value, Mapping | list):
            yield path, value


def _written(name: str) -> str:
    """A name as a part of a path."""
    escaped = name.replace("\\", "\\\\").replace(".", "\\.")
    return f"\\{escaped}" if escaped.isascii() and escaped.isdigit() else escaped


def _is_time(text: str) -> bool:
    """Whether it is a time of RFC 3339 with a zone."""
    if not 20 <= len(text) <= TEXT_MAX:
        return False
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
