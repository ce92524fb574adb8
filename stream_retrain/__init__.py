"""stream_retrain keeps River models right on Kafka streams while the world changes, and can prove what it did."""

from stream_retrain.core.evidence import Evidence
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Challenge, Ignore, On, Reset
from stream_retrain.core.schema import Schema
from stream_retrain.core.shard import Shard
from stream_retrain.core.signals import Watch
from stream_retrain.errors import PipelineError, StreamRetrainError

__version__ = "0.1.0"

__all__ = [
    "Challenge",
    "Evidence",
    "Ignore",
    "On",
    "Pipeline",
    "PipelineError",
    "Reset",
    "Schema",
    "Shard",
    "StreamRetrainError",
    "Watch",
    "__version__",
]
