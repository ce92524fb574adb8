"""A pipeline of its own on a real Kafka and Redis, workers that may be crashed, and what they must come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from benchmarks.chaos_judge import wait_until_committed
from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.exactly_once.crashing import CrashingWorker, crashing_worker

__all__ = ["SESSION_TIMEOUT_S", "Bench"]

PARTITIONS: Final = 2
EVENTS: Final = 200
SESSION_TIMEOUT_S: Final = 1.5
RUN: Final = {
    "session_timeout_ms": int(SESSION_TIMEOUT_S * 1000),
    "checkpoint_events": 60,
    "commit_events_max": 40,
    "poll_records_max": 40,
    "commit_interval_ms": 20,
}


class Bench:
    """A pipeline of its own with everything around it."""

    def __init__(self, services: Services, folder: Path, *arguments: str) -> None:
        """`arguments` are the workers'."""
        self.services = services
        self.arguments = arguments
        self.file = folder / "pipeline.py"
        self.file.write_text(PIPELINE.format(name=services.name("crash"), source=services.name("events")))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        overrides = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
        self.settings: Settings = load_settings(None, {}, overrides)
        create_topic(self.settings, self.pipeline.source, PARTITIONS, {"retention.ms": "-1"})
        self.publisher = Publisher(self.settings, self.pipeline.source, PARTITIONS, 1, 1e6)
        self.publisher.publish(EVENTS)

    def worker(self, **settings: Any) -> Any:
        return crashing_worker(self.services, self.file, *self.arguments, **RUN | {"instance": "first"} | settings)

    def catch_up(self, worker: CrashingWorker) -> None:
        def look() -> None:
            assert worker.ended(0) is None, worker.log

        wait_until_committed(self.settings, self.pipeline, PARTITIONS, look, 40.0)
