"""The workers of `benchmarks.latency`: processes that tell when they did what, by the clock by which latencies are counted."""

from __future__ import annotations

import dataclasses
import logging
import multiprocessing
import time
from collections.abc import Callable
from typing import Any, Final

from river import drift, tree

from benchmarks.latency_load import FEATURES
from stream_retrain import Challenge, Ignore, On, Pipeline, Retrain, Schema, Watch, Window
from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.core.react.reactions import Evidence
from stream_retrain.facts.duel import DuelEnded, DuelStarted
from stream_retrain.facts.training import ChallengerJoined, TrainingRequested
from stream_retrain.facts.worker import Assigned, Checkpointed, Committed, Processed, Released, WorkerFact
from stream_retrain.models import adaptive_classifier
from stream_retrain.settings import load_settings

__all__ = ["MODELS", "PARTITIONS", "Case", "Happened", "Worker", "latency_pipeline"]

PARTITIONS: Final = 4
MODELS: Final[dict[str, Callable[[], Any]]] = {
    "adaptive_classifier": adaptive_classifier,
    "HoeffdingTree": tree.HoeffdingTreeClassifier,
}
JOINED_WITHIN_S: Final = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """How a worker is run."""

    name: str
    model: str = "adaptive_classifier"
    commit_interval_ms: int = 20
    reacts: str = ""
    """`duel` or `training`: begun every so many events."""
    every_events: int = 0
    checkpoint_interval_s: float = 60.0


@dataclasses.dataclass(slots=True)
class Happened:
    """What a worker did: spans of time by kind, seconds of its commits, and how far it was with which CPU time."""

    spans: dict[str, list[tuple[float, float]]] = dataclasses.field(default_factory=dict)
    commits_s: list[float] = dataclasses.field(default_factory=list)
    samples: list[tuple[float, int, float]] = dataclasses.field(default_factory=list)
    """Time, events, CPU time of the process, at each commit."""

    def cpu_us(self, from_s: float, to_s: float) -> float:
        """CPU time an event between two moments."""
        within = [each for each in self.samples if from_s <= each[0] <= to_s]
        if len(within) < 2 or within[-1][1] == within[0][1]:
            return float("nan")
        return (within[-1][2] - within[0][2]) * 1e6 / (within[-1][1] - within[0][1])


def latency_pipeline(case: Case) -> Pipeline:
    """Everything on; a drift is decided on and changes nothing, so that each case has one model to pay."""
    react = [On.drift("error", Ignore())]
    if case.reacts == "duel":
        react.append(On.every(events=case.every_events, do=Challenge(evidence=Evidence(events_max=case.every_events // 2))))
    elif case.reacts == "training":
        react.append(On.every(events=case.every_events, do=Retrain(window=Window(rows=5_000))))
    return Pipeline(
        name=case.name,
        task="binary",
        source=f"{case.name}.events",
        schema=Schema(id="id", label="y", features={f"f{number}": float for number in range(FEATURES)}),
        model=MODELS[case.model](),
        watch=[Watch("error", drift.ADWIN())],
        react=react,
    )


class Notes:
    """Folds a worker's facts into what happened."""

    def __init__(self, held: Any) -> None:
        self.happened = Happened()
        self._held = held
        self._events = 0
        self._open: dict[tuple[str, Any], float] = {}

    def __call__(self, fact: WorkerFact) -> None:
        now_s = time.monotonic()
        match fact:
            case Processed():
                self._events += fact.records
                for each in fact.facts:
                    self._raced(each, fact.shard, now_s)
            case Committed():
                self.happened.commits_s.append(fact.seconds)
                self.happened.samples.append((now_s, self._events, time.process_time()))
            case Checkpointed():
                self._add("checkpoint", now_s - fact.seconds, now_s)
            case Assigned():
                self._held.value += 1
                self._add("assigned", now_s, now_s)
            case Released():
                self._held.value -= 1
                self._add("released", now_s, now_s)

    def _raced(self, fact: Any, shard: Any, now_s: float) -> None:
        match fact:
            case DuelStarted():
                self._open["duel", shard] = now_s
            case DuelEnded() if ("duel", shard) in self._open:
                self._add("duel", self._open.pop(("duel", shard)), now_s)
            case TrainingRequested():
                self._open["training", shard] = now_s
            case ChallengerJoined() if ("training", shard) in self._open:
                self._add("training", self._open.pop(("training", shard)), now_s)

    def _add(self, kind: str, from_s: float, to_s: float) -> None:
        self.happened.spans.setdefault(kind, []).append((from_s, to_s))


def _work(case: Case, places: dict[str, Any], number: int, held: Any, ended: Any, pipe: Any) -> None:
    logging.disable(logging.WARNING)
    notes = Notes(held)
    given = {"http": False, "log_level": "error", "instance": f"w{number}", "static_membership": False}
    given |= {"trainer": "process" if case.reacts == "training" else "off", "checkpoint_interval_s": case.checkpoint_interval_s}
    settings = load_settings(None, {}, places | given | {"commit_interval_ms": case.commit_interval_ms})
    run_pipeline(latency_pipeline(case), settings, Keyring.unsigned(), ended.is_set, watching=notes)
    pipe.send(notes.happened)


class Worker:
    """A worker in a process of its own. Protocol of use: made, `wait_for` its partitions, `stop`."""

    def __init__(self, case: Case, places: dict[str, Any], number: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._ended, self._held, (self._ours, theirs) = context.Event(), context.Value("i", 0), context.Pipe()
        self._process = context.Process(target=_work, args=(case, places, number, self._held, self._ended, theirs))
        self._process.start()

    def wait_for(self, partitions: int) -> None:
        """Return when it has so many partitions. Raises `SystemExit` where it does not get them."""
        until_s = time.monotonic() + JOINED_WITHIN_S
        while self._held.value != partitions:
            if time.monotonic() > until_s or not self._process.is_alive():
                raise SystemExit(f"a worker did not come to its {partitions} partitions")
            time.sleep(0.02)

    def stop(self) -> Happened:
        """Have it leave, and what happened in it."""
        self._ended.set()
        happened = self._ours.recv() if self._ours.poll(JOINED_WITHIN_S) else Happened()
        self._process.join(30)
        self._process.kill()
        return happened
