"""What was put out beside what should have been, as both come along: the judge of every exactly-once test, and of a live topic.

Both sides are given up to an offset of the source, again and again; nothing but a bounded memory of the last ones is kept. For each output
(`lane.put` says how it is known):

- *lost*: it is expected, and not there;
- *duplicated*: it is there more than once;
- *different*: it has other bytes than expected, nobody expects it, or it stands in another order than its inputs.

A stub counts as the output in whose place it went out, if that has the size that the stub names.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from stream_retrain.lane.put import Found, Identity, Put, identity_of, refused_bytes
from stream_retrain.lane.step import OUTPUT_KINDS, OutputKind

__all__ = ["Comparison", "Difference", "DifferenceKind", "FieldDifference", "Tally"]

EXAMPLES_MAX: Final = 5
REMEMBERED_MAX: Final = 10_000
"""Outputs of each kind that were lost, and that were there: one that comes late or twice is told from one that nobody expects."""
FIELDS_MAX: Final = 20
SHOWN_CHARS: Final = 200

DifferenceKind: TypeAlias = Literal["lost", "duplicated", "different"]


class FieldDifference(NamedTuple):
    """A field that differs, by its path; None where one side has no such field."""

    field: str
    expected: Any
    found: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output that is not as it should be."""

    kind: DifferenceKind
    identity: Identity
    at: int | None
    """Its offset in its topic; None where it is not there."""
    detail: str
    fields: tuple[FieldDifference, ...] = ()

    @property
    def words(self) -> str:
        """In one line."""
        where = f"{self.identity.kind}, of source offset {self.identity.offset}" + (f", {self.identity.fact}" if self.identity.fact else "")
        fields = "; ".join(f"{name} is {found!r}, not {expected!r}" for name, expected, found in self.fields)
        return f"{self.kind}: {where}{'' if self.at is None else f', at {self.at}'}: {self.detail}{f' ({fields})' if fields else ''}"


@dataclasses.dataclass(slots=True)
class Tally:
    """How many outputs were compared, and what is wrong with them."""

    compared: dict[OutputKind, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(OUTPUT_KINDS, 0))
    """Expected ones, by kind."""
    stubs: int = 0
    lost: int = 0
    duplicated: int = 0
    different: int = 0
    first: Difference | None = None
    """In order of the source."""
    examples: list[Difference] = dataclasses.field(default_factory=list)
    """The first few, in the order in which they were found."""

    @property
    def wrong(self) -> int:
        """All that is wrong."""
        return self.lost + self.duplicated + self.different

    def copy(self) -> Tally:
        """The same, not changed by what comes."""
        return dataclasses.replace(self, compared=dict(self.compared), examples=list(self.examples))

    def tell(self, difference: Difference) -> None:
        """Count a difference."""
        setattr(self, difference.kind, getattr(self, difference.kind) + 1)
        if self.first is None or difference.identity.offset < self.first.identity.offset:
            self.first = difference
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(difference)

    def found_after_all(self, identity: Identity) -> None:
        """One that was lost is there, in another place."""
        self.lost -= 1
        self.examples = [each for each in self.examples if (each.kind, each.identity) != ("lost", identity)]
        if self.first is not None and (self.first.kind, self.first.identity) == ("lost", identity):
            self.first = min(self.examples, key=lambda each: each.identity.offset, default=None)


