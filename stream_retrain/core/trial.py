"""Everything a pipeline declares is tried at load, as it will be used: so that a worker meets none of it for the first time.

A model predicts and learns example events of the schema, with probabilities where something needs them; one and the same dict is
handed to both calls and looked at afterwards. Its predictions must be labels or numbers. A metric scores right and wrong predictions and
must tell them apart; a detector takes values of its signal. What they have become is kept in `Trial.made`: `codec.trial` writes it and
opens it again.

The events are those of `Schema.example`, or made up: numbers that are small and positive, texts of several words, optional features
missing in some. Nothing here is random, and nothing of the declared objects learns: copies do.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from river import metrics

from stream_retrain.core.contest.training import copy_of
from stream_retrain.core.example import example_label, example_records, features_of
from stream_retrain.core.fields import LEFT_OUT, Field
from stream_retrain.core.inside import inside, named
from stream_retrain.core.schema import Schema
from stream_retrain.core.scores import needs_proba
from stream_retrain.core.serve.predictor import gives_probabilities, label_is_most_probable
from stream_retrain.core.time_features import time_reader
from stream_retrain.core.watch.guards import CATEGORIES_WARM_UP_EVENTS
from stream_retrain.core.watch.watch import RANK, Watch, reading
from stream_retrain.facts.values import Features, Label
from stream_retrain.models import PerKey
from stream_retrain.models.packing import memory_bytes_of
from stream_retrain.models.probabilities import most_probable

__all__ = ["Candidate", "Declared", "Made", "Trial", "example_events"]

EVENTS: Final = 12
VALUES: Final = 60
"""A detector is shown at least so many."""
TEXTS: Final = ("red apples and pears", "late train to the sea", "green pears", "the sea is blue today", "no train today", "two red trains")
LABELS_MAX: Final = 6
SPARSE: Final = 6
"""Features made up where none is declared."""
TIME_STEP_S: Final = 40_000


class Candidate(NamedTuple):
    """A model that may serve."""

    where: str
    """How faults begin that name it."""
    model: Any
    """As it is declared."""
    begin: Callable[[], Any]
    """One as it begins, which may learn."""


class Made(NamedTuple):
    """What a declared thing has become in the trial."""

    where: str
    """The declared thing, as faults name it."""
    name: str
    """What it is, in short."""
    state: Any
    lessons: Sequence[tuple[Features, Label]] = ()
    """What a model can go on with."""

    def go_on(self, state: Any) -> list[Any]:
        """The predictions of `state`, which is this one or a copy of it, while it learns the lessons."""
        predictions = [(state.predict_one(dict(x)), state.learn_one(dict(x), y))[0] for x, y in self.lessons]
        _put_away(state)
        return predictions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is to be tried. The names are how faults begin."""

    task: str
    schema: Schema
    models: Sequence[Candidate]
    metrics: Sequence[tuple[str, Any]]
    watches: Sequence[Watch]
    warned: frozenset[str]
    """The signals whose warnings a rule asks for."""
    proba_for: Sequence[str]
    """What needs a classifier's probabilities, and could not be without them."""
    proba: bool
    """Whether something is of them, where the model gives any."""


