"""Workers of one group over one topic, and what they do while all of them have their share: the cases of `benchmarks.scale`.

A case joins its workers to a group on an empty topic, waits until each has its partitions, stops them with SIGSTOP while the events are
published, lets them go on, and looks at what they commit from then on. So neither joining nor publishing is in a figure. Events are
counted over the time in which every worker has some left.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import multiprocessing
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

import psutil
from confluent_kafka import Producer
from river import drift, forest, linear_model, preprocessing, tree

from stream_retrain import Ignore, On, Pipeline, Schema, Watch
from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.facts.worker import Assigned, Committed, Processed, Released, WorkerFact
from stream_retrain.models import adaptive_classifier
from stream_retrain.settings import Settings, load_settings

__all__ = ["MODELS", "Case", "Measured", "TooShortError", "burst", "measure", "rows"]

MODELS: Final[dict[str, Callable[[], Any]]] = {
    "light": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "tree": tree.HoeffdingTreeClassifier,
    "adaptive": adaptive_classifier,
    "forest": lambda: forest.ARFClassifier(n_models=10, seed=1),
}
"""The lightest of use, one tree, the recommended mixture, and one beside which nothing else matters."""
BALANCED_WITHIN_S: Final = 90.0
SETTLED_S: Final = 0.3
MEASURED_S_MIN: Final = 1.0


class TooShortError(Exception):
    """There is nothing to say of a case: it is left out, and run again later."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured, and for how long at most."""

    model: str
    features: int = 8
    partitions: int = 8
    workers: int = 1
    commit_events_max: int = 5_000
    events: int = 60_000
    seconds: float = 5.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What all workers of a case did in the time in which each had something to do."""

    model: str
    features: int
    partitions: int
    workers: int
    commit_events_max: int
    events: int
    seconds: float
    events_per_s: float
    cores: float
    """CPU time of the workers' processes a second: what the machine gave them."""
    cpu_us: float
    """Of the workers' processes, an event."""
    broker_cpu_us: float
    transactions: int
    events_per_transaction: float


def rows(features: int, count: int) -> list[bytes]:
    """Records with a boundary that does not move; made of few random numbers, because they must not take longer to make than to learn."""
    rng = random.Random(features)
    cycle = [[rng.gauss(0, 1) for _ in range(features)] for _ in range(997)]
    made = []
    for number in range(count):
        x = cycle[number % 997]
        row: dict[str, Any] = {"id": f"e{number}", "y": sum(x[:3]) + rng.gauss(0, 0.5) > 0}
        row.update({f"f{at}": value for at, value in enumerate(x)})
        made.append(json.dumps(row).encode())
    return made


def pipeline_of(name: str, case: Case) -> Pipeline:
    """Everything on; a drift is decided on and changes nothing, so that each case has one model to pay."""
    return Pipeline(
        name=name,
        task="binary",
        source=f"{name}.events",
        schema=Schema(id="id", label="y", features={f"f{number}": float for number in range(case.features)}),
        model=MODELS[case.model](),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Ignore())],
    )


def _work(name: str, case: Case, places: dict[str, Any], number: int, held: Any, ended: Any, pipe: Any, done: Any = None) -> None:
    """One worker; `held` shows how many partitions it has. Sends its samples: time, events, transactions, CPU time."""
    logging.disable(logging.WARNING)
    settings = load_settings(
        None,
        {},
        {**places, "http": False, "log_level": "error", "trainer": "off", "instance": f"w{number}", "session_timeout_ms": 45_000}
        | {"commit_events_max": case.commit_events_max, "poll_records_max": 50 if case.model == "forest" else 500},
    )
    samples: list[tuple[float, int, int, float]] = []
    events = transactions = 0

    def watch(fact: WorkerFact) -> None:
        nonlocal events, transactions
        if isinstance(fact, Assigned):
            held.value += 1
        elif isinstance(fact, Released):
            held.value -= 1
        elif isinstance(fact, Processed):
            events += fact.records
            if done is not None:
                done.value = events
        elif isinstance(fact, Committed):
            transactions += 1
            samples.append((time.monotonic(), events, transactions, time.process_time()))

    run_pipeline(pipeline_of(name, case), settings, Keyring.unsigned(), ended.is_set, watching=watch)
    pipe.send(samples)


