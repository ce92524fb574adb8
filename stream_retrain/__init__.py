"""stream_retrain keeps River models right on Kafka streams while the world changes, and can prove what it did."""

from stream_retrain.core.calibration import detector_for, watch_and_react
from stream_retrain.core.evidence import Evidence
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.policies import Challenge, FineTune, Ignore, On, Reset, Retrain
from stream_retrain.core.schema import Schema
from stream_retrain.core.shard import Shard
from stream_retrain.core.signals import Watch
from stream_retrain.core.training import Challenger, TopicRange, Window
from stream_retrain.core.triggers import Caution, Drift, Every, Request, Threshold
from stream_retrain.errors import PipelineError, StreamRetrainError

__version__ = "0.1.0"

__all__ = [
    "Caution",
    "Challenge",
    "Challenger",
    "Drift",
    "Every",
    "Evidence",
    "FineTune",
    "Ignore",
    "On",
    "Pipeline",
    "PipelineError",
    "Request",
    "Reset",
    "Retrain",
    "Schema",
    "Shard",
    "StreamRetrainError",
    "Threshold",
    "TopicRange",
    "Watch",
    "Window",
    "__version__",
    "detector_for",
    "watch_and_react",
]
