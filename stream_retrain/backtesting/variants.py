"""The variants of a backtest: a pipeline as it is, what it could have been instead, and controls.

A variant is a whole pipeline under a name. It is one that the author declares, or one of these, made from the pipeline:

none        its model, without watches and reactions
reset       its model, the error and (of a classifier) the rank watched as `watch_and_react` does, a reset at each drift
challenge   the same, with challengers that race the model at each drift: `watch_and_react` as it is
adaptive    the recommended model, which adapts by itself, without watches and reactions

Controls are run beside every backtest, by the same code. A stream whose labels come in runs rewards whoever forgets quickly, so a good
score alone says little (Zliobaite, Bifet, Read, Pfahringer and Holmes 2015, "Evaluation methods and decision theory for classification of
streaming data with temporal dependence", Machine Learning 98): a policy is worth something where it is better than both.

previous label (of a regression: last value)    predicts the label that came last
blind reset                                      the pipeline's model, reset every `BLIND_RESET_EVERY_EVENTS` labels whatever happens
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from river import dummy, stats

from stream_retrain.core.inside import named
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Reset
from stream_retrain.core.react.rules import On
from stream_retrain.core.watch.calibration import watch_and_react
from stream_retrain.core.wire import Schemas
from stream_retrain.errors import PipelineError, SettingsError
from stream_retrain.models import adaptive_classifier, adaptive_regressor

__all__ = [
    "BLIND_RESET",
    "BLIND_RESET_EVERY_EVENTS",
    "BUILT_IN",
    "LAST_VALUE",
    "PREVIOUS_LABEL",
    "Chosen",
    "Variant",
    "built_in",
    "choose",
    "controls_of",
    "described",
]

PREVIOUS_LABEL: Final = "previous label"
LAST_VALUE: Final = "last value"
BLIND_RESET: Final = "blind reset"
BLIND_RESET_EVERY_EVENTS: Final = 100
NAME: Final = re.compile(r"\w[^/\\\x00-\x1f\x7f]{0,99}")
_BARE: Final[dict[str, Any]] = {"watch": (), "react": (), "window_rows_max": 0}
"""No watch, no rule, and so nobody who reads a window."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A pipeline under the name it has in a result."""

    name: str
    pipeline: Pipeline
    control: bool = False


def attached(variants: Sequence[Variant], schemas: Schemas | None) -> Sequence[Variant]:
    """The same variants with a Schema Registry attached, where there is one."""
    return variants if schemas is None else [dataclasses.replace(each, pipeline=each.pipeline.with_schemas(schemas)) for each in variants]


class Chosen(NamedTuple):
    """The variants of a backtest, and what a reader must know of how they were chosen."""

    own: Pipeline
    """The pipeline itself, which built-in variants and controls are made from."""
    variants: list[Variant]
    notes: list[str]


def built_in(name: str, pipeline: Pipeline) -> Pipeline:
    """The variant of a pipeline that goes by a built-in name. Raises `PipelineError` where the pipeline's data do not allow it."""
    return _BUILT_IN[name](pipeline)


def choose(declared: Mapping[str, Pipeline], first: str, wanted: Sequence[str] | None = None) -> Chosen:
    """The variants of one backtest, in order: those that are wanted, and the pipeline itself before them if it is not among them.

    declared
        All that can be wanted beside the built-in ones, by name.
    first
        The name of the pipeline itself; the built-in ones are made from it.
    wanted
        Names; None: the pipeline itself, `none` where that is not the same, and `adaptive` where the data allow it.

    Raises `SettingsError` for a name that is unknown, doubled or not usable and for variants that cannot be compared, and `PipelineError`
    where a built-in one that is wanted does not suit the pipeline.
    """
    own = declared[first]
    if wanted is None:
        return _comparable(_by_default(own, first))
    names = [*([] if first in wanted else [first]), *wanted]
    for name in names:
        _check_name(name, names, declared)
    chosen = [Variant(name=name, pipeline=declared[name] if name in declared else _made(name, own)) for name in names]
    return _comparable(Chosen(own, chosen, []))


def controls_of(pipeline: Pipeline) -> Chosen:
    """The controls of a pipeline; one that the pipeline's metrics do not allow is left out, and that is noted."""
    regression = pipeline.task == "regression"
    model = dummy.StatisticRegressor(stats.Shift(0, fill_value=0.0)) if regression else dummy.NoChangeClassifier()
    blind = [On.every(events=BLIND_RESET_EVERY_EVENTS, do=Reset())]
    changes: dict[str, dict[str, Any]] = {
        LAST_VALUE if regression else PREVIOUS_LABEL: {**_BARE, "model": model, "probabilities": False, "threshold": None, "start": None},
        BLIND_RESET: {**_BARE, "react": blind},
    }
    chosen = Chosen(pipeline, [], [])
    for name, changed in changes.items():
        try:
            chosen.variants.append(Variant(name=name, pipeline=dataclasses.replace(pipeline, **changed), control=True))
        except PipelineError as error:
            chosen.notes.append(f"The control {name!r} is left out: {'; '.join(error.faults)}.")
    return chosen


