"""The declared value a user writes: what to read, what to learn, what to watch, how to react, within which limits.

A pipeline is checked when it is made, and refused with every fault listed: wrong fields, detectors that do not fit their
signal, rules nothing can trigger, randomness that has no seed (its state would not be a function of the log). What passes is tried as it
will be used (`core.trial`). A worker also writes and opens what the trial made (`codec.trial`).
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stream_retrain.core.callbacks import Callbacks, Integration, Webhook, handler_faults
from stream_retrain.core.contest.challenger import Challenger
from stream_retrain.core.digest import digest
from stream_retrain.core.inside import fills_nulls
from stream_retrain.core.labels import Labels
from stream_retrain.core.limits import header_faults, limit_faults, output_faults
from stream_retrain.core.model_faults import model_faults, seed_faults
from stream_retrain.core.react.combinations import Trigger, leaves
from stream_retrain.core.react.cron import Cron
from stream_retrain.core.react.policy import PolicySpec
from stream_retrain.core.react.reactions import Race, race_faults
from stream_retrain.core.react.rules import On
from stream_retrain.core.react.thresholds import Threshold, metric_named
from stream_retrain.core.react.triggers import Caution, Request
from stream_retrain.core.react.triggers import Declared as Beside
from stream_retrain.core.schema import TASKS, Schema, Task
from stream_retrain.core.schema_faults import schema_faults
from stream_retrain.core.scores import ScoreSpec, default_metrics, each_metric, metric_faults, needs_proba
from stream_retrain.core.trial import Candidate, Declared, Trial
from stream_retrain.core.watch.watch import RANK, Watch
from stream_retrain.core.wire import Schemas
from stream_retrain.errors import PipelineError

__all__ = ["Pipeline"]

# A name is part of topic names, Redis keys and metric labels.
NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}")
CARRIED: Final = ("traceparent", "tracestate")
PLAIN_LABELS: Final = Labels()
LATER: Final = {
    "carry_headers": CARRIED,
    "labels": PLAIN_LABELS,
    "probabilities": False,
    **dict.fromkeys(("threshold", "rejects_share_max", "start")),
    "rejects_over_records": 1_000,
}
"""Fields that are younger than digests, and their defaults: pipelines that say nothing of them keep the digest that they had."""
TOLD: Final[Mapping[str, Any]] = {"callbacks": None, "webhooks": (), "integrations": ()}
"""Fields of those who are told of decisions: no part of a digest, nor of a pickle, which has these values in their place."""
TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
OF_PROBA: Final = ("probabilities", "threshold")
"""What of the outputs is made of a classifier's probabilities."""
MODEL_DIGEST_CHARS: Final = 8


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pipeline:
    """A model kept right on a topic.

    model
        A River classifier or regressor; a fresh copy of it serves each shard, so the object itself never learns.
    watch, react
        Detectors on signals, and the rules that say what to do when one fires.
    metrics
        River metrics to score by, running and over the last `rolling_events`; empty: accuracy, or MAE and R2. A sum of metrics is each of
        them. If the first one is of labels, such as F1, no duel promotes a model that is worse by it (`Evidence.metric_margin`).
    window_rows_max, window_age_max_s
        What the window of labelled events keeps, by rows and by event time; 0 rows: no window.
    pending_rows_max, pending_age_max_s
        Questions that may wait for their labels, and for how long in event time; the oldest expire, counted.
    pending_bytes_max
        About how much memory they may take, by their number, features and texts; the oldest expire, counted.
    probabilities
        Predictions of a classifier have the probability of each class.
    threshold
        Of a binary task: the prediction is True from this probability on, and not from one half. It is what is scored, too.
    rejects_share_max, rejects_over_records
        If so large a share of the last records was refused, a worker takes no more of that partition until it is told to
        (`stream-retrain resume`). None, as here: it goes on, since what is refused is kept, and can be sent back.
    time_ahead_max_s
        How far an event time may be ahead of the timestamp of its record; beyond it the record is refused. None: any date of the calendar.
    carry_headers
        Headers of a record that its prediction and the decisions at it have too: those of a trace, unless told otherwise.
    labels
        What becomes of labels that come before their question, or twice; and the topic they come from, where it is one of their own.
    classes_max
        Classes a multiclass task may have where the schema does not name them; a record with one more is refused.
    callbacks, webhooks, integrations
        Who is told of decisions, by `stream-retrain callbacks`. Two pipelines that differ only in these are the same.
    start
        The trained model that a new shard begins with: a file of `stream-retrain train` or `models export`, or `import-...`.

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
    pending_bytes_max: int = 64_000_000
    probabilities: bool = False
    threshold: float | None = None
    rejects_share_max: float | None = None
    rejects_over_records: int = 1_000
    time_ahead_max_s: float | None = 86_400.0
    classes_max: int = 1_000
    carry_headers: Sequence[str] = CARRIED
    labels: Labels = PLAIN_LABELS
    start: str | None = None
    callbacks: Callbacks | None = None
    webhooks: Sequence[Webhook] = ()
    integrations: Sequence[Integration] = ()

    def __getstate__(self) -> list[Any]:
        fields = (field.name for field in dataclasses.fields(self))
        return [TOLD[name] if name in TOLD else getattr(self, name) for name in fields]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", _schema_for(self))
        faults = list(_faults(self))
        if faults:
            raise PipelineError(faults, f"pipeline {self.name!r}")

    @property
    def scores(self) -> ScoreSpec:
        """What it is scored by."""
        return ScoreSpec(tuple(each_metric(self.metrics)) or default_metrics(self.task), self.rolling_events)

    @property
    def metric_of_labels(self) -> Any:
        """The first metric that was declared, if a classifier's labels are what it is of; else None."""
        first = next(each_metric(self.metrics), None)
        return None if first is None or self.task == "regression" or needs_proba(first) else first

    @property
    def policy(self) -> PolicySpec:
        """Its rules."""
        return PolicySpec(tuple(self.react))

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """The triggers of its rules, combinations taken apart."""
        return tuple(each for rule in self.react if isinstance(rule, On) for each in leaves(rule.trigger))

    @property
    def trains(self) -> bool:
        """Whether a rule asks the trainer for a challenger."""
        return any(challenger.by_trainer for challenger in self._challengers())

    @property
    def trains_on_topic(self) -> bool:
        """Whether a challenger learns a range of a topic."""
        return any(challenger.window is not None and challenger.window.topic is not None for challenger in self._challengers())

    @property
    def takes_inputs(self) -> bool:
        """Whether its rules have something reach its shards from outside their logs: challengers of the trainer, or requests to them."""
        return self.trains or any(isinstance(each, Request | Cron) for each in self.triggers)

    @property
    def needs_proba(self) -> bool:
        """Whether a metric or a signal is of probabilities."""
        return bool(self.proba_for)

    @property
    def proba_for(self) -> tuple[str, ...]:
        """The metrics and signals that are of a classifier's probabilities, as faults name them."""
        if self.task == "regression":
            return ()
        measured = [*self.scores.metrics, *(metric_named(each.metric) for each in self.triggers if isinstance(each, Threshold))]
        names = [f"metric {type(metric).__name__}" for metric in measured if needs_proba(metric)]
        names += [f"watch {watch.signal!r}" for watch in _watches(self) if watch.signal in ("loss", "rank", "prediction")]
        names += [f"{name} = {value}" for name in OF_PROBA if (value := getattr(self, name)) not in (None, False)]
        return tuple(dict.fromkeys(names))

    def _challengers(self) -> Iterator[Challenger]:
        for rule in self.react:
            if isinstance(rule, On) and isinstance(rule.do, Race):
                yield from rule.do.contestants()

    def trial(self) -> Trial:
        """Try everything declared, as it will be used."""
        return Trial(declared_of(self))

    def with_schemas(self, schemas: Schemas) -> Pipeline:
        """The same pipeline with a Schema Registry attached, which is not tried again."""
        attached = copy.copy(self)
        object.__setattr__(attached, "schema", self.schema.with_schemas(schemas))
        return attached

    @functools.lru_cache(maxsize=100)  # noqa: B019 - as declared, and once: every shard that is opened asks for it
    def digest(self) -> str:
        """A digest of everything that makes a shard what it is; two pipelines with the same one learn the same from a log."""
        parts = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in TOLD}
        parts |= {"schema": self.schema.without_example(), "carry_headers": tuple(self.carry_headers)}
        for name, value in LATER.items():
            if parts[name] == value:
                del parts[name]
        return digest(parts)

    @functools.lru_cache(maxsize=100)  # noqa: B019 - as declared: copies of some of River's parts share with it what they learn
    def model_digest(self) -> str:
        """Names the declared model in predictions: it is another one where task, schema, model or threshold are."""
        return digest((self.task, self.schema.without_example(), self.model, self.threshold))[:MODEL_DIGEST_CHARS]

    def parts(self) -> dict[str, str]:
        """What a saved state depends on, part by part: a digest, or for a limit its value. A state carries them, so that a later pipeline
        can tell which parts of it still fit (`lane.change`)."""
        limits = (
            *("rolling_events", "window_rows_max", "window_age_max_s", "pending_rows_max", "pending_age_max_s"),
            *("pending_bytes_max", "time_ahead_max_s", "classes_max", "probabilities", "threshold"),
            *("rejects_share_max", "rejects_over_records"),
        )
        return {
            "task": self.task,
            "schema": digest(self.schema.without_example()),
            "model": digest(self.model),
            **{f"metric {type(metric).__name__}": digest(metric) for metric in self.scores.metrics},
            **{f"watch {watch.signal} {watch.detector_name}": digest(watch) for watch in self.watch},
            **{f"rule {index} {rule.trigger}": digest(rule) for index, rule in enumerate(self.react)},
            **{name: str(getattr(self, name)) for name in limits},
            **({} if self.labels == PLAIN_LABELS else {"labels": digest(self.labels)}),
        }


