"""A record of any schema, parsed: its id, time, label and features, by the paths and rules that were declared.

`ShapedRow` is for features that are declared, `WholeRow` for `Sparse` ones that stand in the record itself. A record of one object with
plain types has a quicker way, in `lane.formats.decoder`.

What came as an object and not as JSON may hold numbers that are not finite, which JSON cannot.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from stream_retrain.core.fields import LEFT_OUT, Field, Sparse
from stream_retrain.core.path import Path, found, path_of, text_of_path
from stream_retrain.core.schema import Schema
from stream_retrain.errors import EventError
from stream_retrain.facts.values import ID_CHARS_MAX, LABEL_CHARS_MAX, Features
from stream_retrain.lane.formats.event_time import time_type
from stream_retrain.lane.formats.shape import Shape

__all__ = ["ID_TYPE", "INTEGER", "Parts", "Row", "label_type", "leaf_type", "row_of", "sparse_type"]

INTEGER: Final = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
ID_TYPE: Final = Annotated[str, msgspec.Meta(max_length=ID_CHARS_MAX)] | int | float | bool
_SCALAR: Final = Annotated[str, msgspec.Meta(max_length=LABEL_CHARS_MAX)] | int | float | bool
_REFUSED: Final = object()


Parts = tuple[Any, Any, Any, Features | None]
"""Id, time, label and features; the time as it is written, None where the record's own timestamp counts. An answer has no features."""


class _Feature(NamedTuple):
    name: str
    place: str
    read: Callable[[Any], Any] | None
    absent: Any
    """What it is where it is missing; `_REFUSED` where the record is refused then."""
    text: bool


def row_of(schema: Schema, task: str, *, objects: bool) -> Row:
    """The rows of a schema. `objects`: they may hold what JSON cannot."""
    return WholeRow(schema, task) if schema.sparse is not None and schema.sparse.path is None else ShapedRow(schema, task, objects=objects)


def label_type(schema: Schema, task: str) -> Any:
    """What a label is in a record, for msgspec."""
    if not schema.label_field.is_plain:
        return _SCALAR
    match task:
        case "binary":
            return bool | Literal[0, 1]
        case "regression":
            return float
        case _:
            return Literal[schema.classes] if schema.classes else Annotated[str, msgspec.Meta(max_length=LABEL_CHARS_MAX)] | INTEGER


class ShapedRow:
    """Rows of declared features, or of a `Sparse` object somewhere in the record."""

    def __init__(self, schema: Schema, task: str, *, objects: bool) -> None:
        self._label = _label_reader(schema, task)
        self._asks_for_id = schema.id is not None
        leaves: dict[Path, tuple[Any, Any]] = {}
        roles = [(schema.id, ID_TYPE | None, None), (schema.time, time_type(schema) | msgspec.UnsetType, msgspec.UNSET)]
        roles.append((schema.label_name, label_type(schema, task) | None, None))
        for text, kind, absent in roles:
            if text is not None:
                leaves[path_of(text)] = (kind, absent)
        self._sparse = schema.sparse
        if self._sparse is not None:
            paths = [path_of(str(self._sparse.path))]
            leaves[paths[0]] = (sparse_type(self._sparse) | None, None)
        else:
            paths = [field.path_in(name) for name, field in schema.fields.items()]
            leaves |= {path: (leaf_type(field), None) for path, field in zip(paths, schema.fields.values(), strict=True)}
        shape = Shape(((path, *kind) for path, kind in leaves.items()), refuse_unknown=schema.unknown == "refuse")
        self.type, self._shape = shape.type, shape
        named = [path_of(text) for text, _, _ in (roles[2], roles[0], roles[1]) if text is not None]
        self._first = len(named)
        self._id_at, self._time_at = (1 if schema.id is not None else None), (len(named) - 1 if schema.time is not None else None)
        self._paths = [*named, *paths]
        self._get = shape.getter(self._paths)
        self._features = [] if self._sparse else _features(schema, paths, objects=objects)
        self._names = [each.name for each in self._features]
        self._as_they_are = not self._sparse and all(each.read is None and not each.text for each in self._features)
        self._place = text_of_path(paths[0]) if self._sparse else ""

    def parts(self, row: Any) -> Parts:
        """What a parsed record holds. Raises `EventError`."""
        try:
            got = self._get(row)
        except AttributeError:
            got = self._shape.reach(row, self._paths)
        y, values = got[0], got[self._first :]
        if y is not None:
            y = self._label(y)
        if self._as_they_are and None not in values:
            x: Features | None = dict(zip(self._names, values, strict=True))
        elif self._sparse is not None:
            x = self._sparse_features(values[0], answered=y is not None)
        else:
            x = self._read(values, answered=y is not None)
        time = None if self._time_at is None else got[self._time_at]
        return None if self._id_at is None else got[self._id_at], None if time is msgspec.UNSET else time, y, x

    def _read(self, values: tuple[Any, ...], *, answered: bool) -> Features | None:
        x: Features = {}
        missing: list[str] = []
        present = False
        for (name, place, read, absent, text), value in zip(self._features, values, strict=True):
            if value is None or (text and value == ""):
                value = absent
                if value is _REFUSED:
                    missing.append(name if name == place else f"{name} (at {place})")
                    continue
            else:
                present = True
                if read is not None:
                    value = read(value)
            if value is not LEFT_OUT:
                x[name] = value
        if answered and not present and self._asks_for_id:
            return None
        if missing:
            listed = ", ".join(map(repr, missing))
            first = next(each.place for each in self._features if missing[0] in (each.name, f"{each.name} (at {each.place})"))
            raise EventError("schema", f"required feature{'s' if len(missing) > 1 else ''} missing: {listed}", first)
        return x

    def _sparse_features(self, given: dict[str, float | None] | None, *, answered: bool) -> Features | None:
        if given is None:
            if answered and self._asks_for_id:
                return None
            raise EventError("schema", f"the features are missing: {self._place!r}", self._place)
        for value in given.values():
            if value is None or not math.isfinite(value):
                return _finite(given, self._place)
        return given  # type: ignore[return-value]


