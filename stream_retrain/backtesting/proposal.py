"""A schema for a topic without one, guessed from a sample: Python text to begin with, and to be looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stream_retrain.backtesting.sample import Sample
from stream_retrain.lane.formats.profile import FieldProfile

__all__ = ["proposed"]

LABELS: Final = re.compile(
    r"(^|[._])(label|target|y|outcome|class|result|fraud|churned|churn|clicked|converted|returned|late)$|(^|[._])is_"
)
IDS: Final = re.compile(r"(^|[._])(id|uuid|guid|key)$|_id$|Id$")
TIMES: Final = re.compile(r"time|date|(^|[._])(ts|at|when)$|_at$|_ts$", re.IGNORECASE)
UNITS: Final = (("s", 1.0), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
YEAR_2000_S: Final = 946_684_800.0
YEAR_2100_S: Final = 4_102_444_800.0
TEXT_VALUES_MAX: Final = 200
"""A text with more different values is proposed as a comment: it may be a name, or words."""
FEATURES_MAX: Final = 200
CLASSES_MAX: Final = 20


def proposed(sample: Sample) -> str:
    """`schema = Schema(...)`, with its imports."""
    fields = {name: field for name, field in sample.profile.fields.items() if field.kinds and " or " not in field.kind}
    records = sample.profile.records
    label = next((name for name in fields if LABELS.search(name)), None)
    id_ = next((name for name, field in fields.items() if name != label and IDS.search(name) and _is_id(field, records)), None)
    time = next(((name, unit) for name, field in fields.items() if name not in (label, id_) and (unit := _unit(name, field))), None)
    roles = {label, id_, time[0] if time else None}
    used: set[str] = {"Schema"}
    lines = [*_roles(fields, label, id_, time), *_features(fields, roles, records, used), *_format(sample.format)]
    return "\n".join([f"from stream_retrain import {', '.join(sorted(used))}", "", "schema = Schema(", *lines, ")", ""])


def _roles(fields: dict[str, FieldProfile], label: str | None, id_: str | None, time: tuple[str, str] | None) -> Iterator[str]:
    if id_ is not None:
        yield f"    id={id_!r},"
    if time is not None:
        yield f"    time={time[0]!r}," + (f" time_unit={time[1]!r}," if time[1] != "iso" else "")
    if label is None:
        yield '    label="label",  # no field looks like one: name it, or leave it if labels come later'
        return
    values = sorted(map(str, fields[label].values))
    text = fields[label].kind == "str"
    positive = f" positive={values[-1]!r}," if text and len(values) == 2 else ""
    task = "binary" if len(values) == 2 else "multiclass" if text or len(values) <= CLASSES_MAX else "regression"
    yield f"    label={label!r},{positive}  # task={task!r}: it is {', '.join(values[:CLASSES_MAX])}"


def _features(fields: dict[str, FieldProfile], roles: set[str | None], records: int, used: set[str]) -> Iterator[str]:
    yield "    features={"
    for name, field in list(fields.items())[:FEATURES_MAX]:
        if name in roles:
            continue
        kind = "float" if field.kind in ("int", "float", "Decimal") else field.kind
        if kind not in ("float", "bool", "str"):
            continue
        optional = " | None" if field.nulls or field.present < records else ""
        texts = field.kinds["str"]
        if kind == "str" and texts in (field.number_texts, field.truth_texts):
            used.add("Field")
            kind, comment = f"Field({'float' if texts == field.number_texts else 'bool'}{optional}, text=True)", ""
        else:
            many = kind == "str" and len(field.values) > TEXT_VALUES_MAX
            kind, comment = f"{kind}{optional}", "# " if many else ""
        yield f"        {comment}{name!r}: {kind},"
    yield "    },"


def _format(wire: str) -> Iterator[str]:
    if wire == "registry":
        yield "    format=...,  # records of a Schema Registry: Avro(), Protobuf(Message) or JsonSchema()"
    elif wire != "json":
        yield f"    format={wire!r},"


def _is_id(field: FieldProfile, records: int) -> bool:
    """Whether it is there in every record, and not the same in all."""
    return field.present == records and not field.nulls and (len(field.values) > 1 or records == 1)


def _unit(name: str, field: FieldProfile) -> str | None:
    """The unit of a field that looks like a time."""
    if field.time_texts and field.time_texts == field.kinds["str"]:
        return "iso"
    if field.kind not in ("int", "float") or not TIMES.search(name):
        return None
    return next((unit for unit, a_second in UNITS if YEAR_2000_S <= field.low / a_second <= field.high / a_second <= YEAR_2100_S), None)
