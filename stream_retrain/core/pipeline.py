"""The declared value a user writes: what to read, what to learn, what to watch, how to react, within which limits.

A pipeline is checked when it is made, and refused with every fault listed: wrong fields, detectors that do not fit their
signal, rules nothing can trigger, a model that cannot learn an event of the schema, that cannot be pickled, or whose
randomness has no seed (its state would not be a function of the log).
"""

from __future__ import annotations

import dataclasses
import pickle
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from river import base

from stream_retrain.core.digest import digest
from stream_retrain.core.react.combinations import Trigger, leaves
from stream_retrain.core.react.policy import PolicySpec
from stream_retrain.core.react.reactions import Race
from stream_retrain.core.react.rules import On
from stream_retrain.core.react.thresholds import Threshold, metric_named
from stream_retrain.core.react.triggers import Declared
from stream_retrain.core.schema import TASKS, Schema, Task
from stream_retrain.core.scores import ScoreSpec, default_metrics, needs_proba
from stream_retrain.core.watch.watch import Watch
from stream_retrain.errors import PipelineError
from stream_retrain.facts.values import Features

__all__ = ["Pipeline"]

# A name is part of topic names, Redis keys and metric labels.
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}")
TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
TRIAL_VALUES: Final[dict[type, tuple[Any, Any]]] = {float: (0.5, 1.5), int: (1, 2), str: ("a", "b"), bool: (False, True)}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pipeline:
    """A model kept right on a topic.

    model
        A River classifier or regressor; a fresh copy of it serves each shard, so the object itself never learns.
    watch, react
        Detectors on signals, and the rules that say what to do when one fires.
    metrics
        River metrics to score by, running and over the last `rolling_events`; empty: accuracy, or MAE and R2.
    window_rows_max, window_age_max_s
        What the window of labelled events keeps, by rows and by event time; 0 rows: no window.
    pending_rows_max, pending_age_max_s
        Questions that may wait for their labels, and for how long in event time; the oldest expire, counted.

    Raises `PipelineError` with every fault.
    """

    name: str
    task: Task
    source: str
    schema: Schema
    model: Any
    watch: Sequence[Watch] = ()
    react: Sequence[On] = ()
    metrics: Sequence[Any] = ()
    rolling_events: int = 1_000
    window_rows_max: int = 10_000
    window_age_max_s: float | None = None
    pending_rows_max: int = 100_000
    pending_age_max_s: float | None = None

    def __post_init__(self) -> None:
        faults = list(_faults(self))
        if faults:
            raise PipelineError(faults, f"pipeline {self.name!r}")

    @property
    def scores(self) -> ScoreSpec:
        """What it is scored by."""
        return ScoreSpec(tuple(self.metrics) or default_metrics(self.task), self.rolling_events)

    @property
    def policy(self) -> PolicySpec:
        """Its rules."""
        return PolicySpec(tuple(self.react))

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The triggers of its rules, combinations taken apart."""
        return tuple(each for rule in self.react for each in leaves(rule.trigger))

    @property
    def needs_proba(self) -> bool:
        """Whether a metric or a signal is of probabilities."""
        signals = {watch.signal for watch in self.watch}
        measured = [*self.scores.metrics, *(metric_named(each.metric) for each in self.triggers if isinstance(each, Threshold))]
        return self.task != "regression" and (bool(signals & {"loss", "rank", "prediction"}) or any(map(needs_proba, measured)))

    def digest(self) -> str:
        """A digest of everything that makes a shard what it is; two pipelines with the same one learn the same from a log."""
        return digest({field.name: getattr(self, field.name) for field in dataclasses.fields(self)})

    def parts(self) -> dict[str, str]:
        """What a saved state depends on, part by part: a digest, or for a limit its value. A state carries them, so that a later pipeline
        can tell which parts of it still fit (`lane.change`)."""
        limits = ("rolling_events", "window_rows_max", "window_age_max_s", "pending_rows_max", "pending_age_max_s")
        return {
            "task": self.task,
            "schema": digest(self.schema),
            "model": digest(self.model),
            **{f"metric {type(metric).__name__}": digest(metric) for metric in self.scores.metrics},
            **{f"watch {watch.signal} {watch.detector_name}": digest(watch) for watch in self.watch},
            **{f"rule {index} {rule.trigger}": digest(rule) for index, rule in enumerate(self.react)},
            **{name: str(getattr(self, name)) for name in limits},
        }


def _faults(pipeline: Pipeline) -> Iterator[str]:
    if not isinstance(pipeline.name, str) or not NAME.fullmatch(pipeline.name):
        yield f"name {pipeline.name!r}: use letters, digits, - and _, at most 100, a letter or digit first"
    if not isinstance(pipeline.source, str) or not TOPIC.fullmatch(pipeline.source):
        yield f"source {pipeline.source!r} is not a topic name: use letters, digits, '.', '_' and '-'"
    if pipeline.task not in TASKS:
        yield f"task {pipeline.task!r}: use one of {', '.join(TASKS)}"
    yield from _limit_faults(pipeline)
    if not isinstance(pipeline.schema, Schema):
        yield f"schema must be a Schema, not {pipeline.schema!r}"
        return
    if pipeline.task not in TASKS:
        return
    schema_faults = list(pipeline.schema.faults(pipeline.task))
    yield from schema_faults
    model_faults = list(_model_faults("model", pipeline.model, pipeline.task)) or list(_seed_faults("model", pipeline.model))
    yield from model_faults
    yield from _rule_faults(pipeline)
    if not model_faults:
        yield from pipeline.scores.faults(pipeline.task, pipeline.model)
        if not schema_faults:
            yield from _trial_faults(pipeline)


def _limit_faults(pipeline: Pipeline) -> Iterator[str]:
    for name, least in (("window_rows_max", 0), ("pending_rows_max", 1)):
        value = getattr(pipeline, name)
        if not isinstance(value, int) or value < least:
            yield f"{name} is {value!r}; use a whole number of at least {least}"
    for name in ("window_age_max_s", "pending_age_max_s"):
        value = getattr(pipeline, name)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            yield f"{name} is {value!r}; use seconds above 0, or None for no limit by age"


def _model_faults(where: str, model: Any, task: Task) -> Iterator[str]:
    wanted = base.Regressor if task == "regression" else base.Classifier
    if not isinstance(model, wanted):
        yield f"{where}: a {task} task needs a River {wanted.__name__.lower()}, not {type(model).__name__}"
    elif task == "multiclass" and not model._multiclass:
        yield f"{where}: {model} knows two classes only; wrap it in river.multiclass.OneVsRestClassifier"


def _rule_faults(pipeline: Pipeline) -> Iterator[str]:
    watches = [watch for watch in pipeline.watch if isinstance(watch, Watch)]
    for other in pipeline.watch:
        if not isinstance(other, Watch):
            yield f"watch: {other!r} is not a Watch"
    for watch in watches:
        yield from watch.faults(pipeline.task, pipeline.schema)
        yield from _seed_faults(f"watch {watch.signal!r}", watch.detector)
    pairs = [(watch.signal, watch.detector_name) for watch in watches]
    for pair in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        yield f"watch {pair[0]!r}: two watches with {pair[1]}; each signal and detector once"
    for rule in pipeline.react:
        if isinstance(rule, On):
            yield from rule.faults(Declared([watch.signal for watch in watches], pipeline.task))
            yield from _challenger_faults(rule, pipeline.task)
        else:
            yield f"react: {rule!r} is not a rule; write On.drift(signal, reaction)"


def _challenger_faults(rule: On, task: Task) -> Iterator[str]:
    """What is wrong with the models of other families that a rule lets race."""
    for challenger in rule.do.contestants() if isinstance(rule.do, Race) else ():
        if challenger.model is not None and not isinstance(challenger.model, str):
            where = f"react {rule.trigger}: challenger {challenger.name!r}"
            yield from list(_model_faults(where, challenger.model, task)) or _seed_faults(where, challenger.model)


def _seed_faults(where: str, estimator: Any) -> Iterator[str]:
    """Randomness without a seed, in an estimator or in one inside it."""
    if not isinstance(estimator, base.Base):
        return
    for name, value in _parameters(estimator):
        if name == "seed" and value is None:
            yield f"{where}: {type(estimator).__name__} has no seed, so it could not be restored or replayed to the same; give seed=1"
        yield from _seed_faults(where, value)


def _parameters(estimator: Any) -> Iterator[tuple[str, Any]]:
    if hasattr(estimator, "steps"):
        yield from estimator.steps.items()
    for name in estimator._get_params():
        value = getattr(estimator, name, 0)
        if isinstance(value, list | tuple):
            yield from ((name, item) for item in value)
        else:
            yield name, value


def _trial_faults(pipeline: Pipeline) -> Iterator[str]:
    """Let a copy of the model learn two made-up events of the schema, and pickle it."""
    model = pipeline.model.clone()
    for which, label in enumerate(_trial_labels(pipeline)):
        try:
            model.predict_one(_trial_event(pipeline.schema, which))
            model.learn_one(_trial_event(pipeline.schema, which), label)
        except Exception as error:  # noqa: BLE001 - the model is foreign code: what it raises is what its author must read
            yield f"model: {pipeline.model} cannot learn an event of the schema: {type(error).__name__}: {error}"
            return
    try:
        pickle.dumps(model)
    except Exception as error:  # noqa: BLE001 - pickling runs the model's code
        yield f"model: {pipeline.model} cannot be saved: {error} (no lambdas: define functions at the top of a module)"


def _trial_event(schema: Schema, which: int) -> Features:
    return {name: TRIAL_VALUES[schema.feature_type(name) or float][which] for name in schema.features}


def _trial_labels(pipeline: Pipeline) -> tuple[Any, Any]:
    match pipeline.task:
        case "binary":
            return (False, True)
        case "regression":
            return (0.0, 1.0)
        case _:
            classes = pipeline.schema.classes or ("a", "b")
            return (classes[0], classes[-1])
