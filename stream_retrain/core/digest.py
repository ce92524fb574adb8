"""A digest of any state, equal exactly when two states will behave alike.

Pickled bytes cannot serve: they record which equal objects happen to be one object, and that differs between a process that
never stopped and one that was restored. So the digest walks the values that pickling would save (`__reduce_ex__`) and feeds
each one's type and content to SHA-256:

- sets in the order of their members' digests, instance attributes by name (their order means nothing);
- dicts in insertion order (iteration order is behaviour);
- floats by their eight bytes, so that the last digit counts;
- an object that contains itself by how far up it was met;
- without the random generator of an object whose `seed` is None: it differs from process to process, so nothing that is a
  function of the log can depend on it (River keeps one in every Gaussian, for sampling only).

The walk keeps its own stack, because trees in a model can be deeper than Python's recursion limit.
"""

from __future__ import annotations

import collections
import hashlib
import struct
import types
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["digest"]

_LEAVE: Final = object()
_ATOMS: Final = (type(None), bool, int, str, bytes, float)
_BY_NAME: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


def digest(state: object) -> str:
    """The SHA-256 of `state`, in hexadecimal. Raises TypeError where a part of it could not be pickled either."""
    hashed = hashlib.sha256()
    path: dict[int, int] = {}
    stack: list[Any] = [state]
    alive: list[Any] = []
    while stack:
        value = stack.pop()
        if isinstance(value, tuple) and len(value) == 2 and value[0] is _LEAVE:
            del path[value[1]]
            continue
        if (content := _atom(value)) is not None:
            hashed.update(b"%d:" % len(content) + content)
            continue
        if id(value) in path:
            hashed.update(b"^%d" % (len(path) - path[id(value)]))
            continue
        path[id(value)] = len(path)
        alive.append(value)
        stack.append((_LEAVE, id(value)))
        parts = list(_parts(value))
        hashed.update(b"(%d" % len(parts))
        stack.extend(reversed(parts))
    return hashed.hexdigest()


def _atom(value: object) -> bytes | None:
    match value:
        case None | bool():
            return repr(value).encode()
        case float():
            return b"f" + struct.pack(">d", value)
        case int():
            return b"i" + str(int(value)).encode()
        case str():
            return b"s" + value.encode("utf-8", "surrogatepass")
        case bytes():
            return b"b" + value
        case types.UnionType() | types.GenericAlias():
            return b"u" + repr(value).encode()
        case _ if isinstance(value, _BY_NAME):
            return f"n{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', value.__name__)}".encode()
        case _:
            return None


def _parts(value: Any) -> Iterator[Any]:
    """What `value` consists of, its type's name first."""
    kind = type(value)
    yield f"{kind.__module__}.{kind.__qualname__}"
    if kind in (tuple, list):
        yield from value
    elif kind is dict:
        for key, held in value.items():
            yield key
            yield held
    elif kind in (set, frozenset):
        yield from sorted(digest(member) for member in value)
    elif kind is collections.deque:
        yield value.maxlen
        yield from value
    else:
        yield from _reduced(value)


def _reduced(value: Any) -> Iterator[Any]:
    """The parts of an object by the pickle protocol: constructor, arguments, state, list items, dict items."""
    reduced = value.__reduce_ex__(4)
    if isinstance(reduced, str):
        yield reduced
        return
    constructor, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    yield constructor
    yield arguments
    yield from _attributes(state)
    yield from items or ()
    for key, held in pairs or ():
        yield key
        yield held


def _attributes(state: Any) -> Iterator[Any]:
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    for part in parts:
        if isinstance(part, dict) and all(isinstance(name, str) for name in part):
            unseeded = "seed" in part and part["seed"] is None
            for name in sorted(part):
                if not (unseeded and _is_generator(part[name])):
                    yield name
                    yield part[name]
        else:
            yield part


def _is_generator(value: Any) -> bool:
    """Whether a value is a `random.Random`; by name, because nothing pure imports randomness."""
    kind = type(value)
    return (kind.__module__, kind.__qualname__) == ("random", "Random")