class Comparison:
    """Protocol of use: `take` what is expected and what is found, both through the same offset, in order; then read the tally."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._lost: dict[Identity, Put] = {}
        self._had: dict[Identity, None] = {}
        self._newest: dict[str, int] = {}
        self._first: Difference | None = None

    def take(self, expected: Sequence[Put], found: Sequence[Found]) -> Difference | None:
        """Compare what comes next on both sides; the first difference among it."""
        self._first = None
        for put in expected:
            self.tally.compared[put.kind] += 1
        if len(expected) == len(found) and all(put == each.put for put, each in zip(expected, found, strict=True)):
            for each in found:
                self._newest[each.identity.kind] = each.identity.offset
                _remember(self._had, each.identity, None)
            return None
        left = {identity_of(put): put for put in expected}
        for at, named, put in found:
            identity = self._standing_for(put, left) or named
            if (ours := left.pop(identity, None)) is not None:
                self._compare(identity, ours, at, put)
            elif identity in self._had:
                self._tell("duplicated", identity, at, "it is there already")
            elif (ours := self._lost.pop(identity, None)) is not None:
                self._find_again(identity, at, put, ours)
            else:
                self._tell("different", identity, at, f"there should be no such output: {_shown(put)}")
                continue
            _remember(self._had, identity, None)
        for identity, put in left.items():
            self._tell("lost", identity, None, f"expected is {_shown(put)}")
            _remember(self._lost, identity, put)
        return self._first

    def _standing_for(self, put: Put, left: dict[Identity, Put]) -> Identity | None:
        """The output in whose place a stub went out."""
        if (size := refused_bytes(put)) is None:
            return None
        named = identity_of(put)
        for identity, ours in itertools.chain(self._lost.items(), left.items()):
            if identity.kind == put.kind and named.offset in (-1, identity.offset) and len(ours.value or b"") == size:
                return identity
        return None

    def _compare(self, identity: Identity, ours: Put, at: int, theirs: Put) -> None:
        newest = self._newest.get(identity.kind, -1)
        self._newest[identity.kind] = max(newest, identity.offset)
        if refused_bytes(theirs) is not None:
            self.tally.stubs += 1
        elif ours != theirs:
            fields = tuple(itertools.islice(_differing(ours, theirs), FIELDS_MAX))
            self._tell("different", identity, at, "it is not what it should be", fields)
        elif identity.offset < newest:
            self._tell("different", identity, at, f"it stands after the output of source offset {newest}")

    def _find_again(self, identity: Identity, at: int, put: Put, ours: Put) -> None:
        """One that was missed where it should be."""
        self.tally.found_after_all(identity)
        if refused_bytes(put) is not None:
            self.tally.stubs += 1
            return
        fields = tuple(itertools.islice(_differing(ours, put), FIELDS_MAX))
        self._tell("different", identity, at, f"it stands after the output of source offset {self._newest.get(identity.kind, -1)}", fields)

    def _tell(
        self, kind: DifferenceKind, identity: Identity, at: int | None, detail: str, fields: tuple[FieldDifference, ...] = ()
    ) -> None:
        difference = Difference(kind=kind, identity=identity, at=at, detail=detail, fields=fields)
        self.tally.tell(difference)
        if self._first is None or identity.offset < self._first.identity.offset:
            self._first = difference


def _remember(memory: dict[Identity, Any], identity: Identity, value: Any) -> None:
    memory[identity] = value
    if len(memory) > REMEMBERED_MAX:
        del memory[next(iter(memory))]


def _shown(put: Put) -> str:
    text = (put.value or b"").decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _differing(ours: Put, theirs: Put) -> Iterator[FieldDifference]:
    """Field by field: key, value, headers; of JSON its own fields."""
    if ours.key != theirs.key:
        yield FieldDifference("key", ours.key, theirs.key)
    if ours.value != theirs.value:
        yield from _values_differing(ours, theirs)
    if ours.headers != theirs.headers:
        yield from _fields_differing("headers", dict(ours.headers), dict(theirs.headers))


def _values_differing(ours: Put, theirs: Put) -> Iterator[FieldDifference]:
    try:
        found = list(_fields_differing("", json.loads(ours.value or b""), json.loads(theirs.value or b"")))
    except ValueError:
        found = []
    yield from found or [FieldDifference("value", _shown(ours), _shown(theirs))]


def _fields_differing(path: str, ours: Any, theirs: Any) -> Iterator[FieldDifference]:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in {**ours, **theirs}:
            yield from _fields_differing(f"{path}.{name}" if path else str(name), ours.get(name), theirs.get(name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (own, their) in enumerate(zip(ours, theirs, strict=True)):
            yield from _fields_differing(f"{path}[{number}]", own, their)
    elif ours != theirs or type(ours) is not type(theirs):
        yield FieldDifference(path, ours, theirs)
