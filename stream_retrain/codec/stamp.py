"""By what a decision was made, as the headers of its record: release, versions, pipeline, the user's code, and what a setting adds.

Whoever replays a stretch of outputs compares the stamp of its decisions with its own. Another pipeline cannot repeat them. Under other
software it may or may not, so it is tried, and a difference says nothing.

    sr_release, sr_river, sr_python, sr_numpy,
    sr_arithmetic                                versions (`codec.seal.Versions`)
    sr_pipeline_digest                           `Pipeline.digest`
    sr_parts                                     `Pipeline.parts` as JSON, digests cut short; absent where that is long
    sr_sources                                   `codec.sources.sources_digest`
    sr_record_bytes_max                          the setting: a larger record was refused

The headers of a process are constant: they are made once.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.seal import Versions
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.encoder import Stamp as Headers
from stream_retrain.lane.encoder import encode
from stream_retrain.lane.lane import Encode

__all__ = ["Stamp", "encoder_of", "stamp_of"]

PARTS_BYTES_MAX: Final = 1_000
DIGEST_CHARS: Final = 12
"""Of the digest of a part."""
_HEADER_OF: Final = {field: "sr_release" if field == "stream_retrain" else f"sr_{field}" for field in Versions.__struct_fields__} | {
    "pipeline_digest": "sr_pipeline_digest",
    "sources": "sr_sources",
    "record_bytes_max": "sr_record_bytes_max",
}
_WORDS: Final = {
    "stream_retrain": "release",
    "river": "River",
    "python": "Python",
    "numpy": "NumPy",
    "arithmetic": "version of the models' arithmetic",
    "sources": "code of its own",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """What a stretch of outputs was made by; fields by name, as text."""

    fields: Mapping[str, str]
    parts: Mapping[str, str]
    """Of the pipeline; empty where they were too long."""

    @property
    def headers(self) -> Headers:
        """As headers of a record."""
        named: Headers = [(_HEADER_OF[name], value.encode()) for name, value in self.fields.items()]
        return [*named, ("sr_parts", _parts_json(self.parts))] if self.parts else named

    @classmethod
    def read(cls, headers: Mapping[str, bytes]) -> Stamp | None:
        """The stamp of a record; None for one that has none, as of an earlier release, or whose headers are damaged."""
        fields = {name: headers[header].decode("utf-8", "replace") for name, header in _HEADER_OF.items() if header in headers}
        if "pipeline_digest" not in fields:
            return None
        try:
            parts = msgspec.json.decode(headers.get("sr_parts", b"{}"), type=dict[str, str])
        except msgspec.DecodeError:
            parts = {}
        return cls(fields, parts)

    def other_pipeline(self, ours: Stamp) -> str | None:
        """In what the pipeline of these outputs differs from ours, in words; None: it is the same."""
        if self.fields["pipeline_digest"] == ours.fields["pipeline_digest"]:
            return None
        names = [name for name in {**self.parts, **ours.parts} if self.parts.get(name) != ours.parts.get(name)]
        if not (self.parts and ours.parts and names):
            return "they were made by another pipeline"
        return f"they were made by another pipeline, which differs in its {' and its '.join(names)}"

    def other_software(self, ours: Stamp) -> str | None:
        """What else they were made by, in words; None: by the same software and settings."""
        return "they were made by " + ", ".join(found) if (found := list(self._others(ours))) else None

    def _others(self, ours: Stamp) -> Iterator[str]:
        for name in ours.fields:
            theirs, own = self.fields.get(name), ours.fields[name]
            if name == "pipeline_digest" or theirs == own:
                continue
            if name == "record_bytes_max":
                yield f"a worker with the setting record_bytes_max = {theirs}"
            elif name == "sources":
                yield f"another {_WORDS[name]}"
            else:
                yield f"{_WORDS.get(name, name)} {theirs}, and this is {own}"


def encoder_of(pipeline: Pipeline, record_bytes_max: int) -> Encode:
    """What makes the outputs of a worker: decisions have its stamp, and headers are carried as the pipeline says."""
    stamp = stamp_of(pipeline, record_bytes_max).headers
    return functools.partial(encode, stamp=stamp, carry=frozenset(pipeline.carry_headers))


def stamp_of(pipeline: Pipeline, record_bytes_max: int) -> Stamp:
    """The stamp of what this process makes."""
    header = checkpoint_header(pipeline, ShardId(pipeline.name, pipeline.source, 0), 0, 0)
    fields = {
        **msgspec.structs.asdict(header.versions),
        "pipeline_digest": header.pipeline_digest,
        "sources": sources_digest(pipeline),
        "record_bytes_max": str(record_bytes_max),
    }
    parts = {name: value[:DIGEST_CHARS] for name, value in header.parts.items()}
    return Stamp(fields, parts if len(_parts_json(parts)) <= PARTS_BYTES_MAX else {})


def _parts_json(parts: Any) -> bytes:
    return msgspec.json.encode(parts)
