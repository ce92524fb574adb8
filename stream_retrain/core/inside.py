"""What a declared thing is made of: a model's steps, members and wrapped models, wherever it keeps them."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator, Mapping
from typing import Any, Final

from river import preprocessing, proba

from stream_retrain.models.implementation import computing, parts

__all__ = ["computing_in", "fills_nulls", "inside", "named", "unseeded"]

NAME_CHARACTERS_MAX: Final = 200
SEEDS: Final = ("seed", "random_state")
IMPUTERS: Final = (preprocessing.StatImputer, preprocessing.PreviousImputer)
_PLAIN: Final = (
    str,
    bytes,
    int,
    float,
    complex,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    proba.base.Distribution,
)


def inside(declared: Any) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The declared object and every object it holds, in attributes and containers; each once, with its attributes.

    Not River's distributions: their randomness serves sampling only, and nothing here samples.
    """
    stack, seen, alive = [declared], set[int](), []
    while stack:
        value = stack.pop()
        if value is None or isinstance(value, _PLAIN) or id(value) in seen:
            continue
        seen.add(id(value))
        alive.append(value)  # an attribute that is made when it is asked for must keep its identity
        attributes = _attributes(value)
        yield value, attributes
        stack += reversed([*attributes.values(), *_items(value)])


def unseeded(declared: Any) -> Iterator[str]:
    """The classes of the objects inside whose randomness has no seed."""
    for value, attributes in inside(declared):
        if any(name in attributes and attributes[name] is None for name in SEEDS):
            yield type(value).__name__


def fills_nulls(declared: Any) -> bool:
    """Whether there is an imputer inside."""
    return any(isinstance(value, IMPUTERS) for value, _ in inside(declared))


def computing_in(declared: Any) -> str:
    """Where the project's models inside compute: `compiled`, `Python`, or nothing if there is none."""
    return computing(value for value, _ in inside(declared))


def named(model: Any) -> str:
    """How a model writes itself, if that is short; else its class. Some of River's cannot be written."""
    try:
        text = str(model)
    except Exception:  # noqa: BLE001 - the model is foreign code
        text = ""
    return text if text and len(text) <= NAME_CHARACTERS_MAX and "\n" not in text else type(model).__name__


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", {})) | parts(value)
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                found.setdefault(name, getattr(value, name))
    return found


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, types.MethodType):
        yield value.__self__
