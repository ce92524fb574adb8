"""A schema for a topic without one, guessed from a sample: Python text to begin with, and to be looked at."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Final

from stream_retrain.backtesting.sample import Sample
from stream_retrain.core.schema import Task
from stream_retrain.lane.formats.profile import FieldProfile

__all__ = ["Proposal", "propose"]

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


@dataclasses.dataclass(frozen=True, slots=True)
class Proposal:
    """A schema as Python text, and what it is for."""

    schema: str
    """`schema = Schema(...)`."""
    names: frozenset[str]
    """What it needs of `stream_retrain`."""
    task: Task
    label: str | None
    """None: no field looks like one."""
    features: int
    """Those that are proposed, and no comment."""

    @property
    def text(self) -> str:
        """The schema, with its imports."""
        return f"from stream_retrain import {', '.join(sorted(self.names))}\n\n{self.schema}"


def propose(sample: Sample, task: Task | None = None) -> Proposal:
    """A schema for a sample, and for a task, which is guessed too unless it is given."""
    fields = {name: field for name, field in sample.profile.fields.items() if field.kinds and " or " not in field.kind}
    records = sample.profile.records
    label = next((name for name in fields if LABELS.search(name)), None)
    id_ = next((name for name, field in fields.items() if name != label and IDS.search(name) and _is_id(field, records)), None)
    time = next(((name, unit) for name, field in fields.items() if name not in (label, id_) and (unit := _unit(name, field))), None)
    roles = {label, id_, time[0] if time else None}
    used: set[str] = {"Schema"}
    task = task or (_task(fields[label]) if label is not None else "binary")
    features = list(_features(fields, roles, records, used))
    lines = [*_roles(id_, time), _label(fields, label, task), "    features={", *features, "    },", *_format(sample.format)]
    count = sum(not line.lstrip().startswith("#") for line in features)
    return Proposal("\n".join(["schema = Schema(", *lines, ")", ""]), frozenset(used), task, label, count)


def _roles(id_: str | None, time: tuple[str, str] | None) -> Iterator[str]:
    if id_ is not None:
        yield f"    id={id_!r},"
    if time is not None:
        yield f"    time={time[0]!r}," + (f" time_unit={time[1]!r}," if time[1] != "iso" else "")


def _task(label: FieldProfile) -> Task:
    """What labels of that kind are for."""
    few = label.kind in ("str", "int") and len(label.values) <= CLASSES_MAX
    return "binary" if len(label.values) == 2 else "multiclass" if label.kind == "str" or few else "regression"


def _label(fields: dict[str, FieldProfile], label: str | None, task: Task) -> str:
    if label is None:
        return '    label="label",  # no field looks like one: name it, or leave it if labels come later'
    field = fields[label]
    values = sorted(field.values, key=lambda value: (str(type(value)), value))
    plain = field.kind == "bool" or (field.kind == "int" and set(values) <= {0, 1})
    positive = "" if plain or task != "binary" or len(values) != 2 else f" positive={values[-1]!r},"
    shown = ", ".join(str(value) for value in values[:CLASSES_MAX])
    span = f"{field.low:g} to {field.high:g}" if task == "regression" and field.low <= field.high else shown
    seen = "".join(each if each.isprintable() else " " for each in span)
    return f"    label={label!r},{positive}  # task={task!r}: it is {seen}"


def _features(fields: dict[str, FieldProfile], roles: set[str | None], records: int, used: set[str]) -> Iterator[str]:
    taken = {role for role in roles if role is not None}
    for name, field in list(fields.items())[:FEATURES_MAX]:
        if any(f"{name}.".startswith(f"{other}.") or f"{other}.".startswith(f"{name}.") for other in taken):
            continue  # a role, or what is a value in one record and an object in another
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
        taken.add(name)
        yield f"        {comment}{name!r}: {kind},"


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