class WholeRow:
    """Rows whose features are all the numbers of the record that the schema does not name."""

    type: Any = dict[str, Any]

    def __init__(self, schema: Schema, task: str) -> None:
        assert schema.sparse is not None, "row_of looked at it"
        self._sparse, self._refuses = schema.sparse, schema.unknown == "refuse"
        self._asks_for_id = schema.id is not None
        self._label = _label_reader(schema, task)
        kinds = ((schema.id, ID_TYPE), (schema.time, time_type(schema)), (schema.label_name, label_type(schema, task)))
        self._roles = [(None if text is None else path_of(text), kind) for text, kind in kinds]
        self._named = {path[0] for path, _ in self._roles if path is not None}

    def parts(self, row: dict[str, Any]) -> Parts:
        """What a parsed record holds. Raises `EventError`."""
        id_, time, y = (self._role(row, path, kind) for path, kind in self._roles)
        if y is not None:
            y = self._label(y)
        x = self._numbers(row)
        return id_, time, y, None if y is not None and not x and self._asks_for_id else x

    def _role(self, row: dict[str, Any], path: Path | None, kind: Any) -> Any:
        value = None if path is None else found(row, path)
        if value is None:
            return None
        try:
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, ValueError, OverflowError) as error:
            raise EventError("schema", str(error), text_of_path(path or ())) from None

    def _numbers(self, row: dict[str, Any]) -> Features:
        x: dict[str, float | None] = {}
        for name, value in row.items():
            if name in self._named or value is None:
                continue
            if type(value) in (float, int):
                try:
                    x[name] = float(value)
                except OverflowError:
                    raise EventError("schema", "Number out of range", name) from None
                if len(name) > self._sparse.name_chars_max:
                    raise EventError(
                        "schema", f"a feature's name has more than name_chars_max = {self._sparse.name_chars_max} characters", name
                    )
            elif self._refuses:
                raise EventError("schema", f"an unknown field, which is a {type(value).__name__} and no number", name)
        if len(x) > self._sparse.features_max:
            raise EventError("schema", f"{len(x)} features are more than features_max = {self._sparse.features_max}")
        return _finite(x, "")


Row = ShapedRow | WholeRow


def _finite(given: dict[str, float | None], place: str) -> Features:
    """The numbers without nulls. Raises `EventError` where one is not finite."""
    for name, value in given.items():
        if value is not None and not math.isfinite(value):
            raise EventError("schema", f"{value} is not a finite number", f"{place}.{name}" if place else name)
    return {name: value for name, value in given.items() if value is not None}


def _features(schema: Schema, paths: list[Path], *, objects: bool) -> list[_Feature]:
    made, keep_null = [], bool(schema.keep_null)
    for (name, field), path in zip(schema.fields.items(), paths, strict=True):
        place, rule = text_of_path(path), field.rule_missing(keep_null)
        absent = _REFUSED if rule == "refuse" else field.instead(rule, place, "")
        read = field.reader(place, keep_null)
        if objects and field.plain is float and read is None:
            read = functools.partial(_finite_number, place)
        made.append(_Feature(name, place, read, absent, field.text))
    return made


def _label_reader(schema: Schema, task: str) -> Callable[[Any], Any]:
    label = schema.label_field
    if not label.is_plain:
        return label.reader(task, schema.classes, label.path)
    return bool if task == "binary" else functools.partial(_finite_number, label.path)


def _finite_number(place: str, value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise EventError("schema", f"{value} is not a finite number", place)
    return value


def leaf_type(field: Field, *, optional: bool = True) -> Any:
    """What a feature is in a record, for msgspec; it may be null, unless it is not `optional`."""
    kind: Any = INTEGER if field.plain is int else field.plain
    kind = kind | str if field.text else kind
    return kind | None if optional else kind


def sparse_type(sparse: Sparse) -> Any:
    """What an object of features is in a record, for msgspec."""
    name = Annotated[str, msgspec.Meta(max_length=sparse.name_chars_max)]
    return Annotated[dict[name, float | None], msgspec.Meta(max_length=sparse.features_max)]
