"""The topic of requests, `<pipeline>.requests`: read beside a worker, and written by the command line."""

from __future__ import annotations

from stream_retrain.engines.kafka.request_topic.reader import RequestReader, asking_keys
from stream_retrain.engines.kafka.request_topic.send import SentRequest, send_request
from stream_retrain.engines.kafka.request_topic.thread import RequestThread

__all__ = ["RequestReader", "RequestThread", "SentRequest", "asking_keys", "send_request"]
