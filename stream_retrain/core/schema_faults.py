"""What is wrong with a declared schema, as sentences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stream_retrain.core.example import example_faults
from stream_retrain.core.fields import NAME_CHARS_MAX, Field, Sparse, plain_type
from stream_retrain.core.label import Label
from stream_retrain.core.path import Path, path_of, text_of_path
from stream_retrain.core.schema import TIME_UNITS, Schema
from stream_retrain.core.time_features import time_faults
from stream_retrain.core.wire import wire_faults
from stream_retrain.facts.values import Record

__all__ = ["schema_faults"]


def schema_faults(schema: Schema, task: str) -> Iterator[str]:
    """Every fault of the declaration; examples are looked at where there is no other."""
    declared = list(_declared_faults(schema, task))
    yield from declared
    if isinstance(schema.example, str) or not isinstance(schema.example, Mapping | Sequence | Record):
        yield f"schema: example must be a record or a list of records, not {schema.example!r}"
    elif not declared:
        yield from example_faults(schema, task)


def _declared_faults(schema: Schema, task: str) -> Iterator[str]:
    feature_faults = list(_feature_faults(schema))
    yield from feature_faults
    role_faults = list(_role_faults(schema))
    yield from role_faults
    if not feature_faults and not role_faults:
        yield from _label_faults(schema, task)
        yield from _path_faults(schema)
    if schema.time_unit not in TIME_UNITS:
        yield f"schema: time_unit is {schema.time_unit!r}; use one of {', '.join(TIME_UNITS)}"
    if schema.classes is not None and task != "multiclass":
        yield f"schema: classes belong to a multiclass task, not to {task}"
    if schema.classes is not None and len({type(label) for label in schema.classes}) != 1:
        yield "schema: classes must be strings or integers, at least one, and not both kinds"
    if schema.keep_null not in (None, True, False):
        yield f"schema: keep_null is {schema.keep_null!r}; use True, False or None"
    if schema.unknown not in ("ignore", "refuse"):
        yield f"schema: unknown is {schema.unknown!r}; use ignore or refuse"
    yield from time_faults(schema.time_features, schema.time_zone)
    yield from wire_faults(schema.format)
    if schema.decode is not None and schema.format != "json":
        yield f"schema: decode takes the bytes of a record itself; leave format={schema.format!r} out, or decode"


def _feature_faults(schema: Schema) -> Iterator[str]:
    if isinstance(schema.features, Sparse):
        yield from schema.features.faults()
        if schema.unknown == "refuse" and schema.features.path is not None:
            yield 'schema: unknown="refuse" with Sparse needs path=None: what is not known beforehand cannot be told from the unknown'
        return
    if not isinstance(schema.features, Mapping) or not schema.features:
        yield "schema: features is empty; name at least one"
        return
    for name, kind in schema.features.items():
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS_MAX:
            yield f"schema: a feature is named {name!r}; use a text of 1 to {NAME_CHARS_MAX} characters"
        elif isinstance(kind, Field):
            yield from (f"schema: feature {name!r} {fault}" for fault in kind.faults())
        elif plain_type(kind) is None:
            yield f"schema: feature {name!r} has type {kind!r}; use float, int, str or bool, or one of them | None"


def _role_faults(schema: Schema) -> Iterator[str]:
    roles: list[tuple[str, Any]] = [("label", schema.label_name), ("id", schema.id), ("time", schema.time)]
    plain = {name for name, kind in schema.fields.items() if kind.path is None}
    for role, field in roles:
        if field is not None and (not isinstance(field, str) or not field):
            yield f"schema: {role} must be the name of a field, not {field!r}"
        elif field is not None and field in plain:
            yield f"schema: field {field!r} is both {role} and a feature; a model must not see its {role}"
    named = [field for _, field in roles if field is not None]
    if len(set(named)) != len(named):
        yield f"schema: label, id and time must be different fields, not {named}"


def _label_faults(schema: Schema, task: str) -> Iterator[str]:
    if isinstance(schema.label, Label) and schema.positive is not None:
        yield "schema: positive stands beside a Label; put it into the Label"
        return
    yield from schema.label_field.faults(task, schema.classes)


def _path_faults(schema: Schema) -> Iterator[str]:
    """Paths that cannot be read, or cannot both be there."""
    paths: list[tuple[str, Path, Any]] = []
    given: list[tuple[str, str, Any]] = [("label", schema.label_name, "label")]
    given += [(role, path, role) for role, path in (("id", schema.id), ("time", schema.time)) if path is not None]
    given += [(f"feature {name!r}", field.path or name, (field.plain, field.text)) for name, field in schema.fields.items()]
    if schema.sparse is not None and schema.sparse.path is not None:
        given.append(("Sparse", schema.sparse.path, "sparse"))
    for what, text, kind in given:
        try:
            paths.append((what, path_of(text), kind))
        except ValueError as error:
            yield f"schema: the path {text!r} of {what} cannot be read: {error}"
    for (one, path, kind), (other, further, its) in itertools.combinations(paths, 2):
        if path == further and (isinstance(kind, str) or isinstance(its, str)):
            yield f"schema: field {text_of_path(path)!r} is both {one} and {other}; a model must not see its label, id or time"
        elif path == further and kind != its:
            yield f"schema: {one} and {other} read {text_of_path(path)!r} as different types"
        elif path != further and (path == further[: len(path)] or further == path[: len(further)]):
            yield f"schema: {one} and {other} stand at {text_of_path(path)!r} and {text_of_path(further)!r}: one is a part of the other"
        elif _kinds_differ(path, further):
            yield f"schema: {text_of_path(path)!r} and {text_of_path(further)!r} take the same value for a list and for an object"


def _kinds_differ(path: Path, further: Path) -> bool:
    """Whether two paths part at a list that is an object for the other."""
    parted = next(((one, other) for one, other in zip(path, further, strict=False) if one != other), None)
    return parted is not None and isinstance(parted[0], int) != isinstance(parted[1], int)
