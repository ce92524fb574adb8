"""Messages of confluent-kafka as records, column by column."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Message

from stream_retrain.lane.batch import Records

__all__ = ["records_of"]


def records_of(messages: list[Message]) -> Records:
    """The records of messages of one partition that are no errors, in order of offset.

    Mapping the client's own methods takes half the time of calling them on each message.
    """
    offsets: Any = list(map(Message.offset, messages))
    keys, values = list(map(Message.key, messages)), list(map(Message.value, messages))
    created_ms = [milliseconds for _, milliseconds in map(Message.timestamp, messages)]
    headers: Any = list(map(Message.headers, messages))
    return Records(offsets, keys, values, created_ms, headers)
