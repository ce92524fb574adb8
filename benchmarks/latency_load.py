"""A paced load and its reader, each a process of its own: the latencies of `benchmarks.latency`.

The generator sends each event at its intended time, or as soon after it as it can. A latency counts from the intended time, also where
the generator is late or the worker stands still: the events that would have come meanwhile are counted with their whole wait (Gil Tene's
coordinated omission). It ends when a read-committed consumer has the prediction in its hands.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import multiprocessing
import random
import time
from array import array
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.settings import Settings, load_settings

__all__ = ["FEATURES", "Load", "Offered", "offer", "quantiles"]

FEATURES: Final = 8
BODIES: Final = 997
LEAD_S: Final = 0.2
"""From the moment at which both processes are ready to the first event."""
PATIENCE_S: Final = 30.0
"""For the start of the generator, and for the predictions of a load that is over."""
STEP_S: Final = 0.001
READ_MAX: Final = 1_000
UNPACED: Final = 1e9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """So many events a second, for so long; those of the first `warm_s` are not counted."""

    name: str
    rate: float
    seconds: float
    warm_s: float = 2.0

    @property
    def events(self) -> int:
        """How many there are."""
        return int(self.rate * (self.seconds + self.warm_s))


@dataclasses.dataclass(frozen=True, slots=True)
class Offered:
    """What came of a load: intended times and latencies, in order of the events, of those whose predictions came."""

    sent_s: Sequence[float]
    latency_s: Sequence[float]
    missing: int
    """Events whose predictions did not come."""
    late_s: float
    """How late the generator was at most, after the warm-up."""

    def within(self, spans: Sequence[tuple[float, float]]) -> list[float]:
        """The latencies of events that were to be sent in one of these spans of time."""
        return [latency for sent, latency in zip(self.sent_s, self.latency_s, strict=True) if any(a <= sent <= b for a, b in spans)]


def quantiles(latencies_s: Sequence[float]) -> dict[str, float]:
    """In milliseconds."""
    held = sorted(latencies_s)
    named = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    found = {name: held[min(len(held) - 1, int(share * len(held)))] for name, share in named.items()} | {"max": held[-1]}
    return {f"{name}_ms": round(value * 1e3, 2) for name, value in found.items()}


def bodies() -> list[bytes]:
    """Records from behind their ids on: made of few random numbers, because they must not take longer to make than to learn."""
    rng = random.Random(FEATURES)
    made = []
    for _ in range(BODIES):
        x = [rng.gauss(0, 1) for _ in range(FEATURES)]
        row = {"y": sum(x[:3]) + rng.gauss(0, 0.5) > 0} | {f"f{at}": value for at, value in enumerate(x)}
        made.append(json.dumps(row).encode()[1:])
    return made


def generate(pipe: Any, places: dict[str, Any], topic: str, partitions: int, load: Load) -> None:
    """The process that sends, from the moment on that it is told; says how late it was at most."""
    settings = load_settings(None, {}, places)
    # With more than a few requests on their way, a busy broker is sent many small ones, and its queue of them is what would be measured.
    sends = {"linger.ms": 5, "compression.type": "lz4", "enable.idempotence": True, "queue.buffering.max.messages": 2_000_000}
    producer = Producer({**sends, **base_config(settings)})
    made, produce, clock_s, prefix = bodies(), producer.produce, time.monotonic, f'{{"id": "{load.name}-'.encode()
    producer.list_topics(topic, 10)
    pipe.send("ready")
    began_s = pipe.recv()
    sent, late_s, paced, total = 0, 0.0, load.rate < UNPACED, load.events
    while sent < total:
        now_s = clock_s()
        due = min(total, int((now_s - began_s) * load.rate) + 1 if now_s >= began_s else 0)
        if paced and due > sent and now_s > began_s + load.warm_s:
            late_s = max(late_s, now_s - began_s - sent / load.rate)
        for number in range(sent, due):
            produce(topic, b'%b%d", %b' % (prefix, number, made[number % BODIES]), partition=number % partitions)
        sent = max(sent, due)
        producer.poll(0)
        if paced and sent < total:
            time.sleep(max(0.0, min(STEP_S, began_s + sent / load.rate - clock_s())))
    producer.flush(60)
    pipe.send(late_s)


def read(pipe: Any, places: dict[str, Any], topic: str, partitions: int, load: Load) -> None:
    """The process that reads: from the end of the topic on, until every event has its prediction; sends numbers and times."""
    settings = load_settings(None, {}, places)
    mine = {"group.id": "latency", "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "latest"}
    consumer = Consumer({**base_config(settings), **mine, "fetch.queue.backoff.ms": 5})
    consumer.list_topics(topic, 10)
    ends = [_end(consumer, TopicPartition(topic, number)) for number in range(partitions)]
    consumer.assign([TopicPartition(topic, number, end) for number, end in enumerate(ends)])
    pipe.send("ready")
    began_s, values, total = time.monotonic(), [], load.events
    times: list[tuple[float, int]] = []
    marker = f'"{load.name}-'.encode()
    until_s = began_s + load.seconds + load.warm_s + PATIENCE_S
    while len(values) < total and time.monotonic() < until_s:
        messages = consumer.consume(1, 0.1)
        messages += consumer.consume(READ_MAX, 0.0) if messages else []
        now_s = time.monotonic()
        values += [value for message in messages if message.error() is None and marker in (value := message.value() or b"")]
        times.append((now_s, len(values)))
    consumer.close()
    numbers, at_s, first = array("q"), array("d"), 0
    for now_s, count in times:
        for value in itertools.islice(values, first, count):
            numbers.append(int(json.loads(value)["id"].rpartition("-")[2]))
            at_s.append(now_s)
        first = count
    pipe.send((numbers.tobytes(), at_s.tobytes()))


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Of a partition; a client that has just connected may find no broker at first."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, 10)[1])
        except KafkaException:
            if time.monotonic() > until_s:
                raise


def offer(settings: Settings, source: str, predictions: str, partitions: int, load: Load) -> Offered:
    """Send a load to `source` and read what comes to `predictions`; both topics are there."""
    places = {"kafka_bootstrap_servers": settings.kafka_bootstrap_servers}
    context = multiprocessing.get_context("spawn")
    reading, theirs = context.Pipe()
    reader = context.Process(target=read, args=(theirs, places, predictions, partitions, load), daemon=True)
    sending, others = context.Pipe()
    reader.start()
    theirs.close()  # where the process ends before it has sent anything, that is an EOFError here
    assert reading.recv() == "ready"
    sender = context.Process(target=generate, args=(others, places, source, partitions, load), daemon=True)
    sender.start()
    others.close()
    assert sending.recv() == "ready"
    began_s = time.monotonic() + LEAD_S
    sending.send(began_s)
    late_s = sending.recv()
    raw_numbers, raw_times = reading.recv()
    for process in (sender, reader):
        process.join(30)
        process.kill()
    numbers, at_s = array("q", raw_numbers), array("d", raw_times)
    return counted(load, began_s, numbers, at_s, late_s)


def counted(load: Load, began_s: float, numbers: Sequence[int], at_s: Sequence[float], late_s: float) -> Offered:
    """Latencies from the intended times on, without those of the warm-up. Raises `SystemExit` where a prediction came twice."""
    if len(set(numbers)) != len(numbers):
        raise SystemExit(f"{load}: {len(numbers) - len(set(numbers))} predictions came twice")
    intended = functools.partial(_intended, load, began_s)
    paired = sorted((intended(number), when - intended(number)) for number, when in zip(numbers, at_s, strict=True))
    kept = [(sent, latency) for sent, latency in paired if sent >= began_s + load.warm_s]
    return Offered([sent for sent, _ in kept], [latency for _, latency in kept], load.events - len(numbers), late_s)


def _intended(load: Load, began_s: float, number: int) -> float:
    return began_s + number / load.rate
