"""The demo: real flights through a real Kafka, an injected incident, a drift, a reset, and proof that nothing was lost."""

from stream_retrain.local.demo.show import run_demo

__all__ = ["run_demo"]
