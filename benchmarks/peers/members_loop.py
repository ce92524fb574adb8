"""What a peer of `benchmarks.members` is given, and its loop: predict, then learn the label that is due. Standard library alone.

The job is a file of JSON: features, each with its values if it is a category; labels, unless they are numbers; rows, in which a category
is the place of its value, a label the place of its class, and a missing value null. What the peer said goes to another such file.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

__all__ = ["MemberJob", "member_job", "tell"]

BLOCK: Final = 500


class MemberJob(NamedTuple):
    """The job."""

    model: str
    delay: int
    features: list[tuple[str, list[str] | None]]
    labels: list[str] | None
    x: list[list[Any]]
    y: list[Any]
    answers: str


def member_job() -> MemberJob:
    """What the peer was started with."""
    return MemberJob(**json.loads(Path(sys.argv[1]).read_text()))


def tell(job: MemberJob, made: Callable[[list[Any], Any], Any], predict: Callable[[Any], Any], learn: Callable[[Any], None]) -> NoReturn:
    """Run the loop and write what came of it.

    `made` makes of a row and its label what the library takes, `predict` gives the class or number and the probabilities by class.
    All three are timed: an application has its events in no library's form.
    """
    waiting: deque[Any] = deque()
    predictions: list[Any] = []
    of_label: list[float] = []
    cpu_s = 0.0
    gc.collect()
    gc.freeze()
    for first in range(0, len(job.x), BLOCK):
        said = []
        rows, labels = job.x[first : first + BLOCK], job.y[first : first + BLOCK]
        began = time.process_time()
        for x, y in zip(rows, labels, strict=True):
            event = made(x, y)
            said.append(predict(event))
            waiting.append(event)
            if len(waiting) > job.delay:
                learn(waiting.popleft())
        cpu_s += time.process_time() - began
        predictions += [y_pred for y_pred, _ in said]
        if job.labels is not None:
            of_label += [float(proba[y]) if proba else 0.0 for (_, proba), y in zip(said, labels, strict=True)]
    Path(job.answers).write_text(json.dumps({"predictions": predictions, "of_label": of_label, "cpu_s": cpu_s}))
    os._exit(0)  # a JVM's threads may go on
