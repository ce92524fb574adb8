"""Settings of a pipeline by path, such as `watch[0].detector.delta`: found, and changed in a copy.

What has parts: a declared dataclass (its fields), a tuple or list (its elements), a River pipeline (its steps) and any other object of
River (the parameters of its constructor). Several changes are made at once, so that nothing is checked that is changed in part only.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from river import base, compose

from stream_retrain.core.pipeline import Pipeline

__all__ = ["Path", "changed", "fits", "path_of", "setting_at"]

Path: TypeAlias = tuple[str | int, ...]
"""The steps of a path: names and numbers."""
_STEP: Final = re.compile(r"(?:^|\.)([^\W\d]\w*)|\[(\d{1,9})\]")
_WORD: Final = re.compile(r"\w+")
_PLAIN: Final = {"bool", "int", "float", "str"}
_FIXED: Final = ("name", "task", "source", "schema")
"""What makes a pipeline another one, and not the same with other settings."""


def path_of(text: str) -> Path:
    """The steps of a path. Raises ValueError where it is not one."""
    steps: list[str | int] = []
    end = 0
    while end < len(text):
        match = _STEP.match(text, end)
        if match is None:
            raise ValueError(f"it is not a path such as watch[0].detector.delta: {text[end:]!r} cannot be read")
        steps.append(match[1] if match[1] is not None else int(match[2]))
        end = match.end()
    if not steps:
        raise ValueError("it is empty; write a path such as watch[0].detector.delta")
    return tuple(steps)


def setting_at(pipeline: Pipeline, path: Path) -> tuple[Any, str]:
    """The value at a path, and the type that it is declared with, in words, or "". Raises ValueError with what is there instead."""
    value: Any = pipeline
    declared = ""
    for number, step in enumerate(path):
        parts = _parts(value)
        where = _text(path[:number]) or "the pipeline"
        if not parts:
            raise ValueError(f"{where} is {_short(value)}, which has no settings of its own")
        if step not in parts:
            names = [str(name) if isinstance(name, str) else f"[{name}]" for name in parts]
            near = difflib.get_close_matches(str(step), names, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"{where} has no {step if isinstance(step, str) else f'[{step}]'}{hint}; there is {', '.join(names)}")
        declared, value = _declared(value, step), parts[step]
    return value, declared


def changed(value: Any, changes: Mapping[Path, Any]) -> Any:
    """A copy of a declared value with other settings. Raises what making it raises: `PipelineError`, or anything of River's."""
    if () in changes:
        new = changes[()]
        return tuple(new) if isinstance(value, tuple) and isinstance(new, list) else new
    below: dict[str | int, dict[Path, Any]] = {}
    for path, new in changes.items():
        below.setdefault(path[0], {})[path[1:]] = new
    if not below:
        return value
    parts = _parts(value)
    made: dict[Any, Any] = {step: changed(parts[step], each) for step, each in below.items()}
    if isinstance(value, tuple | list):
        return type(value)(made.get(number, each) for number, each in enumerate(value))
    if isinstance(value, compose.Pipeline):
        return compose.Pipeline(*((name, made.get(name, step.clone())) for name, step in value.steps.items()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **made)
    return value.clone(made)


def fits(new: Any, current: Any, declared: str) -> bool:
    """Whether a value is of the type of a setting. What is no number, text or list is for the pipeline to judge."""
    if isinstance(new, list | tuple):
        return isinstance(current, list | tuple)
    kind = type(new).__name__
    if kind not in _PLAIN:
        return True
    if isinstance(current, list | tuple) or (_parts(current) and current is not None):
        return False
    kinds = _PLAIN & set(_WORD.findall(declared))
    if not kinds and current is not None:
        kinds = {"int", "float"} if type(current) in (int, float) else {type(current).__name__}
    return not kinds or kind in kinds or (kind == "int" and "float" in kinds)


def _parts(value: Any) -> dict[str | int, Any]:
    if isinstance(value, tuple | list):
        return dict(enumerate(value))
    if isinstance(value, compose.Pipeline):
        return dict(value.steps)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fixed = _FIXED if isinstance(value, Pipeline) else ()
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init and field.name not in fixed}
    if isinstance(value, base.Base):
        return {name: getattr(value, name) for name in inspect.signature(type(value)).parameters if hasattr(value, name)}
    return {}


def _declared(owner: Any, step: str | int) -> str:
    """The type of a part, as its owner declares it."""
    if isinstance(step, int) or isinstance(owner, compose.Pipeline):
        return ""
    if dataclasses.is_dataclass(owner):
        kind: Any = next(field.type for field in dataclasses.fields(owner) if field.name == step)
    else:
        kind = inspect.signature(type(owner)).parameters[step].annotation
    if kind is inspect.Parameter.empty:
        return ""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _text(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _short(value: Any) -> str:
    return "not set" if value is None else repr(value) if isinstance(value, str | int | float) else f"of type {type(value).__name__}"
