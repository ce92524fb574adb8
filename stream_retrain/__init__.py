"""stream_retrain keeps River models right on Kafka streams while the world changes, and can prove what it did."""

from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from stream_retrain.backtesting.backtest import backtest
    from stream_retrain.backtesting.backtest_result import BacktestResult

__version__ = "0.2.0"

__all__ = [
    "BacktestResult",
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
    "backtest",
    "detector_for",
    "watch_and_react",
]


def __getattr__(name: str) -> Any:
    """What an analyst uses is imported when it is asked for: a worker does without it."""
    if name == "backtest":
        from stream_retrain.backtesting.backtest import backtest

        return backtest
    if name == "BacktestResult":
        from stream_retrain.backtesting.backtest_result import BacktestResult

        return BacktestResult
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
