"""A request as a program sends it, in JSON: the body over HTTP, the value of a record in a topic. Each door takes the same object."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from stream_retrain.errors import RequestError

__all__ = ["PARTITIONS_MAX", "SENT_BYTES_MAX", "Sent", "read_sent", "sent_schema"]

SENT_BYTES_MAX: Final = 16_384
PARTITIONS_MAX: Final = 2_000


class Sent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Every field may be missing; a door says which it needs."""

    pipeline: Annotated[str, msgspec.Meta(description="whose shards are asked")] = ""
    do: Annotated[str, msgspec.Meta(description="retrain, reset, promote, rollback, pause or resume")] = ""
    partition: Annotated[int | None, msgspec.Meta(description="the shard of this partition only")] = None
    partitions: Annotated[
        Annotated[list[int], msgspec.Meta(min_length=1, max_length=PARTITIONS_MAX)] | None,
        msgspec.Meta(description="those of these; else all"),
    ] = None
    version: Annotated[str, msgspec.Meta(description="of a promote: which")] = ""
    reason: Annotated[str | None, msgspec.Meta(description="for those who read the decision later")] = None
    token: Annotated[str | None, msgspec.Meta(description="a second one of the same token is the same request")] = None
    at: Annotated[float | None, msgspec.Meta(description="when it was made, in seconds since the epoch")] = None

    @property
    def named(self) -> list[int] | None:
        """The partitions that it names; None: all."""
        return self.partitions if self.partition is None else [self.partition]


def read_sent(value: bytes) -> Sent:
    """What is sent. Raises `RequestError`."""
    try:
        sent = msgspec.json.decode(value, type=Sent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fields = ", ".join(Sent.__struct_fields__)
        raise RequestError("invalid", f"it is no JSON object of these fields: {fields}; {error}") from None
    if sent.partition is not None and sent.partitions is not None:
        raise RequestError("invalid", "give partition or partitions, not both")
    return sent


def sent_schema() -> dict[str, object]:
    """The JSON Schema of it."""
    _, components = msgspec.json.schema_components([Sent], ref_template="#/components/schemas/{name}")
    return dict(components["Sent"])
