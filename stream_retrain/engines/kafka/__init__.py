"""The default engine: confluent-kafka, one consumer and one transactional producer a process."""

from stream_retrain.engines.kafka.worker import run_worker

__all__ = ["run_worker"]