def described(pipeline: Pipeline) -> str:
    """Model, watches and rules of a pipeline, in one line."""
    watches = [f"{watch.detector_name} on {watch.signal}" for watch in pipeline.watch]
    rules = [f"{rule.trigger} -> {type(rule.do).__name__}" for rule in pipeline.react]
    parts = [named(pipeline.model), f"watches {', '.join(watches)}" if watches else "", f"reacts {', '.join(rules)}" if rules else ""]
    return "; ".join(filter(None, parts))


def _none(pipeline: Pipeline) -> Pipeline:
    return dataclasses.replace(pipeline, **_BARE)


def _reset(pipeline: Pipeline) -> Pipeline:
    watches = watch_and_react(pipeline.task)["watch"]
    return dataclasses.replace(pipeline, **{**_BARE, "watch": watches, "react": [On.drift(watch.signal, Reset()) for watch in watches]})


def _challenge(pipeline: Pipeline) -> Pipeline:
    return dataclasses.replace(pipeline, **{**_BARE, **watch_and_react(pipeline.task)})


def _adaptive(pipeline: Pipeline) -> Pipeline:
    model = adaptive_regressor() if pipeline.task == "regression" else adaptive_classifier()
    schema = dataclasses.replace(pipeline.schema, keep_null=None)  # what is null was kept for the pipeline's own model
    return dataclasses.replace(pipeline, **_BARE, model=model, schema=schema, start=None)  # that is a model of its own kind


_BUILT_IN: Final[dict[str, Callable[[Pipeline], Pipeline]]] = {
    "none": _none,
    "reset": _reset,
    "challenge": _challenge,
    "adaptive": _adaptive,
}
BUILT_IN: Final = tuple(_BUILT_IN)


def _made(name: str, own: Pipeline) -> Pipeline:
    try:
        return built_in(name, own)
    except PipelineError as error:
        raise PipelineError(error.faults, f"variant {name!r} of pipeline {own.name!r}") from error


def _by_default(own: Pipeline, first: str) -> Chosen:
    chosen, notes = [Variant(name=first, pipeline=own)], []
    for name in ("none", "adaptive"):
        try:
            made = built_in(name, own)
        except PipelineError as error:
            notes.append(f"The variant {name!r} is left out: {'; '.join(error.faults)}.")
            continue
        if name != first and not _same(made, own):
            chosen.append(Variant(name=name, pipeline=made))
    return Chosen(own, chosen, notes)


def _same(one: Pipeline, other: Pipeline) -> bool:
    """Whether two pipelines predict the same: a window that nobody reads makes no difference."""
    return dataclasses.replace(other, window_rows_max=one.window_rows_max).digest() == one.digest()


def _check_name(name: str, names: Sequence[str], declared: Mapping[str, Pipeline]) -> None:
    if not NAME.fullmatch(name):
        raise SettingsError(f"variant {name!r}: use a name of at most 100 characters that begins with a letter or digit and has no slash")
    if names.count(name) > 1:
        raise SettingsError(f"variant {name!r} is asked for more than once; each name once")
    if name in (PREVIOUS_LABEL, LAST_VALUE, BLIND_RESET):
        raise SettingsError(f"variant {name!r} has the name of a control, which is there in any case; give it another")
    if name in declared and name in BUILT_IN:
        raise SettingsError(f"variant {name!r} is declared, and built in as well; give the declared pipeline another name")
    if name not in declared and name not in BUILT_IN:
        known = [*(each for each in declared if each not in BUILT_IN), *BUILT_IN]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise SettingsError(f"variant {name!r} is unknown{hint}; known are {', '.join(known)}")


def _comparable(chosen: Chosen) -> Chosen:
    """The same, if all of them learn the same label."""
    first, *others = chosen.variants
    for other in others:
        for what, value_of in _COMPARED.items():
            one, two = value_of(first.pipeline), value_of(other.pipeline)
            if one != two:
                names = f"variants {first.name!r} and {other.name!r}"
                raise SettingsError(f"{names} cannot be compared: their {what} are {one!r} and {two!r}; make them the same")
    return chosen


_COMPARED: Final[dict[str, Callable[[Pipeline], Any]]] = {
    "tasks": lambda pipeline: pipeline.task,
    "labels": lambda pipeline: pipeline.schema.label if pipeline.schema.label_field.is_plain else pipeline.schema.label_field,
    "ids": lambda pipeline: pipeline.schema.id,
}