class Trial:
    """One trial: `faults` as sentences, and what was `made`."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self.faults: list[str] = []
        self.made: list[Made] = []
        for each in declared.models:
            self._try_model(each)
        for where, metric in declared.metrics:
            fresh = metric.clone()
            self._take(Made(where, type(metric).__name__, fresh), _metric_faults(where, fresh, declared))
        for watch in declared.watches:
            guard = watch.build()
            if self._take(Made(f"watch {watch.signal!r}", watch.detector_name, guard), self._watch_faults(watch, guard)):
                self.made[-1] = self.made[-1]._replace(state=guard.snapshot())

    def _take(self, made: Made, faults: Iterator[str]) -> bool:
        """Whether there are no faults: then it is kept."""
        found = list(faults)
        self.faults += found
        self.made += [] if found else [made]
        return not found

    def _try_model(self, candidate: Candidate) -> None:
        where = candidate.where
        try:
            model = candidate.begin()
        except Exception as error:  # noqa: BLE001 - the model is foreign code: what it raises is what its author must read
            self.faults.append(f"{where}: {named(candidate.model)} cannot be copied to begin with: {type(error).__name__}: {error}")
            return
        lessons = list(example_events(self._declared.schema, self._declared.task))
        self._take(Made(where, named(model), model, lessons), self._model_faults(where, model))

    def _model_faults(self, where: str, model: Any) -> Iterator[str]:
        declared, name = self._declared, named(model)
        answer: Any = None
        keys = [keyed.by for keyed, _ in inside(model) if isinstance(keyed, PerKey)]
        unknown = [by for by in keys if declared.schema.sparse is None and declared.schema.feature_type(by) is None]
        if unknown:
            hint = "add it to features (the models of the keys do not see it)"
            yield f"{where}: it has a model for each {unknown[0]!r}, which is no feature of the schema; {hint}"
            return
        for x, y in example_events(declared.schema, declared.task):
            given = dict(x)
            try:
                answer, proba = _asked(model, declared, given)
                changed = given != x or list(given) != list(x)
                model.learn_one(given, y)
            except Exception as error:  # noqa: BLE001 - the model is foreign code: what it raises is what its author must read
                yield f"{where}: {self._said(name, x, error)}"
                return
            if changed or given != x or list(given) != list(x):
                hint = "let it work on a copy, dict(x), or put compose.Select(...) before it"
                yield f"{where}: {name} changes the event it is given, which others read after it: {hint}"
                return
            if (fault := self._answer_fault(answer, proba)) is not None:
                yield f"{where}: {name} {fault}"
                return
        if declared.task == "regression" and answer is not None and not math.isfinite(answer):
            yield f"{where}: {name} predicts {answer!r} for an example event after {EVENTS} labels: use a model that stays finite"
            return
        try:
            _put_away(model)
        except Exception as error:  # noqa: BLE001 - the same
            hint = "put what is the same for all keys before it: ... | PerKey(...)"
            yield f"{where}: {name} cannot keep such a model per key: {type(error).__name__}: {error} ({hint})"
            return
        try:
            memory_bytes_of(copy_of(model))
        except Exception as error:  # noqa: BLE001 - pickling runs the model's code
            hint = "no lambdas or inner functions: define functions and classes at the top of a module"
            yield f"{where}: {name} cannot be saved or measured: {type(error).__name__}: {error} ({hint})"

    def _said(self, name: str, x: Features, error: Exception) -> str:
        """What an exception of a model comes to."""
        wanted = self._declared.proba_for
        if wanted and isinstance(error, NotImplementedError) and self._declared.task != "regression":
            return f"{name} gives no probabilities, which {', '.join(wanted)} needs; use a metric or a signal of labels, or another model"
        text = f"{name} cannot learn an event of the schema: {type(error).__name__}: {error}, at {x}"
        if None in x.values():
            return f"{text}. The event has nulls because the schema keeps them: use models that take None"
        if len(x) < len(self._declared.schema.feature_names):
            return f"{text}. Optional features are missing there: put an imputer in the model, read them with x.get, or require them"
        if not self._declared.schema.examples:
            return f"{text}. If real values look different, give one in Schema(example={{...}})"
        return text

    def _answer_fault(self, answer: Any, proba: Any) -> str | None:
        """What is wrong with a prediction; numpy's scalars are as good as Python's."""
        if proba is not None and not isinstance(proba, Mapping):
            return f"gives {type(proba).__name__} for probabilities, not a dict by label: use another model"
        if answer is None:
            return None
        if self._declared.task == "regression":
            if isinstance(answer, numbers.Real) and not isinstance(answer, bool):
                return None
            return f"predicts {answer!r}, a {type(answer).__name__}, and not a number: use another model, or the one inside it"
        plain = answer.item() if type(answer).__module__ == "numpy" and getattr(answer, "shape", None) == () else answer
        if isinstance(plain, bool | int | str) or (isinstance(plain, float) and plain.is_integer()):
            return None
        return f"predicts {answer!r}, a {type(answer).__name__}, which is no label: use another model, or the one inside it"

    def _watch_faults(self, watch: Watch, guard: Any) -> Iterator[str]:
        where = f"watch {watch.signal!r}: {watch.detector_name}"
        warner = watch.build_warner(guard) if watch.signal in self._declared.warned and watch.warns else None
        count = CATEGORIES_WARM_UP_EVENTS + VALUES * watch.shown_every
        try:
            for value in itertools.islice(_signal(watch, self._declared.task), count):
                guard.update(value)
                if warner is not None:
                    warner.update(value)
            reading(guard.detector)
            pickle.dumps((guard.snapshot(), warner and warner.snapshot()))
        except Exception as error:  # noqa: BLE001 - a detector is foreign code
            yield f"{where} cannot watch it: {type(error).__name__}: {error}; use another detector"


def _put_away(model: Any) -> None:
    """Let models of keys be put away, as they will be when many keys have come."""
    for keyed, _ in inside(model):
        if isinstance(keyed, PerKey):
            keyed.put_all_away()


def _asked(model: Any, declared: Declared, x: Features) -> tuple[Any, Any]:
    """What a model answers, and its probabilities, as they are: a `predictor` turns what is unusable into a failed prediction."""
    if declared.task == "regression":
        return model.predict_one(x), None
    if label_is_most_probable(model):
        proba = model.predict_proba_one(x)
        return (most_probable(dict(proba)) if isinstance(proba, Mapping) else None), proba
    proba = declared.proba_for or (declared.proba and gives_probabilities(model))
    return model.predict_one(x), model.predict_proba_one(x) if proba else None


def example_events(schema: Schema, task: str) -> Iterator[tuple[Features, Label]]:
    """`EVENTS` labelled events: the schema's examples in turn, or made up."""
    examples = example_records(schema)
    labels, times = trial_labels(schema, task), time_reader(schema.time_features, schema.time_zone)
    for number in range(EVENTS):
        record = examples[number % len(examples)] if examples else _made_up(schema, number)
        label = example_label(schema, record, task) if examples else None
        x = features_of(schema, record) if examples else {name: value for name, value in record.items() if value is not LEFT_OUT}
        yield {**x, **times(number * TIME_STEP_S)}, labels[number % len(labels)] if label is None else label


