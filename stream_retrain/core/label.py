"""How the label stands in a record: under which path, and in which words."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from stream_retrain.core.fields import number_of, quoted, truth_of
from stream_retrain.core.path import path_of
from stream_retrain.errors import EventError
from stream_retrain.facts.values import LABEL_CHARS_MAX

__all__ = ["Label", "is_label"]

REMEMBERED_MAX: Final = 1_000


@dataclasses.dataclass(frozen=True, slots=True)
class Label:
    """A label that is more than a field of its task's type. An empty text is null: the record is a question.

    path
        Where it stands (`core.path`).
    positive, negative
        Of a binary task: the value that means true, or a tuple of such values; and those that mean false. Without `negative` every other
        value of the same type does; with it the others are refused.
    aliases
        From values as they come to those that are meant, read before all else: `{"Y": "yes"}`.
    text
        A number or boolean may be written as text: "1", "12.5", "true", "no".
    """

    path: str
    _: dataclasses.KW_ONLY
    positive: Any = None
    negative: Any = None
    aliases: Mapping[Any, Any] = dataclasses.field(default_factory=dict)
    text: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is of its task's type as it stands."""
        return self.positive is None and self.negative is None and not self.aliases and not self.text

    def reader(self, task: str, classes: tuple[Any, ...] | None, place: str) -> Callable[[Any], Any]:
        """From a value of the record, which is a scalar, to the label, or None where it is none. It raises `EventError`."""
        aliases = {(type(key), key): value for key, value in self.aliases.items()}
        read = functools.partial(self._read, task, classes, place, aliases)
        return read if task == "regression" else _remembering(read)

    def _read(self, task: str, classes: tuple[Any, ...] | None, place: str, aliases: Mapping[Any, Any], value: Any) -> Any:
        value = aliases.get((type(value), value), value)
        if value is None or value == "":
            return None
        if self.positive is not None:
            return self._sign(value, place)
        if self.text and isinstance(value, str):
            value = _of_text(value, task, classes, place)
        if not is_label(value, task, classes):
            raise EventError("schema", f"{quoted(value)} is no label of a {task} task of this schema", place)
        return bool(value) if task == "binary" else float(value) if task == "regression" else value

    def _sign(self, value: Any, place: str) -> bool:
        positives, negatives = _values(self.positive), _values(self.negative)
        kinds = set(map(type, positives))
        if any(type(value) is type(each) and value == each for each in positives):
            return True
        if any(type(value) is type(each) and value == each for each in negatives) or (not negatives and type(value) in kinds):
            return False
        raise EventError("schema", f"{quoted(value)} is neither positive nor negative", place)

    def faults(self, task: str, classes: tuple[Any, ...] | None) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        try:
            path_of(self.path)
        except (ValueError, TypeError, AttributeError) as error:
            yield f"schema: the path {self.path!r} of the label cannot be read: {error}"
        signs = (*_values(self.positive), *_values(self.negative))
        if signs and task != "binary":
            yield f"schema: positive and negative belong to a binary task, not to {task}"
        elif self.negative is not None and self.positive is None:
            yield "schema: negative needs positive: name the label that means true too"
        elif any(type(each) not in (str, int, float, bool) for each in signs) or len({(type(each), each) for each in signs}) != len(signs):
            yield f"schema: positive and negative must be different texts or numbers, not {signs!r}"
        if not isinstance(self.aliases, Mapping):
            yield f"schema: aliases of the label must be a dict, not {self.aliases!r}"
            return
        for value in self.aliases.values():
            meant = value in signs if signs else is_label(value, task, classes)
            if value is not None and not meant:
                yield f"schema: an alias means {value!r}, which is no label of a {task} task of this schema"


def is_label(value: Any, task: str, classes: tuple[Any, ...] | None) -> bool:
    """Whether a value is a label of a task as it stands."""
    match task:
        case "binary":
            return type(value) in (bool, int) and value in (0, 1)
        case "regression":
            return type(value) in (float, int) and math.isfinite(value)
        case _:
            if classes is not None:
                return any(type(value) is type(each) and value == each for each in classes)
            return type(value) is int and abs(value) < 1 << 63 if isinstance(value, int) else _is_short(value)


def _remembering(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same, which looks at a label once: there are few."""
    known: dict[tuple[type, Any], Any] = {}

    def label(value: Any) -> Any:
        key = (type(value), value)
        try:
            return known[key]
        except KeyError:
            made = read(value)
        if len(known) < REMEMBERED_MAX:
            known[key] = made
        return made

    return label


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LABEL_CHARS_MAX


def _of_text(value: str, task: str, classes: tuple[Any, ...] | None, place: str) -> Any:
    match task:
        case "binary":
            return truth_of(value, place)
        case "regression":
            return number_of(value, place, whole=False)
        case _:
            return value if classes and isinstance(classes[0], str) else number_of(value, place, whole=True)


def _values(given: Any) -> tuple[Any, ...]:
    return () if given is None else given if isinstance(given, tuple) else (given,)
