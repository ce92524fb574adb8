"""The demo's course: start services, publish flights, run a worker, watch it live, prove the result from the topics, and report it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from stream_retrain.demo.backtested import ReportPlace, backtest_flights, write_flights_report
from stream_retrain.demo.flights import AIRPORTS, flights, inject_incident
from stream_retrain.demo.summary import Summary, summarise
from stream_retrain.demo.worker import DemoWorker
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.errors import StreamRetrainError
from stream_retrain.loading import load_pipeline
from stream_retrain.local.stack import LocalStack
from stream_retrain.settings import Settings, load_settings

__all__ = ["DemoResult", "Screen", "run_demo"]

POLL_S: Final = 0.25
STALL_S: Final = 120.0
EXTERNAL: Final = ("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", "STREAM_RETRAIN_REDIS_URL")
PIPELINE_FILE: Final = """\
# The pipeline of the demo: stream_retrain.demo.pipeline says how it is made.
from stream_retrain.demo.pipeline import flights_pipeline

flights = flights_pipeline({name!r})
"""


class Screen(Protocol):
    """What shows the demo to a person; every method may do nothing."""

    def step(self, text: str) -> None:
        """A step of the course begins."""
        ...

    def live(self, published: int, events: int, status: dict[str, Any]) -> None:
        """How the worker stands, a few times a second."""
        ...

    def comparing(self, done: int, total: int) -> None:
        """How far the backtest is, with which the worker is compared."""
        ...


class DemoResult:
    """What came of it: the summary, and where and how fast it ran."""

    def __init__(
        self, summary: Summary, *, name: str, events_per_s: float, seconds: float, places: dict[str, str], samples: int, report: Path | None
    ) -> None:
        self.summary = summary
        self.name = name
        self.events_per_s = events_per_s
        self.seconds = seconds
        self.places = places
        self.metric_samples = samples
        self.report = report

    @property
    def sound(self) -> bool:
        """Whether nothing was lost and nothing predicted twice."""
        return self.summary.lost == 0 and self.summary.duplicated == 0 and self.summary.predictions == self.summary.events


def run_demo(
    events: int,
    screen: Screen,
    *,
    environment: dict[str, str],
    report: ReportPlace,
    keep: Path | None = None,
    finished: Callable[[DemoResult], None] = lambda _: None,
) -> DemoResult:
    """Run it. `environment` may name a Kafka and a Redis to use instead of starting them; `report` is where its report goes.

    `finished` is told the result while the worker and its page are still there; they go when it returns.

    Raises `LocalStackError` where services or data cannot be had, `StreamRetrainError` where the worker fails.
    """
    started_s = time.monotonic()
    given = [environment.get(name) for name in EXTERNAL]
    with LocalStack.start(kafka=given[0] is None, redis=given[1] is None, directory=keep, on_progress=screen.step) as stack:
        overrides = {
            "kafka_bootstrap_servers": given[0] or stack.bootstrap_servers,
            "redis_url": given[1] or stack.redis_url,
        }
        settings = load_settings(None, {}, overrides)
        name = "flights" if given == [None, None] and keep is None else f"flights-{uuid.uuid4().hex[:6]}"
        file = stack.directory / "flights_pipeline.py"
        file.write_text(PIPELINE_FILE.format(name=name))
        return _Course(name, file, events, settings, stack, screen).run(started_s, report, finished)


class _Course:
    def __init__(self, name: str, file: Path, events: int, settings: Settings, stack: LocalStack, screen: Screen) -> None:
        self._pipeline = load_pipeline(str(file))
        self._name, self._file, self._events = name, file, events
        self._settings, self._stack, self._screen = settings, stack, screen
        self._published = 0
        self._incident_at = dict.fromkeys(range(len(AIRPORTS)), 0)
        self._publish_error: BaseException | None = None

    def run(self, started_s: float, place: ReportPlace, finished: Callable[[DemoResult], None]) -> DemoResult:
        """1 publish while the worker learns; 2 wait until it has had everything; 3 backtest the source; 4 compare and report; 5 stop it."""
        self._screen.step(f"publishing {self._events:,} flights of 2013 to {self._pipeline.source}, keyed by airport, 3 partitions")
        publisher = threading.Thread(target=self._publish, daemon=True)
        publisher.start()
        self._await_first()
        self._screen.step("starting a worker: stream-retrain run")
        with DemoWorker(str(self._file), self._stack, self._settings) as worker:
            self._screen.step(f"watch it in a browser, until the demo ends: {worker.url}/")
            events_per_s = self._watch(worker)
            samples = worker.metrics()
            publisher.join()
            places = {"page": f"{worker.url}/", "metrics": f"{worker.url}/metrics", "status": f"{worker.url}/status"}
            result = self._compare(started_s, place, events_per_s=events_per_s, places=places, samples=samples)
            finished(result)
        return result

    def _compare(self, started_s: float, place: ReportPlace, *, places: dict[str, str], **measured: Any) -> DemoResult:
        self._screen.step(
            "a backtest of the source topic: the same pipeline, the same without reaction, the recommended model, two controls"
        )
        topics = {kind: f"{self._name}.{kind}" for kind in ("predictions", "decisions", "dead_letters")}
        read = [read_topic(self._settings, topic) for topic in (self._pipeline.source, topics["predictions"], topics["decisions"])]
        source, predictions, decisions = read
        incident, told = sum(self._incident_at.values()), self._screen.comparing
        ran = backtest_flights(self._pipeline, self._file, source, self._settings, incident=incident, told=told)
        summary = summarise(self._pipeline, source, predictions, decisions, self._incident_at, ran)
        places |= {"kafka": self._settings.kafka_bootstrap_servers, "source": self._pipeline.source, **topics}
        report = write_flights_report(ran, place)
        seconds = time.monotonic() - started_s
        return DemoResult(summary, name=self._name, seconds=seconds, places=places, report=report, **measured)

    def _publish(self) -> None:
        try:
            publish_rows(
                self._counted(inject_incident(flights(self._events), at=self._events // 2)),
                self._settings,
                topic=self._pipeline.source,
                key="origin",
                partition_of={airport: number for number, airport in enumerate(AIRPORTS)},
                partitions=len(AIRPORTS),
                on_sent=self._sent,
            )
        except BaseException as error:  # noqa: BLE001 - raised again where the demo waits
            self._publish_error = error

    def _counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The rows, counting those of each partition before the incident."""
        for number, row in enumerate(rows):
            if number < self._events // 2:
                self._incident_at[AIRPORTS.index(row["origin"])] += 1
            yield row

    def _sent(self, count: int) -> None:
        self._published = count

    def _await_first(self) -> None:
        """The topic exists once the first events are published; only then does the worker find it at its first look."""
        self._until(lambda: self._published > 0)

    def _watch(self, worker: DemoWorker) -> float:
        """Show the worker until it has predicted everything and committed that; events a second, from its first to its last."""
        first_s = moved_s = time.monotonic()
        first = predicted = uncommitted = 0
        while predicted < self._events or uncommitted:
            time.sleep(POLL_S)
            self._check_publisher()
            status = worker.status()
            found = sum(shard["records"] for shard in status["shards"].values())
            uncommitted = sum(shard["uncommitted_records"] for shard in status["shards"].values())
            now_s = time.monotonic()
            if first == 0 and found > 0:
                first, first_s = found, now_s
            if found > predicted:
                predicted, moved_s = found, now_s
            if now_s - moved_s > STALL_S:
                raise StreamRetrainError(f"the worker makes no progress at {predicted:,} of {self._events:,} events: {status['detail']}")
            self._screen.live(self._published, self._events, status)
        return (predicted - first) / max(POLL_S, moved_s - first_s)

    def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._check_publisher()
            time.sleep(0.05)

    def _check_publisher(self) -> None:
        if self._publish_error is not None:
            raise self._publish_error
