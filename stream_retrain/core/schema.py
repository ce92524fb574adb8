"""What a record of the topic holds: which field is the id, the event time, the label, and which are features.

A schema only declares; `lane.formats` decode by it. Fields of a record that no part of the schema names are passed over.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

__all__ = ["FEATURE_TYPES", "Schema", "Task"]

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
TASKS: tuple[str, ...] = typing.get_args(Task)
FEATURE_TYPES: tuple[type, ...] = (float, int, str, bool)
TIME_UNITS: tuple[str, ...] = ("iso", "s", "ms")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The fields of a record.

    features
        Name to type: `float`, `int`, `str` or `bool`; `float | None` (and so on) for one that may be null or absent, which
        is then left out of `x`, as River's sparse models expect (but see `keep_null`). A `float` takes an integer too.
    label
        The field of the label: `true`/`false` or 0/1 for binary tasks, a string or an integer for multiclass ones, a finite
        number for regression. Null or absent: the record is a question, and its answer comes later under the same id.
    id
        The field that names the event; None: the record's offset does. Delayed labels need one.
    time
        The field of the event time; None: the record's own timestamp. `time_unit` says how it is written: "iso" (RFC 3339
        with an offset), "s" or "ms" since the epoch.
    classes
        The labels a multiclass task can have; None: any. A record with another label is refused.
    keep_null
        Optional features that are null or absent stand in `x` as None, for a model that fills them itself. None: where the
        pipeline's model has one of River's imputers in it.
    example
        A record, or several, that the pipeline is tried with at load in place of made-up values: give it where a text or a
        number has a form of its own. It may have labels; ids and times are not read.
    """

    features: Mapping[str, Any]
    label: str
    id: str | None = None
    time: str | None = None
    time_unit: Literal["iso", "s", "ms"] = "iso"
    classes: tuple[str | int, ...] | None = None
    keep_null: bool | None = None
    example: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()

    @property
    def examples(self) -> tuple[Mapping[str, Any], ...]:
        """The example records."""
        return (self.example,) if isinstance(self.example, Mapping) else tuple(self.example)

    def without_example(self) -> Schema:
        """The same schema for events and states: what it is tried with makes no difference to them."""
        return dataclasses.replace(self, example=())

    @property
    def required(self) -> tuple[str, ...]:
        """The features every question must have, in declared order."""
        return tuple(name for name, kind in self.features.items() if not is_optional(kind))

    def feature_type(self, name: str) -> type | None:
        """The plain type of a feature, without `| None`; None if there is no such feature."""
        return plain_type(self.features.get(name))

    def faults(self, task: str) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        if not self.features:
            yield "schema: features is empty; name at least one"
        for name, kind in self.features.items():
            if plain_type(kind) is None:
                yield f"schema: feature {name!r} has type {kind!r}; use float, int, str or bool, or one of them | None"
        roles: list[tuple[str, str | None]] = [("label", self.label), ("id", self.id), ("time", self.time)]
        for role, field in roles:
            if field is not None and (not isinstance(field, str) or not field):
                yield f"schema: {role} must be the name of a field, not {field!r}"
            elif field is not None and field in self.features:
                yield f"schema: field {field!r} is both {role} and a feature; a model must not see its {role}"
        named = [field for _, field in roles if field is not None]
        if len(set(named)) != len(named):
            yield f"schema: label, id and time must be different fields, not {named}"
        if self.time_unit not in TIME_UNITS:
            yield f"schema: time_unit is {self.time_unit!r}; use one of {', '.join(TIME_UNITS)}"
        if self.classes is not None and task != "multiclass":
            yield f"schema: classes belong to a multiclass task, not to {task}"
        if self.classes is not None and len({type(label) for label in self.classes}) != 1:
            yield "schema: classes must be strings or integers, at least one, and not both kinds"
        if self.keep_null not in (None, True, False):
            yield f"schema: keep_null is {self.keep_null!r}; use True, False or None"
        yield from self._example_faults(task)

    def _example_faults(self, task: str) -> Iterator[str]:
        if isinstance(self.example, str) or not isinstance(self.example, Mapping | Sequence):
            yield f"schema: example must be a record or a list of records, not {self.example!r}"
            return
        several = len(self.examples) > 1
        for number, record in enumerate(self.examples):
            where = f"schema: example {number}" if several else "schema: example"
            if not isinstance(record, Mapping):
                yield f"{where} must be a record (a dict of fields), not {record!r}"
                continue
            for name, kind in self.features.items():
                if plain_type(kind) is not None and not _fits(record.get(name), kind):
                    yield f"{where}: feature {name!r} is {record.get(name)!r}, which is no {getattr(kind, '__name__', kind)}"
            label = record.get(self.label)
            if label is not None and not self._is_label(label, task):
                yield f"{where}: label {self.label!r} is {label!r}, which is no label of a {task} task of this schema"

    def _is_label(self, value: Any, task: str) -> bool:
        match task:
            case "binary":
                return value in (0, 1) and isinstance(value, bool | int)
            case "regression":
                return _fits(value, float)
            case _:
                return type(value) in (str, int) and (self.classes is None or value in self.classes)


def is_optional(kind: Any) -> bool:
    """Whether a declared type says `| None`."""
    return type(None) in typing.get_args(kind)


def plain_type(kind: Any) -> type | None:
    """`float` of `float` and of `float | None`; None for what no feature can be."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return plain_type(inner[0]) if len(inner) == 1 and is_optional(kind) else None
    return kind if kind in FEATURE_TYPES else None


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is one of a declared type, as the decoder would have it."""
    if value is None:
        return is_optional(kind)
    if plain_type(kind) is float:
        return type(value) in (float, int) and math.isfinite(value)
    return type(value) is plain_type(kind)
