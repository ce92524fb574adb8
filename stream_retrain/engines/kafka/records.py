"""Messages of confluent-kafka as records, column by column."""

from __future__ import annotations

from typing import Any, TypeAlias

from stream_retrain.lane.batch import Records

__all__ = ["records_of"]

Messages: TypeAlias = "list[Any]"


def records_of(messages: Messages) -> Records:
    """The records of messages of one partition that are no errors, in order of offset."""
    return Records(
        [message.offset() for message in messages],
        [message.key() for message in messages],
        [message.value() for message in messages],
        [message.timestamp()[1] for message in messages],
        [message.headers() for message in messages],
    )
