"""stream_retrain keeps River models right on Kafka streams while the world changes, and can prove what it did."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stream_retrain.backtesting.backtest import backtest
    from stream_retrain.backtesting.backtest_result import BacktestResult
    from stream_retrain.codec.exported import load_model
    from stream_retrain.codec.webhook import verify_webhook
    from stream_retrain.core.callbacks import Callbacks, Secret, Webhook
    from stream_retrain.core.contest.challenger import Challenger, TopicRange, Window
    from stream_retrain.core.contest.evidence import Evidence
    from stream_retrain.core.fields import Field, Sparse
    from stream_retrain.core.label import Label
    from stream_retrain.core.labels import Labels
    from stream_retrain.core.pipeline import Pipeline
    from stream_retrain.core.react.cron import Cron
    from stream_retrain.core.react.reactions import Challenge, FineTune, Ignore, Reset, Retrain
    from stream_retrain.core.react.rules import On
    from stream_retrain.core.react.thresholds import Threshold
    from stream_retrain.core.react.triggers import Caution, Drift, Every, Request
    from stream_retrain.core.schema import Schema
    from stream_retrain.core.watch.calibration import detector_for, watch_and_react
    from stream_retrain.core.watch.watch import Watch
    from stream_retrain.core.wire import Avro, JsonSchema, Protobuf
    from stream_retrain.errors import PipelineError, StreamRetrainError
    from stream_retrain.facts.decision import Decision
    from stream_retrain.lane.shard import Shard

__version__ = "0.2.0"

__all__ = [
    "Avro",
    "BacktestResult",
    "Callbacks",
    "Caution",
    "Challenge",
    "Challenger",
    "Cron",
    "Decision",
    "Drift",
    "Every",
    "Evidence",
    "Field",
    "FineTune",
    "Ignore",
    "JsonSchema",
    "Label",
    "Labels",
    "On",
    "Pipeline",
    "PipelineError",
    "Protobuf",
    "Request",
    "Reset",
    "Retrain",
    "Schema",
    "Secret",
    "Shard",
    "Sparse",
    "StreamRetrainError",
    "Threshold",
    "TopicRange",
    "Watch",
    "Webhook",
    "Window",
    "__version__",
    "backtest",
    "detector_for",
    "load_model",
    "verify_webhook",
    "watch_and_react",
]


_HOMES = {
    "Avro": "core.wire",
    "BacktestResult": "backtesting.backtest_result",
    "Callbacks": "core.callbacks",
    "Caution": "core.react.triggers",
    "Challenge": "core.react.reactions",
    "Challenger": "core.contest.challenger",
    "Cron": "core.react.cron",
    "Decision": "facts.decision",
    "Drift": "core.react.triggers",
    "Every": "core.react.triggers",
    "Evidence": "core.contest.evidence",
    "Field": "core.fields",
    "FineTune": "core.react.reactions",
    "Ignore": "core.react.reactions",
    "JsonSchema": "core.wire",
    "Label": "core.label",
    "Labels": "core.labels",
    "On": "core.react.rules",
    "Pipeline": "core.pipeline",
    "PipelineError": "errors",
    "Protobuf": "core.wire",
    "Request": "core.react.triggers",
    "Reset": "core.react.reactions",
    "Retrain": "core.react.reactions",
    "Schema": "core.schema",
    "Secret": "core.callbacks",
    "Shard": "lane.shard",
    "Sparse": "core.fields",
    "StreamRetrainError": "errors",
    "Threshold": "core.react.thresholds",
    "TopicRange": "core.contest.challenger",
    "Watch": "core.watch.watch",
    "Webhook": "core.callbacks",
    "Window": "core.contest.challenger",
    "backtest": "backtesting.backtest",
    "detector_for": "core.watch.calibration",
    "load_model": "codec.exported",
    "verify_webhook": "codec.webhook",
    "watch_and_react": "core.watch.calibration",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is: a command that needs no model starts without River, and a worker without the analyst's part."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
