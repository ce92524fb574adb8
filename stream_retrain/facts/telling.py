"""How a fact is told: its kind, the counter it raises, how important it is to a person, and what it says.

Every class of the union declares these once, as class attributes and one property; outputs, metrics, log and status read them:

    kind        its name, as in the type of a CloudEvent: "duel.started"
    published   whether it goes to the decisions topic
    counted     the counter it raises
    level       "warning" for what an operator should see, "info" for what they may want to know, "debug" for what is only counted
    sentence    what happened, in words
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal, Protocol, TypeAlias

__all__ = ["Counter", "Level", "Told", "counted_labels"]

Level: TypeAlias = Literal["warning", "info", "debug"]


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
