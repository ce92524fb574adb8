"""The demo: real flights through a real Kafka, an injected incident, a drift, a reset, and proof that nothing was lost."""

from stream_retrain.demo.show import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
