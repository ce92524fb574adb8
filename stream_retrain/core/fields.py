"""How one feature stands in a record, and what becomes of a value that is missing, not finite, or none of those allowed.

A value is read in this order: text to number or boolean (`text`), `non_finite`, `allowed`, `minimum` and `maximum`. What the rules leave
out counts as missing from there on.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, TypeAlias

from stream_retrain.core.path import Path, path_of
from stream_retrain.errors import EventError
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Feature

__all__ = [
    "FEATURE_TYPES",
    "LEFT_OUT",
    "NAME_CHARS_MAX",
    "Field",
    "Rule",
    "Sparse",
    "is_optional",
    "number_of",
    "plain_type",
    "quoted",
    "truth_of",
]

FEATURE_TYPES: tuple[type, ...] = (float, int, str, bool)
NAME_CHARS_MAX: Final = 200
"""A feature's name is at most so long: it is kept with every row and in the model."""
INTEGER_MAX: Final = (1 << 63) - 1
VALUE_BYTES_MAX: Final = 200
Rule: TypeAlias = Literal["refuse", "leave_out", "null", "default"]
RULES: Final = typing.get_args(Rule)

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}(\.0{1,19})?")
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_TRUTHS: Final = {**dict.fromkeys(("true", "yes", "1"), True), **dict.fromkeys(("false", "no", "0"), False)}


class _LeftOut:
    """A feature that is not in `x`."""

    __slots__ = ()


LEFT_OUT: Final = _LeftOut()


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A feature that is more than a type.

    kind
        `float`, `int`, `str` or `bool`, or one of them `| None`.
    path
        Where it stands in the record (`core.path`); None: the feature's name is the path.
    text
        A number or boolean may stand there as text: "12.5", "-3", "true", "no". An empty text is null.
    default
        What takes the place of a missing value. None: nothing does.
    minimum, maximum, allowed
        The values it may have.
    missing
        What becomes of a feature that is null or absent: "refuse" the record, "leave_out" of `x`, "null" (None in `x`), "default".
        None: "default" where there is one, else "leave_out" for `| None`, else "refuse".
    non_finite, outside
        The same for NaN and infinity, and for a value that is not allowed; for the latter also "clip", to the nearest bound.
    unit
        What it is measured in: told by `check` and in dead letters.
    """

    kind: Any
    path: str | None = None
    _: dataclasses.KW_ONLY
    text: bool = False
    default: Feature | None = None
    minimum: float | None = None
    maximum: float | None = None
    allowed: tuple[Feature, ...] = ()
    missing: Rule | None = None
    non_finite: Rule = "refuse"
    outside: Rule | Literal["clip"] = "refuse"
    unit: str | None = None

    @property
    def plain(self) -> type | None:
        """The plain type, without `| None`."""
        return plain_type(self.kind)

    def rule_missing(self, keep_null: bool) -> Rule:
        """What becomes of it where it is missing."""
        if self.missing is not None:
            return self.missing
        if self.default is not None:
            return "default"
        return "refuse" if not is_optional(self.kind) else "null" if keep_null else "leave_out"

    @property
    def may_be_missing(self) -> bool:
        """Whether an event can be without it."""
        rules = [self.rule_missing(False), self.outside, *([self.non_finite] if self.plain is float else [])]
        return not {"leave_out", "null"}.isdisjoint(rules)

    def path_in(self, name: str) -> Path:
        """Where the feature of this name stands. Raises `ValueError`."""
        return path_of(name if self.path is None else self.path)

    def reader(self, place: str, keep_null: bool) -> Callable[[Any], Any] | None:
        """From a value of the record, which is not null, to that of the feature or `LEFT_OUT`; None where it is taken as it is.

        It raises `EventError`, which names the place.
        """
        checked = self.minimum is not None or self.maximum is not None or self.allowed
        if not (self.text or checked or (self.plain is float and self.non_finite != "refuse")):
            return None
        return functools.partial(self._read, place, keep_null)

    def _read(self, place: str, keep_null: bool, value: Any) -> Any:
        if self.text and isinstance(value, str):
            if not value:
                return self.instead(self.rule_missing(keep_null), place, "is an empty text")
            value = self._of_text(value, place)
        if self.plain is float and not math.isfinite(value):
            return self.instead(self.non_finite, place, f"{value} is not a finite number")
        if self.allowed and value not in self.allowed:
            return self.instead(self.outside, place, f"{quoted(value)} is not among the allowed values")
        if self.minimum is not None and value < self.minimum:
            return self._outside(place, value, "below the minimum", self.minimum)
        if self.maximum is not None and value > self.maximum:
            return self._outside(place, value, "above the maximum", self.maximum)
        return value

    def _outside(self, place: str, value: Any, how: str, bound: float) -> Any:
        if self.outside == "clip":
            return float(bound) if self.plain is float else math.ceil(bound) if bound == self.minimum else math.floor(bound)
        return self.instead(self.outside, place, f"{quoted(value)}{f' {self.unit}' if self.unit else ''} is {how} of {bound:g}")

    def _of_text(self, value: str, place: str) -> Any:
        if self.plain is bool:
            return truth_of(value, place)
        number = number_of(value, place, whole=self.plain is int)
        return number if self.plain is int else float(number)

    def instead(self, rule: str, place: str, why: str) -> Any:
        """What takes the place of a value that cannot be taken. Raises `EventError` where nothing does."""
        match rule:
            case "leave_out":
                return LEFT_OUT
            case "null":
                return None
            case "default":
                return float(self.default) if self.plain is float and self.default is not None else self.default
            case _:
                raise EventError("schema", why, place)

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as the ends of sentences that begin with the feature."""
        kind = self.plain
        if kind is None:
            yield f"has type {self.kind!r}; use float, int, str or bool, or one of them | None"
            return
        if self.path is not None and not isinstance(self.path, str):
            yield f'has the path {self.path!r}; write it as a text, such as "txn.amount"'
        if self.text and kind is str:
            yield "is a text already; leave text=True out"
        if self.default is not None and not _is(self.default, kind):
            yield f"has the default {self.default!r}, which is no {kind.__name__}"
        yield from self._bound_faults(kind)
        for name, rule in (("missing", self.missing), ("non_finite", self.non_finite), ("outside", self.outside)):
            if rule == "clip" and name == "outside" and kind in (float, int) and not self.allowed:
                continue
            if rule not in (*RULES, None):
                yield f"has {name}={rule!r}; use one of {', '.join(RULES)}"
            elif rule == "default" and self.default is None:
                yield f'has {name}="default" and no default'

    def _bound_faults(self, kind: type) -> Iterator[str]:
        bounds = [each for each in (self.minimum, self.maximum) if each is not None]
        if bounds and kind not in (float, int):
            yield f"has a minimum or maximum, and is a {kind.__name__}"
        elif not all(type(each) in (float, int) and math.isfinite(each) for each in bounds) or bounds != sorted(bounds):
            yield f"has the bounds {self.minimum!r} and {self.maximum!r}; use finite numbers, the smaller first"
        if not isinstance(self.allowed, tuple) or not all(_is(each, kind) for each in self.allowed):
            yield f"has allowed={self.allowed!r}; use a tuple of {kind.__name__} values"


