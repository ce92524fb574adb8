"""One run of the quality benchmark: a policy, on a stream, in a process, through the lane that serves live.

Every policy goes through the same loop: the replay engine, in batches as the live driver takes them, and the CPU time of its steps
alone. Where a reaction needs the trainer, the replay engine trains from its window, and that is in the CPU time too. What a policy
replaced is told by its facts, or by the model itself if it stands in place of a reaction.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import time
from typing import Any, NamedTuple

from benchmarks import quality_measures as measures
from benchmarks.quality_models import Ledger
from benchmarks.quality_policies import Setting, champions, policies
from benchmarks.quality_streams import Drift, Pair, Stream
from stream_retrain import Pipeline
from stream_retrain.core.react.reactions import Race
from stream_retrain.engines.replay.replay import replay_events
from stream_retrain.facts.shard import DriftDetected, Rejected
from stream_retrain.facts.values import Event
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import Step


class Job(NamedTuple):
    """What to run. A policy is named, because it is made anew in the process that runs it."""

    stream: Stream
    seed: int
    champion: str
    policy: str
    events_max: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run gave."""

    stream: str
    task: str
    seed: int
    champion: str
    policy: str
    events: int
    drifts: tuple[Drift, ...] | None
    score: float | None
    """Accuracy in per cent, or R2."""
    after_drift: float | None
    kappa: float | None = None
    kappa_temporal: float | None = None
    mae: float | None = None
    delay: float | None = None
    noticed: int = 0
    false_alarms: int | None = None
    replacements: int = 0
    refused: int = 0
    """Events the model raised on."""
    cpu_s: float = 0.0
    curve: tuple[float | None, ...] = ()


class Trace:
    """What the outcomes of a run told, as columns."""

    def __init__(self) -> None:
        self.labels: list[Any] = []
        self.answers: list[Any] = []
        self.alarms: list[int] = []
        self.refused = 0
        self.generation = 0

    def take(self, lane: Lane, step: Step) -> None:
        self.generation = lane.shard.generation
        for row in step.learned:
            self.labels.append(row.y)
            self.answers.append(row.y_pred)
        for fact in step.facts:
            if isinstance(fact, DriftDetected):
                self.alarms.append(fact.offset)
            elif isinstance(fact, Rejected):
                self.refused += 1


@functools.lru_cache(maxsize=2)
def read(stream: Stream, seed: int, events_max: int | None) -> list[Pair]:
    """The stream's events, kept for the jobs that follow on it."""
    return stream.events(seed, events_max)


def run(job: Job) -> Result:
    """Carry out a job."""
    pairs = read(job.stream, job.seed, job.events_max)
    setting = Setting.of(job.stream.task, pairs)
    policy = next(policy for policy in policies(job.stream.task) if policy.name == job.policy)
    ledger = Ledger()
    pipeline = policy.pipeline(champions(job.stream.task)[job.champion](setting), setting, ledger)
    ledger.clear()  # of what the pipeline tried out when it was declared
    trace = Trace()
    cpu_s = prequential(pipeline, pairs, trace)
    alarms = trace.alarms if policy.react else ledger if policy.alarmed else None
    return result(job, pairs, trace, alarms=alarms, replacements=trace.generation if policy.react else len(ledger), cpu_s=cpu_s)


def prequential(pipeline: Pipeline, pairs: list[Pair], trace: Trace) -> float:
    """Give the shard every event, answered at once; return the CPU seconds it took, trainings included."""
    events = [Event(number, "", float(number), x, y) for number, (x, y) in enumerate(pairs)]
    if not needs_trainer(pipeline):
        pipeline = dataclasses.replace(pipeline, window_rows_max=0)  # a window nobody asks for is not paid for
    steps = replay_events(pipeline, events)
    cpu_s = 0.0
    gc.collect()
    gc.freeze()  # the events, so that a collection during the run costs the same however many there are
    try:
        while True:
            began = time.process_time()
            step = next(steps, None)
            cpu_s += time.process_time() - began
            if step is None:
                return cpu_s
            trace.take(*step)
    finally:
        gc.unfreeze()


def needs_trainer(pipeline: Pipeline) -> bool:
    """Whether a challenger learns from a window longer than what the shard itself keeps."""
    return any(each.by_trainer for rule in pipeline.react if isinstance(rule.do, Race) for each in rule.do.contestants())


def result(job: Job, pairs: list[Pair], trace: Trace, *, alarms: list[int] | None, replacements: int, cpu_s: float) -> Result:
    stream, labels, answers = job.stream, trace.labels, trace.answers
    regression = stream.task == "regression"
    drifts = stream.drifts_within(len(pairs))
    score = measures.r2 if regression else measures.accuracy
    found = measures.match(alarms, drifts) if alarms is not None else measures.Alarms(None, 0, None)
    return Result(
        stream=stream.name,
        task=stream.task,
        seed=job.seed,
        champion=job.champion,
        policy=job.policy,
        events=len(labels),
        drifts=drifts,
        score=score(labels, answers),
        after_drift=measures.after_drifts(score, labels, answers, drifts),
        kappa=None if regression else measures.kappa(labels, answers),
        kappa_temporal=None if regression else measures.kappa_temporal(labels, answers),
        mae=measures.mae(labels, answers) if regression else None,
        delay=found.delay,
        noticed=found.noticed,
        false_alarms=found.false,
        replacements=replacements,
        refused=trace.refused,
        cpu_s=cpu_s,
        curve=tuple(measures.curve(score, labels, answers)),
    )
