"""The relay of a labels topic: it brings each label, as an answer, into the partition of its question in the source topic, exactly once.

The source stays the one log that orders everything, so recovery, replay, backtest and verify need to know nothing of it.
"""

from stream_retrain.engines.kafka.relay.thread import RelayThread

__all__ = ["RelayThread"]
