"""A pipeline file to begin with: Python text whose comments say what each part is for. `stream-retrain init` writes it.

What is written is loaded first, as a worker would load it, so that it passes `check` as it stands.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Final

from stream_retrain.backtesting.proposal import Proposal
from stream_retrain.core.pipeline import NAME, Pipeline
from stream_retrain.core.schema import Task
from stream_retrain.errors import PipelineError, SettingsError
from stream_retrain.loading import load_pipeline

__all__ = ["EXAMPLE_LABELS", "name_of", "starter_text", "tried", "without_sample"]

EXAMPLE_LABELS: Final[dict[Task, str]] = {"binary": "returned", "multiclass": "carrier", "regression": "days_to_deliver"}
EXAMPLE_SCHEMA: Final = """\
schema = Schema(
    id="order_id",
    time="placed_at",
    label="{label}",
    features={{
        "price": float,
        "items": int,
        "country": str | None,
    }},
)
"""

HEAD: Final = '''\
"""A pipeline: what to read, what to learn, what to watch, and how to react. It is yours to change."""

from stream_retrain import {names}
from stream_retrain.models import {model}

# What a record holds. A name is a path, too: "txn.amount" is the amount in txn.
#   id        Names the event. A record with features and no label is a question: it gets a prediction, and waits.
#             A record with the same id and the label is its answer: the model is scored by what it predicted then, and learns.
#   time      When it happened. Without it, the time that Kafka has of the record.
#   label     What is predicted. It may come with the features, or later, or never.
#   features  What the model may know when it predicts. `float | None` may be null or absent. Fields that are not named are passed over.
'''
BODY: Final = """
pipeline = Pipeline(
    # Predictions go to the topic {name}.predictions, drifts and what was done to {name}.decisions,
    # and records that do not fit to {name}.dead_letters.
    name="{name}",
    task="{task}",{tasks}
    # The topic that is read. Each of its partitions learns a model of its own: the key of a record decides who shares one.
    source="{source}",
    schema=schema,
    # The recommended model adapts to drift by itself. Any River {kind} will do.
    model={model}(),
    # A detector on a number worth watching. The loss {loss}.
    # The detector was chosen to be quiet, and fires when the loss gets worse.
    watch=[Watch("loss", detector_for("loss"))],
    # What to do when it fires. Ignore() does nothing but say so: a decision, a metric, a line in the log. For a model that
    # does not adapt by itself write On.drift("loss", Challenge()): new models race it, and the better one serves.
    react=[On.drift("loss", Ignore())],
)
"""


def name_of(file: Path) -> str:
    """The name of the pipeline in a file: the file's. Raises `SettingsError` where that is none."""
    name = re.sub(r"[^a-zA-Z0-9_-]+", "-", file.stem).strip("-")
    if file.suffix != ".py" or not NAME.fullmatch(name):
        raise SettingsError(f"{str(file)!r} cannot be the file of a pipeline: name it like orders.py")
    return name


def without_sample(task: Task) -> Proposal:
    """A schema of made-up orders, where there is no sample."""
    label = EXAMPLE_LABELS[task]
    return Proposal(EXAMPLE_SCHEMA.format(label=label), frozenset({"Schema"}), task, label, 3)


def starter_text(name: str, source: str, proposal: Proposal) -> str:
    """The file."""
    regression = proposal.task == "regression"
    model, kind = ("adaptive_regressor", "regressor") if regression else ("adaptive_classifier", "classifier")
    tasks = {"binary": "  # true or false", "multiclass": "  # one of several classes", "regression": "  # a number"}[proposal.task]
    loss = (
        "is the squared error" if regression else "is the log loss of the probabilities: it rises as soon as a model that was sure is wrong"
    )
    names = ", ".join(sorted(proposal.names | {"Ignore", "On", "Pipeline", "Watch", "detector_for"}))
    body = BODY.format(name=name, source=source, task=proposal.task, tasks=tasks, model=model, kind=kind, loss=loss)
    return HEAD.format(names=names, model=model) + proposal.schema + body


def tried(text: str, file: Path) -> Pipeline:
    """The pipeline of a text, loaded as from a file of that name. Raises `PipelineError` with its faults."""
    with tempfile.TemporaryDirectory(prefix="stream_retrain_") as folder:
        try:
            (place := Path(folder) / file.name).write_text(text)
            return load_pipeline(str(place))
        except PipelineError as error:
            raise PipelineError(error.faults, str(file)) from error
