"""Declared values as Python that can be pasted into a pipeline: what differs from the defaults, and nothing else.

Names are those that a pipeline's module imports: `Watch` of stream_retrain, `drift.ADWIN` of River.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import Any, Final

from river import base, compose

from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline

__all__ = ["snippet"]

LINE_CHARACTERS_MAX: Final = 100


def snippet(before: Pipeline, after: Pipeline) -> str:
    """The fields of a pipeline that differ, as arguments of `Pipeline(...)`; "" where none does."""
    lines = []
    for field in dataclasses.fields(after):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name != "schema" and digest(old) != digest(new):
            lines.append(f"{field.name}={_code(new, '')},")
    return "\n".join(lines)


def _code(value: Any, indent: str) -> str:
    """The value as an expression; one that is long is broken into lines."""
    if isinstance(value, tuple | list):
        ends = "()" if isinstance(value, tuple) else "[]"
        return _joined(ends[0], [_code(each, f"{indent}    ") for each in value], ends[1], indent, comma=len(value) == 1 and ends == "()")
    if isinstance(value, dict):
        return _joined("{", [f"{key!r}: {_code(each, f'{indent}    ')}" for key, each in value.items()], "}", indent)
    if isinstance(value, compose.Pipeline):
        steps = [f"({name!r}, {_code(step, f'{indent}    ')})" for name, step in value.steps.items()]
        return _joined("compose.Pipeline(", steps, ")", indent)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init and _differs(field, value)}
        return _call(type(value).__name__, given, indent)
    if isinstance(value, base.Base):
        parameters = inspect.signature(type(value)).parameters
        given = {name: getattr(value, name) for name in parameters if hasattr(value, name)}
        return _call(_name(type(value)), {name: each for name, each in given.items() if not _same(parameters[name].default, each)}, indent)
    if isinstance(value, type):
        return _name(value)
    return repr(value)


def _call(name: str, given: dict[str, Any], indent: str) -> str:
    return _joined(f"{name}(", [f"{key}={_code(each, f'{indent}    ')}" for key, each in given.items()], ")", indent)


def _joined(begin: str, parts: list[str], end: str, indent: str, *, comma: bool = False) -> str:
    line = f"{begin}{', '.join(parts)}{',' if comma else ''}{end}"
    if len(indent) + len(line) <= LINE_CHARACTERS_MAX and "\n" not in line:
        return line
    return begin + "".join(f"\n{indent}    {part}," for part in parts) + f"\n{indent}{end}"


def _differs(field: dataclasses.Field[Any], value: Any) -> bool:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return not _same(default, getattr(value, field.name))


def _same(default: Any, value: Any) -> bool:
    if default is dataclasses.MISSING or default is inspect.Parameter.empty:
        return False
    return default is value or digest(default) == digest(value)


def _name(kind: type) -> str:
    """`drift.ADWIN` of a class of River, from the shortest package that has it; of any other its own name."""
    steps = kind.__module__.split(".")
    for end in range(2, len(steps) + 1) if steps[0] == "river" else ():
        if getattr(sys.modules.get(".".join(steps[:end])), kind.__name__, None) is kind:
            return ".".join([*steps[1:end], kind.__name__])
    return kind.__name__
