"""A record of the decisions topic, read: what `lane.encoder` wrote, as a `Decision`.

The worker that wrote it may be of another release: a kind that is unknown here, and fields that are not, are taken as they are.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from stream_retrain.facts.decision import Decision
from stream_retrain.lane.messages import PUBLISHED

__all__ = ["read_decision"]

PREFIX: Final = "io.streamretrain."
SUFFIX: Final = ".v1"
SOURCE: Final = "/pipelines/"
_BY_KIND: Final = {kind.kind: kind for kind in PUBLISHED}


class _Event(msgspec.Struct, frozen=True, gc=False):
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]


def read_decision(value: bytes | None) -> Decision | None:
    """The decision that a record holds; None where it holds none."""
    try:
        event: dict[str, Any] = msgspec.json.decode(value or b"", type=dict[str, Any])
        found = msgspec.convert(event, _Event)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    topic, slash, partition = found.subject.rpartition("/")
    offset = found.data.get("offset")
    ours = found.type.startswith(PREFIX) and found.type.endswith(SUFFIX) and found.source.startswith(SOURCE)
    if not (ours and slash and partition.isdecimal() and len(partition) < 10 and isinstance(offset, int)):
        return None
    kind = found.type.removeprefix(PREFIX).removesuffix(SUFFIX)
    return Decision(
        id=found.id,
        kind=kind,
        type=found.type,
        time=found.time,
        pipeline=found.source.removeprefix(SOURCE),
        topic=topic,
        partition=int(partition),
        offset=offset,
        data=found.data,
        text=_text(kind, found.data),
        event=event,
    )


def _text(kind: str, data: dict[str, Any]) -> str:
    """What happened, in words; the kind where its fields are not those that are known here."""
    known: Any = _BY_KIND.get(kind)
    if known is None:
        return kind
    try:
        return str(msgspec.convert(data, known).sentence)
    except (msgspec.ValidationError, KeyError):
        return kind