def trial_labels(schema: Schema, task: str) -> Sequence[Any]:
    """Labels a task can have, two or more."""
    match task:
        case "binary":
            return (False, True)
        case "regression":
            return (0.5, 1.5, 2.5, 1.0, 3.0)
        case _:
            return (schema.classes or ("a", "b", "c"))[:LABELS_MAX]


def _made_up(schema: Schema, number: int) -> dict[str, Any]:
    """The first has all features; in the others each optional one is missing in its turn."""
    if schema.sparse is not None:
        return {f"feature_{at}": _value(float, number, at) for at in range(SPARSE) if (number + at) % 3}
    values: dict[str, Any] = {}
    for at, (name, field) in enumerate(schema.fields.items()):
        if number and field.may_be_missing and (number + at) % 3 == 0:
            keeps = field.missing == "null" or (field.missing is None and schema.keep_null)
            values[name] = None if keeps else LEFT_OUT
        else:
            values[name] = _within(field, number, at)
    return values


def _within(field: Field, number: int, at: int) -> Any:
    """A made-up value that the field allows."""
    if field.allowed:
        return field.allowed[(number + at) % len(field.allowed)]
    value, whole = _value(field.plain or float, number, at), field.plain is int
    if field.minimum is not None:
        value = max(value, math.ceil(field.minimum) if whole else field.minimum)
    return value if field.maximum is None else min(value, math.floor(field.maximum) if whole else field.maximum)