def measure(case: Case, settings: Settings, values: Sequence[bytes]) -> Measured:
    """Run a case; `values` are its records, dealt to the partitions in turn."""
    name = f"scale-{uuid.uuid4().hex[:8]}"
    create_topic(settings, f"{name}.events", case.partitions, {"retention.ms": "-1"})
    places = {"kafka_bootstrap_servers": settings.kafka_bootstrap_servers, "redis_url": settings.redis_url}
    context = multiprocessing.get_context("spawn")
    ended, workers = context.Event(), []
    for number in range(case.workers):
        held, (ours, theirs) = context.Value("i", 0), context.Pipe()
        process = context.Process(target=_work, args=(name, case, places, number, held, ended, theirs))
        process.start()
        workers.append((process, held, ours))
    try:
        _until(lambda: _balanced([held.value for _, held, _ in workers], case))
        for process, *_ in workers:
            os.kill(process.pid or 0, signal.SIGSTOP)
        _publish(settings, f"{name}.events", case.partitions, values)
        began_s = time.monotonic()
        broker_s = _broker_cpu_s()
        for process, *_ in workers:
            os.kill(process.pid or 0, signal.SIGCONT)
        time.sleep(case.seconds)
        broker_s, waited_s = _broker_cpu_s() - broker_s, time.monotonic() - began_s
    finally:
        for process, *_ in workers:
            os.kill(process.pid or 0, signal.SIGCONT)
        ended.set()
        samples = [ours.recv() if ours.poll(60) else [] for *_, ours in workers]
        for process, *_ in workers:
            process.join(30)
            process.kill()
    return _figures(case, samples, began_s, began_s + waited_s, broker_s)


def burst(settings: Settings, *, model: str = "adaptive", events: int = 12_000, rate: float = 600.0) -> dict[str, float]:
    """One worker at a steady rate, and then `events` at once: until nothing waits any more, and how fast it worked meanwhile."""
    case, name = Case(model=model, partitions=4, events=events), f"scale-{uuid.uuid4().hex[:8]}"
    create_topic(settings, f"{name}.events", case.partitions, {"retention.ms": "-1"})
    places = {"kafka_bootstrap_servers": settings.kafka_bootstrap_servers, "redis_url": settings.redis_url}
    context = multiprocessing.get_context("spawn")
    ended, held, done, (ours, theirs) = context.Event(), context.Value("i", 0), context.Value("q", 0), context.Pipe()
    process = context.Process(target=_work, args=(name, case, places, 0, held, ended, theirs, done))
    process.start()
    values = rows(case.features, events)
    producer = Producer({"linger.ms": 5, "compression.type": "lz4", **base_config(settings)})
    sent, began_s = 0, time.monotonic()

    def steady(until: Callable[[], bool]) -> None:
        nonlocal sent
        began, first = time.monotonic(), sent
        while not until():
            for _ in range(int((time.monotonic() - began) * rate) - (sent - first)):
                producer.produce(f"{name}.events", values[sent % events], partition=sent % case.partitions)
                sent += 1
            producer.poll(0)
            time.sleep(0.005)

    try:
        _until(lambda: held.value == case.partitions)
        began_s = time.monotonic()
        steady(lambda: time.monotonic() - began_s > 3.0)
        for number in range(events):
            producer.produce(f"{name}.events", values[number], partition=number % case.partitions)
        producer.flush(60)
        had, burst_s, sent_before, waiting = done.value, time.monotonic(), sent, sent + events - done.value
        steady(lambda: done.value >= sent + events - rate * 0.25 or time.monotonic() - burst_s > 120)
        took_s = time.monotonic() - burst_s
    finally:
        ended.set()
        ours.recv() if ours.poll(60) else None
        process.join(30)
        process.kill()
    learned, came = done.value - had, sent - sent_before
    return {
        "waiting": waiting,
        "rate_per_s": round(came / took_s, 1),
        "worked_per_s": round(learned / took_s, 1),
        "recovered_s": round(took_s, 2),
    }


