"""How a fact is told: its kind, the counter it raises, how important it is to a person, and what it says.

Every class of the union declares these once, as class attributes and one property; outputs, metrics, log and status read them:

    kind        its name, as in the type of a CloudEvent: "duel.started"
    published   whether it goes to the decisions topic
    counted     the counter it raises
    level       "error" for what failed, "warning" for what an operator should see, "info" for what they may want to know, "debug" for
                what is only counted
    sentence    what happened, in words
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias

__all__ = ["MARK", "TEXT_BYTES_MAX", "Counter", "Level", "Told", "counted_labels", "cut", "described", "raised", "without_values"]

Level: TypeAlias = Literal["error", "warning", "info", "debug"]
TEXT_BYTES_MAX: Final = 2_000
"""A text of input or of foreign code, such as what a model raised, is told up to this many bytes."""
MARK: Final = "…"
_RAISED: Final = re.compile(r"\b(raised |first )([A-Za-z_]\w*): .*", re.DOTALL)
_VALUE: Final = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?<=enum value ).*|-?\b\d[\d.]*(?:e[+-]?\d+)?(?= s since the epoch)""", re.DOTALL
)


@dataclasses.dataclass(frozen=True, slots=True)
class Counter:
    """A counter by name, and the fields of the fact that are its labels; or one fixed value for its one label."""

    name: str
    fields: tuple[str, ...] = ()
    value: str | None = None


class Told(Protocol):
    """What every fact of a shard offers."""

    kind: ClassVar[str]
    published: ClassVar[bool]
    counted: ClassVar[Counter]
    level: ClassVar[Level]

    @property
    def offset(self) -> int:
        """The offset of the record at which it happened."""
        ...

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        ...


def counted_labels(fact: Told) -> tuple[str, ...]:
    """The values of the labels of a fact's counter."""
    counter = fact.counted
    if counter.value is not None:
        return (counter.value,)
    return tuple(str(getattr(fact, field)) for field in counter.fields)


def cut(text: str, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """A text of input or of foreign code as UTF-8 of at most so many bytes; one that is cut ends in a mark."""
    encoded = text[: bytes_max + 1].encode("utf-8", "replace")
    if len(encoded) <= bytes_max:
        return encoded.decode()
    return encoded[: bytes_max - len(MARK.encode())].decode("utf-8", "ignore") + MARK


def described(value: Any) -> str:
    """What a foreign value is, in few words; never raises."""
    try:
        return cut(f"{type(value).__name__} {value!r}", 200)
    except Exception:  # noqa: BLE001 - the value's own code makes its text
        return type(value).__name__


def raised(error: BaseException) -> str:
    """What foreign code raised, in words; never raises."""
    try:
        return cut(f"{type(error).__name__}: {error}")
    except Exception:  # noqa: BLE001 - the same
        return type(error).__name__


def without_values(text: str) -> str:
    """A text about a record or of foreign code, fit for a log: of an exception its class, and a mark in place of what may be a value.

    Whatever foreign code raises may repeat a value of the record; the whole text goes with the record, to the dead-letter topic.
    """
    return _VALUE.sub(MARK, _RAISED.sub(r"\1\2", text))
