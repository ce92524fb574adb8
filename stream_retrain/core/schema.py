"""What a record of the topic holds: which field is the id, the event time, the label, and which are features.

A schema only declares; `lane.formats` decode by it. Fields of a record that no part of the schema names are passed over.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from stream_retrain.core.fields import Field, Sparse
from stream_retrain.core.label import Label
from stream_retrain.core.path import is_plain, path_of
from stream_retrain.core.time_features import PREFIX
from stream_retrain.core.wire import Avro, JsonSchema, Schemas, Wire
from stream_retrain.facts.values import Record

__all__ = ["TASKS", "TIME_UNITS", "Schema", "Task"]

Task: TypeAlias = Literal["binary", "multiclass", "regression"]
TASKS: tuple[str, ...] = typing.get_args(Task)
TIME_UNITS: Final = ("iso", "s", "ms", "us", "ns")
FIRST_FIELDS: Final = 8
"""The fields that every release has known, which digests are made of; the others are in a digest where they say something."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The fields of a record. Where one stands is a path (`core.path`): "amount", "txn.amount", "items.0.price".

    features
        Name to type: `float`, `int`, `str` or `bool`; `float | None` (and so on) for one that may be null or absent, which
        is then left out of `x`, as River's sparse models expect (but see `keep_null`). A `float` takes an integer too. A `Field` in place
        of a type says more. The name is also the path, unless a `Field` has one. `Sparse(...)`: names that are not known beforehand.
    label
        The field of the label: `true`/`false` or 0/1 for binary tasks, a string or an integer for multiclass ones, a finite
        number for regression. Null or absent: the record is a question, and its answer comes later under the same id. A `Label` says more.
    positive
        The value that means true, for a binary task whose labels are texts or numbers; every other one of that type means false.
    id
        The field that names the event: any scalar, and the prediction has it as it came; None: the record's offset does. Delayed labels
        need one, and find their question by the text of it.
    time
        The field of the event time; None: the record's own timestamp. `time_unit` says how it is written: "iso" (RFC 3339
        with an offset), or "s", "ms", "us" or "ns" since the epoch.
    classes
        The labels a multiclass task can have; None: any. A record with another label is refused.
    keep_null
        Optional features that are null or absent stand in `x` as None, for a model that fills them itself. None: where the
        pipeline's model has one of River's imputers in it.
    example
        A record, or several, that the pipeline is tried with at load in place of made-up values: give it where a text or a
        number has a form of its own. It may have labels; ids and times are not read. For `decode` it may be bytes or a `Record`.
    unknown
        Fields that nothing names: "ignore" them or "refuse" the record.
    time_features, time_zone
        Features of the event time, such as ("hour", "weekday"), which stand in `x` as `time.hour` (`core.time_features`).
    format
        What the bytes are written in: "json", "msgpack", "cloudevents", or `Avro`, `Protobuf`, `JsonSchema` with a Schema Registry.
    decode
        A function at the top of a module, from a `Record` (value, key and headers in bytes, timestamp_ms) to the dict that the fields
        above are read from, or None to pass the record over. It must be a function of the record alone.
    """

    features: Mapping[str, Any] | Sparse
    label: str | Label
    id: str | None = None
    time: str | None = None
    time_unit: Literal["iso", "s", "ms", "us", "ns"] = "iso"
    classes: tuple[str | int, ...] | None = None
    keep_null: bool | None = None
    example: Mapping[str, Any] | bytes | Record | Sequence[Mapping[str, Any] | bytes | Record] = ()
    positive: Any = None
    unknown: Literal["ignore", "refuse"] = "ignore"
    time_features: Sequence[str] = ()
    time_zone: str = "UTC"
    format: Wire = "json"
    decode: Callable[[Record], Mapping[str, Any] | None] | None = None

    def __getstate__(self) -> list[Any]:
        """The first fields as they always were, so that a schema that uses no later one keeps its digest."""
        fields = dataclasses.fields(self)
        later = {field.name: value for field in fields[FIRST_FIELDS:] if (value := getattr(self, field.name)) != field.default}
        return [*(getattr(self, field.name) for field in fields[:FIRST_FIELDS]), *([later] if later else [])]

    def __setstate__(self, state: list[Any]) -> None:
        fields = dataclasses.fields(self)
        later = state[FIRST_FIELDS] if len(state) > FIRST_FIELDS else {}
        for field, value in zip(fields[:FIRST_FIELDS], state[:FIRST_FIELDS], strict=True):
            object.__setattr__(self, field.name, value)
        for field in fields[FIRST_FIELDS:]:
            object.__setattr__(self, field.name, later.get(field.name, field.default))

    @property
    def examples(self) -> tuple[Any, ...]:
        """The examples as they were given."""
        one = isinstance(self.example, Mapping | bytes | Record)
        return (self.example,) if one else tuple(self.example)

    def without_example(self) -> Schema:
        """The same schema for events and states: what it is tried with, or asks for other schemas, makes no difference to them."""
        return dataclasses.replace(self.with_schemas(None), example=())

    def with_schemas(self, schemas: Schemas | None) -> Schema:
        """The same with a registry attached to its format, if that needs one."""
        if not isinstance(self.format, Avro | JsonSchema):
            return self
        return dataclasses.replace(self, format=dataclasses.replace(self.format, schemas=schemas))

    @property
    def sparse(self) -> Sparse | None:
        """Where features are, if their names are not declared."""
        return self.features if isinstance(self.features, Sparse) else None

    @property
    def fields(self) -> dict[str, Field]:
        """The declared features, in declared order."""
        if isinstance(self.features, Sparse):
            return {}
        return {name: kind if isinstance(kind, Field) else Field(kind) for name, kind in self.features.items()}

    @property
    def label_field(self) -> Label:
        """The label, in full."""
        return self.label if isinstance(self.label, Label) else Label(self.label, positive=self.positive)

    @property
    def label_name(self) -> str:
        """The path of the label."""
        return self.label_field.path

    @property
    def time_names(self) -> tuple[str, ...]:
        """The names of the time features in `x`."""
        return tuple(PREFIX + name for name in self.time_features)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Every feature that is known by name, in the order of `x`."""
        return (*self.fields, *self.time_names)

    @property
    def required(self) -> tuple[str, ...]:
        """The features every question must have, in declared order."""
        return tuple(name for name, field in self.fields.items() if field.rule_missing(False) == "refuse")

    @property
    def has_optional(self) -> bool:
        """Whether a feature is declared `| None`."""
        return any(self.may_be_missing(name) for name in self.fields)

    def feature_type(self, name: str) -> type | None:
        """The plain type of a feature, without `| None`; None if there is no such feature."""
        if name in self.time_names:
            return int
        field = self.fields.get(name)
        return None if field is None else field.plain

    def may_be_missing(self, name: str) -> bool:
        """Whether an event can be without a feature."""
        field = self.fields.get(name)
        return field is not None and field.may_be_missing

    @property
    def is_flat(self) -> bool:
        """Whether every field stands in the record itself and is of a plain type, with nothing more to do."""
        if isinstance(self.features, Sparse) or any(isinstance(kind, Field) for kind in self.features.values()):
            return False
        more = self.time_features or self.unknown != "ignore" or not self.label_field.is_plain
        paths = [*self.features, self.label_name, self.id, self.time]
        return not more and all(is_plain(path) for path in paths if path is not None)

    @property
    def names_columns(self) -> bool:
        """Whether its paths begin with the fields of the record as it comes, and all of them are named."""
        return self.decode is None and self.format != "cloudevents"

    @property
    def columns(self) -> dict[str, str]:
        """The fields of the record itself that questions must have, each with what it is."""
        if not self.names_columns:
            return {}
        named = {self.id: "the id", self.time: "the event time", self.label_name: "the label"}
        fields = self.fields
        named |= {fields[name].path or name: "a feature" for name in self.required}
        if self.sparse is not None and self.sparse.path is not None:
            named[self.sparse.path] = "the features"
        return {str(path_of(path)[0]): what for path, what in named.items() if path is not None}
