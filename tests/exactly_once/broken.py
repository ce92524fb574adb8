"""Three workers that are broken on purpose, each in one place of the protocol: what a verifier is worth shows in whether it sees them."""

from __future__ import annotations

from typing import Any

from stream_retrain.engines.driver import Driver, Opened, Unsent
from stream_retrain.engines.driver.open_lane import OpenLane
from stream_retrain.engines.kafka.sink import TransactionalSink
from stream_retrain.engines.kafka.sinks import OneSink
from stream_retrain.engines.kafka.worker import Worker

__all__ = ["AnswersInReplay", "CheckpointsBeforeCommit", "CommitsBeforeProducing"]


class CommitsBeforeProducing(Worker):
    """Offsets in one transaction, outputs in the next."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self._sinks, OneSink)
        sink = self._sinks._sink
        self._sinks = OneSink(_OffsetsFirst(sink._producer, sink._topics, sink._settings, sink._clients, sink._stop))


class _OffsetsFirst(TransactionalSink):
    def send(self, unsent: Unsent, *args: Any) -> None:
        super().send(Unsent([], unsent.offsets), *args)
        super().send(Unsent(unsent.outputs, {}), *args)


class CheckpointsBeforeCommit(Worker):
    """A checkpoint of whatever the shard has learned, committed or not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._driver.__class__ = _AlwaysSettled


class _AlwaysSettled(Driver):
    def open(self, partition: int, *args: Any) -> Opened:
        opened = super().open(partition, *args)
        self._open[partition].__class__ = _Settled
        return opened


class _Settled(OpenLane):
    __slots__ = ()

    @property
    def settled(self) -> bool:
        return True


class AnswersInReplay(Worker):
    """What is learned again is put out again."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._driver.__class__ = _NeverSilent


class _NeverSilent(Driver):
    def open(self, partition: int, *args: Any) -> Opened:
        opened = super().open(partition, *args)
        self._open[partition].lane.live_from = opened.offset
        return opened
