"""stream_retrain keeps River models right on Kafka streams while the world changes, and can prove what it did."""

from stream_retrain.core.contest.challenger import Challenger, TopicRange, Window
from stream_retrain.core.contest.evidence import Evidence
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Challenge, FineTune, Ignore, Reset, Retrain
from stream_retrain.core.react.rules import On
from stream_retrain.core.react.thresholds import Threshold
from stream_retrain.core.react.triggers import Caution, Drift, Every, Request
from stream_retrain.core.schema import Schema
from stream_retrain.core.watch.calibration import detector_for, watch_and_react
from stream_retrain.core.watch.watch import Watch
from stream_retrain.errors import PipelineError, StreamRetrainError
from stream_retrain.lane.shard import Shard

__version__ = "0.2.0"

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