def _figures(case: Case, samples: list[list[tuple[float, int, int, float]]], began_s: float, until_s: float, broker_s: float) -> Measured:
    """Over the time from when each has committed something to when the first has nothing left, or the case is over."""
    after = [[each for each in those if began_s < each[0]] for those in samples]
    if not all(after):
        raise TooShortError(f"{case}: a worker did nothing in all the time: the machine is too busy")
    first_s = max(those[0][0] for those in after) + SETTLED_S
    last_s = min([until_s, *(those[-1][0] for those in after)])
    events = transactions = 0.0
    cpu_s = 0.0
    seconds = last_s - first_s
    if seconds < MEASURED_S_MIN:
        raise TooShortError(f"{case}: {seconds:.1f} s, in which each worker had something to do: too few events, or too busy a machine")
    for those in after:
        (e0, t0, c0), (e1, t1, c1) = (_at(those, at_s) for at_s in (first_s, last_s))
        events, transactions, cpu_s = events + e1 - e0, transactions + t1 - t0, cpu_s + c1 - c0
    all_events = sum(_at(those, until_s)[0] - _at(those, began_s)[0] for those in after)
    return Measured(
        model=case.model,
        features=case.features,
        partitions=case.partitions,
        workers=case.workers,
        commit_events_max=case.commit_events_max,
        events=round(events),
        seconds=round(seconds, 2),
        events_per_s=round(events / seconds, 1),
        cores=round(cpu_s / seconds, 3),
        cpu_us=round(cpu_s * 1e6 / events, 2),
        broker_cpu_us=round(broker_s * 1e6 / max(1.0, all_events), 2),
        transactions=round(transactions),
        events_per_transaction=round(events / max(1.0, transactions), 1),
    )


def _at(samples: list[tuple[float, int, int, float]], at_s: float) -> tuple[float, float, float]:
    """Events, transactions and CPU time at a moment, between two samples in proportion."""
    if at_s <= samples[0][0]:
        return samples[0][1], samples[0][2], samples[0][3]
    for before, after in itertools.pairwise(samples):
        if before[0] <= at_s <= after[0]:
            part = (at_s - before[0]) / max(1e-9, after[0] - before[0])
            events, transactions, cpu_s = (one + (other - one) * part for one, other in zip(before[1:], after[1:], strict=True))
            return events, transactions, cpu_s
    return samples[-1][1], samples[-1][2], samples[-1][3]


def _balanced(held: list[int], case: Case) -> bool:
    return sum(held) == case.partitions and max(held) - min(held) <= 1


def _publish(settings: Settings, topic: str, partitions: int, values: Sequence[bytes]) -> None:
    config = {"linger.ms": 20, "compression.type": "lz4", "enable.idempotence": True, "queue.buffering.max.messages": 2_000_000}
    producer = Producer({**config, **base_config(settings)})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % partitions)
        if number % 10_000 == 0:
            producer.poll(0)
    assert producer.flush(120) == 0


def _broker_cpu_s() -> float:
    """CPU time of the brokers that this process has started."""
    found = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            if "java" in process.name():
                times = process.cpu_times()
                found += times.user + times.system
        except psutil.NoSuchProcess:
            continue
    return found


def _until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + BALANCED_WITHIN_S
    while not holds():
        if time.monotonic() > until_s:
            raise SystemExit("the workers did not come to their shares")
        time.sleep(0.1)
    time.sleep(1.0)  # and stay there: the second rebalance of a cooperative group comes at once, if it comes
    if not holds():
        _until(holds)