def _value(kind: type, number: int, at: int) -> Any:
    step = number * 5 + at * 3
    if kind is str:
        return TEXTS[step % len(TEXTS)]
    if kind is bool:
        return step % 2 == 0
    return step % 7 + 1 if kind is int else (step % 7 + 1) / 5


def _signal(watch: Watch, task: str) -> Iterator[Any]:
    """Values of a watch's signal, which rise at once."""
    for number in itertools.count():
        if watch.signal.startswith("categories:"):
            yield TEXTS[number % len(TEXTS)]
        elif watch.signal.startswith("missing:"):
            yield None if number % 7 == 0 or (number > VALUES / 2 and number % 3 > 0) else 1.0
        elif watch.signal == "error" and task != "regression":
            yield int(number % 7 == 0 or (number > VALUES / 2 and number % 3 > 0))
        elif watch.signal == RANK:
            rare = number % 5 == 0
            yield rare, {True: 0.8 if rare else 0.1, False: 0.2 if rare else 0.9}
        else:
            yield 0.1 * (number % 7) + (2.0 if number > VALUES / 2 else 0.0)


def _metric_faults(where: str, metric: Any, declared: Declared) -> Iterator[str]:
    """Score right predictions with a metric, and with copies of it wrong ones, and some of both."""
    name, labels = type(metric).__name__, trial_labels(declared.schema, declared.task)
    if isinstance(metric, metrics.base.Metrics):
        yield f"{where}: {metric.data} are several metrics in one; list each by itself"
        return
    if isinstance(metric, metrics.base.BinaryMetric | metrics.ROCAUC) and (fault := _pos_val_fault(metric, declared)) is not None:
        yield f"{where}: {name} {fault}"
        return
    of_proba, copies = needs_proba(metric), (metric, metric.clone(), metric.clone())
    try:
        for number in range(4 * len(labels)):
            y, wrong = labels[number % len(labels)], labels[(number + 1) % len(labels)]
            for each, y_pred in zip(copies, (y, wrong, labels[number // 2 % len(labels)]), strict=True):
                each.update(y, _as_sure(y_pred, labels) if of_proba else y_pred)
        if where.startswith("react"):
            metric.revert(labels[0], _as_sure(labels[0], labels) if of_proba else labels[0])
        values: list[Any] = [each.get() for each in copies]
    except NotImplementedError:
        yield f"{where}: {name} gives no number; use a metric of one number"
        return
    except Exception as error:  # noqa: BLE001 - a metric is foreign code
        yield f"{where}: {name} cannot score a {declared.task} model: {type(error).__name__}: {error}; use another metric"
        return
    if not all(isinstance(value, numbers.Real) for value in values):
        yield f"{where}: {name} gives {type(values[0]).__name__} and not a number; use a metric of one number"
    elif not all(map(math.isfinite, values)):
        yield f"{where}: {name} gives {values[0]} for right predictions and {values[1]} for wrong ones; use a metric that is finite"
    elif len(set(values)) == 1 and len(labels) > 1:
        yield f"{where}: {name} gives {values[0]} for right predictions and for wrong ones of these labels; use another metric"


def _as_sure(label: Any, labels: Sequence[Any]) -> dict[Any, float]:
    """Probabilities that say `label`."""
    return {each: 0.9 if each == label else 0.1 / max(1, len(labels) - 1) for each in labels}


def _pos_val_fault(metric: Any, declared: Declared) -> str | None:
    pos_val, classes = getattr(metric, "pos_val", True), declared.schema.classes
    if declared.task != "multiclass":
        return None if pos_val in (True, False) else f"has pos_val {pos_val!r}, and a binary label is True or False"
    if isinstance(pos_val, str | int) and not isinstance(pos_val, bool) and (classes is None or pos_val in classes):
        return None
    return (
        f"is of two classes and its positive one, {pos_val!r}, is none of this task's, so it never changes;"
        " use one of all classes, such as MacroF1, MacroPrecision, MacroRecall, CohenKappa or CrossEntropy"
    )
