"""Where the worker's time goes: CPU of each part of its loop, for an event, on a real Kafka and Valkey.

    python -m benchmarks.shares [--model QuickTree] [--events 200000] [--features 8]

The parts are the calls of the loop, each with a clock around it, which costs some 0.02 us an event. A part that others are in is shown
without them. What is left of the thread is the loop around the parts; what is left of the process are the threads of the Kafka clients.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.fresh_process import in_fresh_process
from benchmarks.throughput import publish
from benchmarks.throughput_worker import KEYRING, MODELS, pipeline, stream
from stream_retrain.compose import run_pipeline
from stream_retrain.core.scores import Scores
from stream_retrain.engines.driver import Driver
from stream_retrain.engines.driver.save import Saver
from stream_retrain.engines.driver.window_feed import WindowFeed
from stream_retrain.engines.kafka import worker
from stream_retrain.engines.kafka.sink import TransactionalSink
from stream_retrain.facts.worker import Assigned, Committed, WorkerFact
from stream_retrain.lane import encoder
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.reactor import Reactor
from stream_retrain.lane.shard import Shard
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

Parts = dict[str, float]
TOLD: dict[tuple[Any, str], str] = {
    (worker, "records_of"): "messages of the client to columns",
    (EventDecoder, "decode_batch"): "decode",
    (Shard, "process"): "shard: predictions, rows and facts",
    (Scores, "update"): "metrics",
    (encoder, "encode_predictions"): "encode predictions",
    (WindowFeed, "add"): "rows of the window to chunks",
    (WindowFeed, "append"): "chunks to Valkey, sealed",
    (TransactionalSink, "_produce"): "produce",
    (TransactionalSink, "transact"): "transactions",
    (Saver, "due"): "checkpoints",
    (Driver, "observe"): "what metrics and status show",
}
MODEL = "model, with ADWIN"


class Clocks:
    """CPU time of this thread by part; a part pauses while another one runs in it."""

    def __init__(self) -> None:
        self.parts: Parts = {}
        self._open: list[float] = []

    def around(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*given: Any, **named: Any) -> Any:
            began = time.thread_time()
            self._open.append(0.0)
            try:
                return call(*given, **named)
            finally:
                took, inside = time.thread_time() - began, self._open.pop()
                self.parts[part] = self.parts.get(part, 0.0) + took - inside
                if self._open:
                    self._open[-1] += took

        return timed


def shares(model: str, source: str, events: int, features: int, settings: Settings) -> tuple[Parts, float, float]:
    """Seconds by part, of the thread and of the process; in this process."""
    clocks = Clocks()
    for (owner, name), part in TOLD.items():
        setattr(owner, name, clocks.around(part, getattr(owner, name)))
    serve = Reactor._serve

    def serve_timed(self: Reactor, *given: Any) -> None:
        serve(self, *given)
        self.step = clocks.around(MODEL, self.step)  # type: ignore[assignment]

    Reactor._serve = serve_timed  # type: ignore[method-assign]
    times: list[tuple[Parts, float, float]] = []
    committed: dict[Any, int] = {}

    def tell(fact: WorkerFact) -> None:
        if isinstance(fact, Assigned) and not times:
            times.append((dict(clocks.parts), time.thread_time(), time.process_time()))
        elif isinstance(fact, Committed) and len(times) == 1:
            committed.update(fact.offsets)
            if sum(committed.values()) >= events:
                times.append((dict(clocks.parts), time.thread_time(), time.process_time()))

    run_pipeline(pipeline(model, source, features), settings, KEYRING, lambda: len(times) == 2, watching=tell)
    (before, thread_began, process_began), (after, thread_ended, process_ended) = times
    parts = {part: seconds - before.get(part, 0.0) for part, seconds in after.items()}
    return parts, thread_ended - thread_began, process_ended - process_began


def table(parts: Parts, thread_s: float, process_s: float, events: int) -> str:
    """Markdown, the largest first."""
    rest = {"the loop around them": thread_s - sum(parts.values()), "threads of the clients": process_s - thread_s}
    rows = [*sorted(parts.items(), key=lambda item: -item[1]), *rest.items(), ("all of it", process_s)]
    lines = ["| part | CPU an event |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {part} | {seconds * 1e6 / events:.2f} us |" for part, seconds in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="QuickTree")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=8)
    given = parser.parse_args()
    lines = [msgspec.json.encode(row) for row in stream(given.events, given.features)]
    with LocalStack.start(on_progress=lambda _: None) as stack:
        addresses = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        settings = load_settings(None, {}, {**addresses, "http_port": 0, "log_level": "error"})
        publish(lines, "shares", settings)
        found = in_fresh_process("the worker", shares, given.model, "shares", given.events, given.features, settings)
    print(table(*found, given.events))


if __name__ == "__main__":
    main()
