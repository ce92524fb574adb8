"""One run of `benchmarks.members`: a model on a stream, each event predicted before its label is learned, which comes `delay` events later.

With labels at once, compiled models take blocks of events in one call as a worker has them do (`step_of`), and others are called event by
event. With later labels all are. CPU time is that of these calls alone.

What is scored are the events since the first label was learned, so that every model is scored on the same ones. An event without a
prediction, or at which the model raised, counts as wrong there.
"""

from __future__ import annotations

import functools
import gc
import pickle
import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from benchmarks import quality_measures as measures
from benchmarks.members_models import Model
from benchmarks.members_peers import run_peer
from benchmarks.quality_runs import read
from benchmarks.quality_streams import Pair, Stream
from stream_retrain.core.serve.predictor import predictor
from stream_retrain.core.serve.step import Looks, step_of
from stream_retrain.models.probabilities import last_step

__all__ = ["FIRST_EVENTS", "Answers", "Job", "figures", "key_of", "prequential", "run", "state_bytes"]

BLOCK: Final = 500
FIRST_EVENTS: Final = 500
SETTLED_EVENTS: Final = 200
"""R2 and MAE are from there on: before, nothing is known of the target's scale."""
NONE: Final = "no prediction"

Row = dict[str, Any]


class Job(NamedTuple):
    """What to run."""

    stream: Stream
    seed: int
    model: Model
    delay: int
    events_max: int


class Answers(NamedTuple):
    """What a model said of each event, and what it cost."""

    predictions: list[Any]
    of_label: list[float]
    """The probability of the label that came; of a regression nothing."""
    cpu_s: float
    state_bytes: int | None = None
    changes: int | None = None
    raised: int = 0
    notes: str = ""


def key_of(job: Job) -> Row:
    """What a row is known by."""
    model = job.model
    return {
        "stream": job.stream.name,
        "seed": job.seed,
        "model": model.name,
        "delay": job.delay,
        "events": job.events_max,
        "release": model.release,
        "task": model.task,
    }


def run(job: Job) -> Row:
    """Carry out a job; the row that is kept."""
    pairs = read(job.stream, job.seed, job.events_max)
    if job.model.peer:
        answers = Answers(**run_peer(job.model.name, job.stream.task, pairs, job.delay))
    else:
        strings = any(isinstance(value, str) for x, _ in pairs for value in x.values())
        answers = prequential(job.model.make(strings=strings), job.stream.task, pairs, job.delay)
    return key_of(job) | {"taken": len(pairs)} | figures(job.stream.task, [y for _, y in pairs], answers, job.delay)


def prequential(model: Any, task: str, pairs: Sequence[Pair], delay: int) -> Answers:
    """Test, then train, over the whole stream."""
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    predictions: list[Any] = []
    probabilities: list[Any] = []
    loop = _at_once if delay == 0 else functools.partial(_later, delay)
    gc.collect()
    gc.freeze()  # the events, so that a collection during the run costs the same however many there are
    try:
        cpu_s, raised = loop(model, task, xs, ys, predictions, probabilities)
    finally:
        gc.unfreeze()
    of_label: list[float] = []
    if task != "regression":
        of_label += [proba.get(y, 0.0) if isinstance(proba, dict) else 0.0 for proba, y in zip(probabilities, ys, strict=True)]
    changes = getattr(last_step(model), "changes", None)
    return Answers(predictions, of_label, cpu_s, state_bytes(model), changes, raised)


def state_bytes(model: Any) -> int | None:
    """Of a pickle; River's trees of numbers may be too deep for one where a feature rises all the time."""
    try:
        return len(pickle.dumps(model, 5))
    except RecursionError:
        return None


def _at_once(model: Any, task: str, xs: list[Any], ys: list[Any], predictions: list[Any], probabilities: list[Any]) -> tuple[float, int]:
    predict = predictor(model, task, proba=True)
    step = step_of(model, task, predict, proba=True, threshold=None)
    looks, at, raised, cpu_s = Looks(), 0, 0, 0.0
    while at < len(xs):
        block, labels = xs[at : at + BLOCK], ys[at : at + BLOCK]
        began = time.process_time()
        taken = step(block, labels, looks)
        cpu_s += time.process_time() - began
        predictions += taken.predictions
        probabilities += taken.of_classes
        at += len(taken.predictions)
        if taken.error is not None:
            predictions.append(None)
            probabilities.append(None)
            at, raised = at + 1, raised + 1
        elif taken.odd:  # the event after these is to be taken by itself
            began = time.process_time()
            y_pred, proba = predict(xs[at])
            model.learn_one(xs[at], ys[at])
            cpu_s += time.process_time() - began
            predictions.append(y_pred)
            probabilities.append(proba)
            at += 1
    return cpu_s, raised


def _later(
    delay: int, model: Any, task: str, xs: list[Any], ys: list[Any], predictions: list[Any], probabilities: list[Any]
) -> tuple[float, int]:
    predict, learn = predictor(model, task, proba=True), model.learn_one
    raised, cpu_s = 0, 0.0
    for first in range(0, len(xs), BLOCK):
        began = time.process_time()
        for at in range(first, min(first + BLOCK, len(xs))):
            try:
                y_pred, proba = predict(xs[at])
            except Exception:  # noqa: BLE001 - the model is foreign code
                y_pred, proba = None, None
                raised += 1
            predictions.append(y_pred)
            probabilities.append(proba)
            if at >= delay:
                try:
                    learn(xs[at - delay], ys[at - delay])
                except Exception:  # noqa: BLE001 - and so here
                    raised += 1
        cpu_s += time.process_time() - began
    return cpu_s, raised


def figures(task: str, ys: Sequence[Any], answers: Answers, delay: int) -> Row:
    """The columns of a row."""
    first = delay + 1
    costs: Row = {
        "us": round(answers.cpu_s / len(ys) * 1e6, 3),
        "state_bytes": answers.state_bytes,
        "changes": answers.changes,
        "raised": answers.raised,
        "notes": answers.notes,
    }
    if task == "regression":
        first += SETTLED_EVENTS
        labels = list(ys[first:])
        said = [0.0 if y_pred is None else float(y_pred) for y_pred in answers.predictions[first:]]
        return {"r2": _rounded(measures.r2(labels, said)), "mae": _rounded(measures.mae(labels, said)), **costs}
    labels = list(ys[first:])
    said = [NONE if y_pred is None else y_pred for y_pred in answers.predictions[first:]]
    return {
        "accuracy": _rounded(measures.accuracy(labels, said)),
        "log_loss": _rounded(measures.log_loss_bits(answers.of_label[first:])),
        "balanced": _rounded(measures.balanced_accuracy(labels, said)),
        "kappa": _rounded(measures.kappa(labels, said)),
        "first": _rounded(measures.accuracy(labels[:FIRST_EVENTS], said[:FIRST_EVENTS])),
        **costs,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