@dataclasses.dataclass(frozen=True, slots=True)
class Sparse:
    """Features that are not known beforehand: an object of numbers in the record. Nulls in it are left out.

    path
        Where the object stands; None: the record itself, without what the schema names and what is no number.
    features_max
        A record with more of them is refused.
    name_chars_max
        So is one with a longer name.
    """

    path: str | None = None
    _: dataclasses.KW_ONLY
    features_max: int = 1_000
    name_chars_max: int = 100

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        for name, value, most in (("features_max", self.features_max, 100_000), ("name_chars_max", self.name_chars_max, NAME_CHARS_MAX)):
            if type(value) is not int or not 1 <= value <= most:
                yield f"schema: {name} of Sparse is {value!r}; use 1 to {most:,}"
        if self.path is not None:
            try:
                path_of(self.path)
            except (ValueError, TypeError) as error:
                yield f"schema: the path {self.path!r} of Sparse cannot be read: {error}"


def quoted(value: Any) -> str:
    """A value of a record in quotes, by which logs know what to leave out."""
    text = repr(value)
    return cut(text if isinstance(value, str) else f"'{text}'", VALUE_BYTES_MAX)


def is_optional(kind: Any) -> bool:
    """Whether a declared type says `| None`."""
    return type(None) in typing.get_args(kind)


def plain_type(kind: Any) -> type | None:
    """`float` of `float` and of `float | None`; None for what no feature can be."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return plain_type(inner[0]) if len(inner) == 1 and is_optional(kind) else None
    return kind if kind in FEATURE_TYPES else None


def number_of(text: str, place: str, *, whole: bool) -> float | int:
    """The number that a text writes, as a program would write it: no spaces, no commas. Raises `EventError`."""
    if whole and _WHOLE.fullmatch(text) and abs(number := int(text.partition(".")[0])) <= INTEGER_MAX:
        return number
    if not whole and (_NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text)):
        return float(text)
    raise EventError("schema", f"{quoted(text)} is no {'whole number' if whole else 'number'} in text", place)


def truth_of(text: str, place: str) -> bool:
    """The boolean that a text says: true or false, yes or no, 1 or 0. Raises `EventError`."""
    if (truth := _TRUTHS.get(text.lower())) is None:
        raise EventError("schema", f"{quoted(text)} says neither true nor false; use true, yes, 1, false, no or 0", place)
    return truth


def _is(value: Any, kind: type) -> bool:
    """Whether a declared value is of a declared type."""
    if kind is float:
        return type(value) in (float, int) and math.isfinite(value)
    return type(value) is kind
