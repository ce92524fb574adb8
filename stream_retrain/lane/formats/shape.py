"""The type of a record whose fields stand in objects and lists, for msgspec, and how its values are reached.

An object on the way is a struct with the fields that are declared, a list one that is read by place. What is not declared is passed over
while parsing, or refused. Every field is None where it is null or absent, but that of the time, which is told apart.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from stream_retrain.core.path import Path

__all__ = ["Shape"]

_Node = dict[str | int, Any]


class Shape:
    """The type of a record with these leaves: a path each, and the type of what stands there."""

    def __init__(self, leaves: Iterable[tuple[Path, Any, Any]], *, refuse_unknown: bool) -> None:
        """A leaf is path, type and what it is where it is absent."""
        tree: _Node = {}
        for path, kind, absent in leaves:
            node = tree
            for part in path[:-1]:
                node = node.setdefault(part, {})
            node[path[-1]] = (kind, absent)
        self._attributes: dict[Path, tuple[str, ...]] = {}
        self.type = self._struct(tree, (), (), refuse_unknown)

    def getter(self, paths: list[Path]) -> Callable[[Any], tuple[Any, ...]]:
        """From a parsed record to what stands at these paths, of which there are two or more.

        It raises `AttributeError` where an object on the way is null: `reach` goes on then.
        """
        return operator.attrgetter(*(".".join(self._attributes[path]) for path in paths))

    def reach(self, row: Any, paths: list[Path]) -> tuple[Any, ...]:
        """The same step by step; None behind a null."""
        return tuple(_reach(row, self._attributes[path]) for path in paths)

    def _struct(self, node: _Node, path: Path, attributes: tuple[str, ...], refuse_unknown: bool) -> Any:
        is_list = all(isinstance(part, int) for part in node)
        parts: list[str | int] = list(range(max(map(int, node)) + 1)) if is_list else list(node)
        fields: list[tuple[str, Any, Any]] = []
        for at, part in enumerate(parts):
            name, held = f"f{at}", node.get(part, _NOTHING)
            reached = (*attributes, name)
            if isinstance(held, dict):
                inner = self._struct(held, (*path, part), reached, refuse_unknown)
                fields.append((name, inner | None, inner()))
            else:
                fields.append((name, *held))
                self._attributes[*path, part] = reached
        renamed = {} if is_list else {f"f{at}": str(part) for at, part in enumerate(parts)}
        return msgspec.defstruct(
            "Object", fields, frozen=True, array_like=is_list, rename=renamed or None, forbid_unknown_fields=refuse_unknown
        )


def _reach(row: Any, attributes: tuple[str, ...]) -> Any:
    for attribute in attributes:
        row = getattr(row, attribute, None)
    return row


_NOTHING: Final = (Any, None)