def _faults(pipeline: Pipeline) -> Iterator[str]:
    if not isinstance(pipeline.name, str) or not NAME.fullmatch(pipeline.name):
        yield f"name {pipeline.name!r}: use letters, digits, - and _, at most 100, a letter or digit first"
    if not isinstance(pipeline.source, str) or not TOPIC.fullmatch(pipeline.source):
        yield f"source {pipeline.source!r} is not a topic name: use letters, digits, '.', '_' and '-'"
    if pipeline.task not in TASKS:
        yield f"task {pipeline.task!r}: use one of {', '.join(TASKS)}"
    yield from limit_faults(pipeline)
    yield from header_faults(pipeline.carry_headers)
    yield from output_faults(pipeline)
    yield from handler_faults(pipeline)
    if not isinstance(pipeline.schema, Schema):
        yield f"schema must be a Schema, not {pipeline.schema!r}"
        return
    if isinstance(pipeline.labels, Labels):
        yield from pipeline.labels.faults(pipeline.source, pipeline.schema)
    else:
        yield f"labels must be a Labels, not {pipeline.labels!r}"
    if pipeline.task not in TASKS:
        return
    of_schema = list(schema_faults(pipeline.schema, pipeline.task))
    yield from of_schema
    of_model = list(model_faults("model", pipeline.model, pipeline.task))
    yield from of_model
    yield from _rule_faults(pipeline)
    if not of_model:
        yield from pipeline.scores.faults(pipeline.task, pipeline.model)
    if not of_schema:
        yield from Trial(declared_of(pipeline)).faults


