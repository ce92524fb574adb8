r"""Where a value stands in a record: a path of names, with dots between.

`txn.amount` is the field `amount` of the object `txn`; `items.0.price` that of the first element of the list `items`. A part that is a
whole number is a place in a list. A backslash takes the next character as it is: `a\.b` is one name with a dot, `\0` the name "0".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

__all__ = ["PLACES_MAX", "Path", "found", "is_plain", "path_of", "put", "text_of_path"]

Path: TypeAlias = "tuple[str | int, ...]"
PLACES_MAX: Final = 1_000
"""A place in a list is below this: the elements before it are read too."""
PARTS_MAX: Final = 20


def path_of(text: str) -> Path:
    """The path that a text says. Raises `ValueError`, which says what is wrong with it."""
    parts: list[str | int] = []
    part, literal, characters = "", False, iter(f"{text}.")
    for character in characters:
        if character == "\\":
            if (taken := next(characters, None)) is None:
                raise ValueError("it ends with a backslash")
            part, literal = part + taken, True
        elif character != ".":
            part += character
        else:
            parts.append(_part(part, literal))
            part, literal = "", False
    if part or literal:
        raise ValueError("it ends with a backslash")
    if len(parts) > PARTS_MAX:
        raise ValueError(f"it has more than {PARTS_MAX} parts")
    return (str(parts[0]), *parts[1:])  # a record is an object, so what it begins with is a name


def _part(part: str, literal: bool) -> str | int:
    if not part:
        raise ValueError("a part of it is empty")
    if literal or not (part.isascii() and part.isdigit()):
        return part
    if len(part) > len(str(PLACES_MAX)) or int(part) >= PLACES_MAX:
        raise ValueError(f"a place in a list is below {PLACES_MAX}; for a name of digits write \\{part}")
    return int(part)


def text_of_path(path: Path) -> str:
    """A path as faults and dead letters name it."""
    return ".".join(map(str, path))


def is_plain(text: str) -> bool:
    """Whether a path is the name of a field of the record itself, as it stands."""
    return "." not in text and "\\" not in text


def found(record: Any, path: Path) -> Any:
    """What stands there in a record; None where nothing does."""
    for part in path:
        if isinstance(part, str):
            record = record.get(part) if isinstance(record, Mapping) else None
        elif isinstance(record, Sequence) and not isinstance(record, str | bytes) and part < len(record):
            record = record[part]
        else:
            return None
    return record


def put(record: dict[str, Any], path: Path, value: Any) -> None:
    """Put a value there, in objects that are made where they are not there."""
    for part in path[:-1]:
        record = record.setdefault(str(part), {})
    record[str(path[-1])] = value
