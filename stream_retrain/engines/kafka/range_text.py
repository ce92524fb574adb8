"""A range of a topic as text: `kafka://TOPIC?from=...&to=...&partitions=0,2`.

`from` is the first that belongs to the range, `to` the first behind it. Each of them is

    2026-01-01T00:00Z, 2026-01-01T00:00+01:00    a time with its zone (ISO 8601), of the records' timestamps
    1767225600s, 1767225600000ms                 the same since the epoch
    offset:120                                   an offset, in every partition
    0:120,1:95                                   an offset in each partition that is named; the others are without bound

and without it the range begins with the first record that is there, or ends with the last one that is there when it is opened.
`partitions` are those that are read; all without it.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from stream_retrain.errors import SettingsError

__all__ = ["SCHEME", "AtOffset", "AtTime", "Bound", "RangeText", "parse_bounds", "parse_range"]

SCHEME: Final = "kafka://"
OPTIONS: Final = ("from", "to", "partitions")
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_EPOCH: Final = re.compile(r"([0-9]{1,14})(s|ms)")
_OFFSET: Final = re.compile(r"offset:([0-9]{1,18})")
_OFFSETS: Final = re.compile(r"[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18})*")
_NUMBERS: Final = re.compile(r"[0-9]{1,9}(,[0-9]{1,9})*")
FORMS: Final = "2026-01-01T00:00Z, 1767225600s, 1767225600000ms, offset:120 or 0:120,1:95"


class AtTime(NamedTuple):
    """A bound at the first record that is not older than this."""

    ms: int


class AtOffset(NamedTuple):
    """A bound at an offset: of every partition, or of each that is named; the others are without one."""

    every: int | None = None
    each: Mapping[int, int] = {}

    def of(self, partition: int) -> int | None:
        """The offset in a partition."""
        return self.each.get(partition, self.every)


Bound: TypeAlias = "AtTime | AtOffset | None"


class RangeText(NamedTuple):
    """What a text says."""

    topic: str
    start: Bound = None
    end: Bound = None
    partitions: tuple[int, ...] = ()
    """Those that are read; none: all."""


def parse_range(text: str) -> RangeText:
    """The range that a text says (see above). Raises `SettingsError` with every fault."""
    topic, _, query = text.removeprefix(SCHEME).partition("?")
    faults: list[str] = []
    if not _TOPIC.fullmatch(topic):
        faults.append(f"{topic!r} is not a topic name")
    given = _options(query, faults)
    start, end = _bound("from", given, faults), _bound("to", given, faults)
    numbers = given.get("partitions", "")
    if "partitions" in given and not _NUMBERS.fullmatch(numbers):
        faults.append(f"partitions={numbers}: use numbers with commas between")
        numbers = ""
    partitions = tuple(sorted({int(number) for number in numbers.split(",") if number}))
    if not faults and (fault := _order_fault(start, end)):
        faults.append(fault)
    if faults:
        raise SettingsError(f"{text}: {'; '.join(faults)}")
    return RangeText(topic, start, end, partitions)


def parse_bounds(start: str | None, end: str | None) -> tuple[Bound, Bound]:
    """The bounds that two texts say, as `from` and `to` of a range. Raises `SettingsError` with every fault."""
    faults: list[str] = []
    given = {name: text for name, text in (("from", start), ("to", end)) if text is not None}
    first, last = _bound("from", given, faults), _bound("to", given, faults)
    if not faults and (fault := _order_fault(first, last)):
        faults.append(fault)
    if faults:
        raise SettingsError("; ".join(faults))
    return first, last


def _options(query: str, faults: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            faults.append(f"there is no option {name!r}{f'; did you mean {near[0]}?' if near else ''}; there is {', '.join(OPTIONS)}")
        elif not equals or not value:
            faults.append(f"{name} has no value")
        elif name in given:
            faults.append(f"{name} is there twice")
        else:
            given[name] = unquote(value)  # which leaves the plus sign of a zone as it is
    return given


def _bound(name: str, given: dict[str, str], faults: list[str]) -> Bound:
    text = given.get(name)
    if text is None:
        return None
    if found := _EPOCH.fullmatch(text):
        return AtTime(int(found[1]) * (1000 if found[2] == "s" else 1))
    if found := _OFFSET.fullmatch(text):
        return AtOffset(int(found[1]))
    if _OFFSETS.fullmatch(text):
        pairs = [part.split(":") for part in text.split(",")]
        if len({int(partition) for partition, _ in pairs}) < len(pairs):
            faults.append(f"{name}={text}: a partition is there twice")
        return AtOffset(each={int(partition): int(offset) for partition, offset in pairs})
    if text.isdecimal():
        faults.append(f"{name}={text}: is that a time or an offset? write {text}s, {text}ms or offset:{text}")
        return None
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        faults.append(f"{name}={text}: use {FORMS}")
        return None
    if at.tzinfo is None:
        faults.append(f"{name}={text}: say the zone, as in {at.isoformat(timespec='minutes')}Z")
        return None
    return AtTime(math.ceil(at.timestamp() * 1000))


def _order_fault(start: Bound, end: Bound) -> str | None:
    match start, end:
        case AtTime(first), AtTime(last) if first >= last:
            return "from is after to" if first > last else "from and to are the same time, and to does not belong to the range"
        case AtOffset(), AtOffset():
            for partition in {None, *start.each, *end.each}:
                first_offset = start.every if partition is None else start.of(partition)
                last_offset = end.every if partition is None else end.of(partition)
                if first_offset is not None and last_offset is not None and first_offset >= last_offset:
                    where = "" if partition is None else f" in partition {partition}"
                    return f"from is not before to{where}, and to does not belong to the range"
    return None