def _watch_faults(pipeline: Pipeline, watch: Watch) -> Iterator[str]:
    yield from watch.faults(pipeline.task, pipeline.schema)
    yield from seed_faults(f"watch {watch.signal!r}", (watch.detector, watch.warning))


def _rule_faults(pipeline: Pipeline) -> Iterator[str]:
    watches = _watches(pipeline)
    for other in pipeline.watch:
        if not isinstance(other, Watch):
            yield f"watch: {other!r} is not a Watch"
    for watch in watches:
        yield from _watch_faults(pipeline, watch)
    pairs = [(watch.signal, watch.detector_name) for watch in watches]
    for pair in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
        yield f"watch {pair[0]!r}: two watches with {pair[1]}; each signal and detector once"
    beside = Beside([watch.signal for watch in watches], pipeline.task)
    for rule in pipeline.react:
        if isinstance(rule, On):
            yield from rule.faults(beside)
        else:
            yield f"react: {rule!r} is not a rule; write On.drift(signal, reaction)"
    for where, model, _ in _challengers(pipeline):
        yield from model_faults(where, model, pipeline.task)


def _watches(pipeline: Pipeline) -> list[Watch]:
    return [watch for watch in pipeline.watch if isinstance(watch, Watch)]


def _challengers(pipeline: Pipeline) -> Iterator[Candidate]:
    """The models of other families that rules let race, as they begin; each once, by the name of a fault."""
    known: list[Any] = []
    for rule in pipeline.react:
        if not isinstance(rule, On) or not isinstance(rule.do, Race) or any(race_faults(rule.do)):
            continue
        for challenger in rule.do.contestants():
            if challenger.model is not None and not any(challenger.model is each for each in known):
                known.append(challenger.model)
                begin = functools.partial(challenger.begin, None, pipeline.task)
                model = begin() if isinstance(challenger.model, str) else challenger.model
                yield Candidate(f"react {rule.trigger}: challenger {challenger.name!r}", model, begin)


def declared_of(pipeline: Pipeline) -> Declared:
    """What of a pipeline has no fault as it stands, to be tried."""
    task = pipeline.task
    models = [each for each in _models(pipeline) if not any(model_faults(each.where, each.model, task))]
    watches = [watch for watch in _watches(pipeline) if not any(_watch_faults(pipeline, watch))]
    scored = [metric for metric in pipeline.scores.metrics if not any(metric_faults(metric, task, pipeline.model))]
    beside = Beside([watch.signal for watch in watches], task)
    thresholds = [each for each in pipeline.triggers if isinstance(each, Threshold) and not any(each.faults(beside))]
    return Declared(
        task=task,
        schema=pipeline.schema,
        models=models,
        metrics=[("metrics", metric) for metric in scored] + [(f"react {each}", metric_named(each.metric)) for each in thresholds],
        watches=watches,
        warned=frozenset(each.signal for each in pipeline.triggers if isinstance(each, Caution)),
        proba_for=tuple(name for name in pipeline.proba_for if name != f"watch {RANK!r}"),
        proba=pipeline.needs_proba,
    )


def _models(pipeline: Pipeline) -> Iterator[Candidate]:
    yield Candidate("model", pipeline.model, lambda: pipeline.model.clone())
    yield from _challengers(pipeline)


def _schema_for(pipeline: Pipeline) -> Schema:
    """The schema, which keeps what is null where a model of the pipeline fills it."""
    schema = pipeline.schema
    if not isinstance(schema, Schema) or schema.keep_null is not None or not schema.has_optional:
        return schema
    fills = any(fills_nulls(each.model) for each in _models(pipeline))
    return dataclasses.replace(schema, keep_null=True) if fills else schema
