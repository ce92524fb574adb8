"""How a partition's outputs came about, read from its decisions: sections, each made by one lane, and lineages, each of one beginning.

A *section* begins where a lane that was restored says so (`facts.restored`), with the first decision or before any. Within it everything
was made by the same pipeline and the same software, because a lane whose predecessor had others says so too.

A *lineage* is a run of sections whose state goes on from one beginning: a fresh shard at an offset of the log, or one that began there
with the model of another (a warm start, whose artifact is kept). Where a lane began
again (from the log, untrained, on its window, under another pipeline), another lineage begins. A replay repeats a lineage from its
beginning, or from a checkpoint within it. What was trained on a window, or adapted to a changed pipeline, can be repeated from a
checkpoint only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stream_retrain.codec.stamp import Stamp
from stream_retrain.engines.replay.recorded import recorded_of
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.lane.encoder import Stamp as Headers
from stream_retrain.lane.put import Found

__all__ = ["Lineage", "Section", "lineages_of", "sections_of"]


@dataclasses.dataclass(slots=True)
class Section:
    """Outputs made by one lane, from an offset of the source on."""

    since: int
    restored: ShardRestored | None
    """What its lane was restored from; None: it began with the first record of the log."""
    stamp: Stamp | None = None
    """By what it was made; None where no decision says so."""
    headers: Headers | None = None
    """The stamp as it stands in the decisions."""
    decisions: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Lineage:
    """Sections that go on from one beginning."""

    sections: Sequence[Section]
    until: int | None
    """Where the next lineage begins; None: it is the last."""
    begins_at: int | None
    """The first offset that a fresh shard learned; None where no log can give the beginning back."""
    unknown: str = ""
    """Why not, in words."""
    model: str = ""
    """The artifact of the model that the shard began with; empty: it began untrained."""

    @property
    def since(self) -> int:
        """The first offset whose outputs are of it; what was recorded before is not."""
        return self.sections[0].since

    @property
    def stamp(self) -> Stamp | None:
        """By what it was made, as far as some decision says so; the pipeline is the same throughout."""
        return next((each.stamp for each in self.sections if each.stamp is not None), None)

    def between(self, first: int, last: int) -> list[Section]:
        """The sections that have a part in the offsets from the one to the other."""
        ends = [*(each.since for each in self.sections[1:]), last + 1]
        return [each for each, end in zip(self.sections, ends, strict=True) if each.since <= last and end > first]

    def section_at(self, offset: int) -> Section:
        """The section to which an offset belongs."""
        return next((each for each in reversed(self.sections) if each.since <= offset), self.sections[0])


class _Begin(NamedTuple):
    offset: int | None
    unknown: str = ""
    model: str = ""


def sections_of(decisions: Iterable[Found], ours: Stamp, until: int) -> list[Section]:
    """The sections below an offset of the source. Holds one decision at a time.

    A section has one stamp. Where its decisions differ in that, some were changed: it is ours if any is.
    """
    sections = [Section(0, None)]
    own = _as_read(ours.headers)
    for found in decisions:
        if found.identity.offset >= until:
            break
        recorded = recorded_of(found.put.value)
        if isinstance(recorded, ShardRestored):
            sections.append(Section(_since(recorded, sections), recorded))
        section = sections[-1]
        section.decisions += 1
        headers = tuple(each for each in found.put.headers if each[0].startswith("sr_"))  # the others were carried from its record
        if section.headers is None or headers == own:
            section.headers, section.stamp = list(headers), Stamp.read(dict(headers))
    return sections


def _since(restored: ShardRestored, before: Sequence[Section]) -> int:
    """The first offset whose outputs are of a lane: some begin to learn where they are live, and may say so later, or again."""
    first = restored.how == "warm" and len(before) == 1 and not before[0].decisions
    at_once = first or (restored.how in ("new", "latest", "warm") and restored.from_offset > before[-1].since)
    return restored.from_offset if at_once else restored.offset


def lineages_of(sections: Sequence[Section]) -> list[Lineage]:
    """The sections by their beginnings, in order. Before a lane that was the first of its group nothing was put out."""
    first = sections[0]
    if not first.decisions and len(sections) > 1 and (told := sections[1].restored) is not None and told.how in ("new", "warm"):
        sections = sections[1:]
    groups: list[list[Section]] = []
    begins: list[_Begin] = []
    for section in sections:
        begin = _begun(section)
        if begin is None and groups:
            groups[-1].append(section)
        else:
            groups.append([section])
            begins.append(begin or _Begin(0))
    ends = [group[0].since for group in groups[1:]]
    return [Lineage(group, until, *begin) for group, until, begin in zip(groups, [*ends, None], begins, strict=True)]


def _begun(section: Section) -> _Begin | None:
    """Where the state of a section begins; None: it goes on with what was before it."""
    restored = section.restored
    if restored is None:
        return _Begin(0)
    match restored.how:
        case "new" | "earliest" | "latest" | "warm":
            return _Begin(restored.from_offset, model=restored.model)
        case "window":
            return _Begin(None, f"at offset {section.since} the shard began with a model trained on its window (--warm-restart)")
        case "checkpoint" | "previous":
            if not restored.differs:
                return None
            return _Begin(None, f"at offset {section.since} the pipeline was changed, and a state of the one before went on")


def _as_read(headers: Headers) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, text if isinstance(text, bytes) else (text or "").encode()) for name, text in headers)
