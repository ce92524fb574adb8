"""Ids as questions and answers find each other by them."""

from __future__ import annotations

import msgspec

from stream_retrain.facts.values import EventId

__all__ = ["text_of_id"]


def text_of_id(id_: EventId) -> str:
    """An id by which questions and answers find each other: "17" for 17 and for "17", JSON's text for other scalars."""
    return id_ if isinstance(id_, str) else msgspec.json.encode(id_).decode()
