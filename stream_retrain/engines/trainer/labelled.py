"""The labelled events of a log as rows to learn: a question waits for its answer, as in a shard."""

from __future__ import annotations

from collections.abc import Iterator

from stream_retrain.facts.values import Event, Features, Learned
from stream_retrain.lane.event_id import text_of_id

__all__ = ["labelled"]


def labelled(event: Event, waiting: dict[str, Features], waiting_max: int) -> Iterator[Learned]:
    """The row of an event of one partition, if it brings a label; `waiting` are the questions that wait in it, at most `waiting_max`."""
    id_ = text_of_id(event.id)
    x = waiting.pop(id_) if id_ in waiting and event.y is not None else event.x
    if x is None:
        return
    if event.y is not None:
        yield Learned(event.offset, event.time_s, x, event.y, None)
        return
    waiting.setdefault(id_, x)
    if len(waiting) > waiting_max:
        del waiting[next(iter(waiting))]
