"""The examples of a schema as events: read as the decoder would, by plain Python.

`decode` is tried here too: twice on each example, because it must be a function of the record.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from stream_retrain.core.fields import LEFT_OUT, Field, plain_type
from stream_retrain.core.label import is_label
from stream_retrain.core.path import found, path_of, text_of_path
from stream_retrain.core.schema import Schema
from stream_retrain.errors import EventError
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Features, Record

__all__ = ["example_faults", "example_label", "example_records", "features_of"]


def example_records(schema: Schema) -> list[Mapping[str, Any]]:
    """The examples as the objects that events are read from; without those that `decode` passes over."""
    if schema.decode is None:
        return list(schema.examples)
    return [made for each in schema.examples if (made := schema.decode(_record(each))) is not None]


def features_of(schema: Schema, record: Mapping[str, Any]) -> Features:
    """The features of an example as the decoder gives them to a model, without those of the time. Raises `EventError`."""
    if schema.sparse is not None:
        held = record if schema.sparse.path is None else found(record, path_of(schema.sparse.path))
        return {name: value for name, value in (held or {}).items() if type(value) in (float, int)}
    keep_null, x = bool(schema.keep_null), dict[str, Any]()
    for name, field in schema.fields.items():
        value = feature_of(name, field, record, keep_null)
        if value is not LEFT_OUT:
            x[name] = value
    return x


def feature_of(name: str, field: Field, record: Mapping[str, Any], keep_null: bool) -> Any:
    """One feature of an example. Raises `EventError`."""
    path = field.path_in(name)
    place, value = text_of_path(path), found(record, path)
    if value is None:
        return field.instead(field.rule_missing(keep_null), place, _no(value, field))
    written = field.text and isinstance(value, str)
    if not written and not _fits(value, field):
        raise EventError("schema", _no(value, field), place)
    read = field.reader(place, keep_null)
    return value if read is None else read(value)


def _no(value: Any, field: Field) -> str:
    return f"{value!r}, which is no {getattr(field.kind, '__name__', field.kind)}"


def _fits(value: Any, field: Field) -> bool:
    """Whether a value is one of a declared type, as the decoder would have it."""
    if field.plain is float:
        return type(value) in (float, int) and (math.isfinite(value) or field.non_finite != "refuse")
    return type(value) is field.plain


def example_label(schema: Schema, record: Mapping[str, Any], task: str) -> Any:
    """The label of an example, if it has one. Raises `EventError`."""
    label = schema.label_field
    value = found(record, path_of(label.path))
    if value is None:
        return None
    if not label.is_plain:
        return label.reader(task, schema.classes, label.path)(value)
    if not is_label(value, task, schema.classes):
        raise EventError("schema", f"{value!r}, which is no label of a {task} task of this schema", label.path)
    return bool(value) if task == "binary" else float(value) if task == "regression" else value


def example_faults(schema: Schema, task: str) -> Iterator[str]:
    """What is wrong with the examples, and with `decode`, as sentences. Of the rest of the schema there must be no fault."""
    hook_faults = list(_hook_faults(schema))
    yield from hook_faults
    if hook_faults:
        return
    records = example_records(schema)
    for number, record in enumerate(records):
        where = f"schema: example {number}" if len(records) > 1 else "schema: example"
        if not isinstance(record, Mapping):
            yield f"{where} must be a record (a dict of fields), not {record!r}"
            continue
        for name, field in schema.fields.items():
            if plain_type(field.kind) is None:
                continue
            try:
                feature_of(name, field, record, False)
            except EventError as error:
                is_ = " is" if ", which is no " in error.detail else ":"
                yield f"{where}: feature {name!r}{is_} {error.detail}"
        try:
            example_label(schema, record, task)
        except EventError as error:
            yield f"{where}: label {schema.label_name!r} is {error.detail}"


def _hook_faults(schema: Schema) -> Iterator[str]:
    decode: Any = schema.decode
    if decode is None:
        return
    name = getattr(decode, "__qualname__", "")
    if not callable(decode) or not name or "<" in name:
        yield f"schema: decode is {decode!r}; use a function at the top of a module, so that every process finds it"
        return
    if not schema.examples:
        yield f"schema: decode={name} is tried at load on examples; give one: Schema(example=b'...'), or a Record with key and headers"
    for number, each in enumerate(schema.examples):
        try:
            first, second = decode(_record(each)), decode(_record(each))
        except Exception as error:  # noqa: BLE001 - the function is foreign code: what it raises is what its author must read
            yield f"schema: decode={name} raised {raised(error)} for example {number}"
            continue
        if first is not None and not isinstance(first, Mapping):
            gave = type(first).__name__
            yield f"schema: decode={name} gave a {gave} for example {number}; it gives one dict a record, or None to pass it over"
        elif repr(first) != repr(second):
            yield f"schema: decode={name} gave {first!r} and then {second!r} for example {number}: it must depend on the record alone"


def _record(example: Any) -> Record:
    """An example as a record, for `decode`."""
    if isinstance(example, Record):
        return example
    value = example if isinstance(example, bytes) else json.dumps(example).encode()
    return Record(0, None, value, 0)
