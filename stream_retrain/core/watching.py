"""The detectors of a shard: they are shown every labelled event, and tell what they saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from stream_retrain.core.messages import DriftDetected, Features, Label, WarningRaised
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.predictors import Answer
from stream_retrain.core.signals import Reading, Watch, classification_loss, reading, regression_loss
from stream_retrain.core.triggers import Caution
from stream_retrain.core.watchers import Direction, Watcher

__all__ = ["Seen", "Watching", "probability_of", "signal_of"]

Seen: TypeAlias = "DriftDetected | WarningRaised"
Signal: TypeAlias = Callable[[Any, Any, Any], Any]
_Update: TypeAlias = Callable[[Any], "Direction | None"]


class Watching:
    """A pipeline's watches, running; those whose warnings a rule asks for have a warner beside them."""

    def __init__(self, pipeline: Pipeline, snapshot: dict[str, Any] | None = None) -> None:
        self._pipeline = pipeline
        asked = {each.signal for each in pipeline.triggers if isinstance(each, Caution)}
        self._warn = [watch.signal in asked and watch.warns for watch in pipeline.watch]
        none = [None] * len(pipeline.watch)
        saved = snapshot or {"watchers": none, "warners": none}
        self._watchers: list[Watcher] = [watch.build(each) for watch, each in zip(pipeline.watch, saved["watchers"], strict=True)]
        self._warners: list[Watcher | None] = [
            watch.build_warner(watcher, each) if warn else None
            for watch, watcher, warn, each in zip(pipeline.watch, self._watchers, self._warn, saved["warners"], strict=True)
        ]
        self._sort()

    def begin_afresh(self) -> None:
        """Fresh detectors on the model's signals, for another model; those on features go on."""
        for index, watch in enumerate(self._pipeline.watch):
            if watch.feature is None:
                self._watchers[index] = watch.build()
                self._warners[index] = watch.build_warner(self._watchers[index]) if self._warn[index] else None
        self._sort()

    def see(self, offset: int, time_s: float, x: Features, y: Any, answer: Answer, generation: int, *, of_now: bool) -> Sequence[Seen]:
        """Show the detectors one event; what they say. `of_now`: the answer was given by the model that answers now."""
        seen: list[Seen] | None = None
        y_pred, proba = answer
        if of_now and y_pred is not None:
            for watch, update, warn, signal in self._of_model:
                value = signal(y, y_pred, proba)
                if value is not None and ((direction := update(value)) or (warn and warn(value))):
                    seen = seen or []
                    seen.append(_told(offset, time_s, watch, direction, value, generation))
        for watch, update, warn, feature in self._of_features:
            number: Any = x.get(feature)
            if number is not None and ((direction := update(number)) or (warn and warn(number))):
                seen = seen or []
                seen.append(_told(offset, time_s, watch, direction, number, generation))
        return seen or ()

    def readings(self) -> dict[tuple[str, str], Reading]:
        """What each detector shows now, by signal and detector."""
        watched = zip(self._pipeline.watch, self._watchers, strict=True)
        return {(watch.signal, watch.detector_name): reading(watcher.detector) for watch, watcher in watched}

    def snapshot(self) -> dict[str, Any]:
        """What is needed to go on from here; shares objects with the watchers, so serialise it at once."""
        return {
            "watchers": [watcher.snapshot() for watcher in self._watchers],
            "warners": [warner.snapshot() if warner else None for warner in self._warners],
        }

    def _sort(self) -> None:
        """Those that watch the model's signals, each with its signal, and those that watch features."""
        self._of_model: list[tuple[Watch, _Update, _Update | None, Signal]] = []
        self._of_features: list[tuple[Watch, _Update, _Update | None, str]] = []
        for watch, watcher, warner in zip(self._pipeline.watch, self._watchers, self._warners, strict=True):
            warn = warner.update if warner else None
            if watch.feature is not None:
                self._of_features.append((watch, watcher.update, warn, watch.feature))
            else:
                self._of_model.append((watch, watcher.update, warn, signal_of(watch.signal, self._pipeline.task)))


def _told(offset: int, time_s: float, watch: Watch, direction: Direction | None, value: Any, generation: int) -> Seen:
    if direction is None:
        return WarningRaised(offset=offset, time_s=time_s, signal=watch.signal, detector=watch.detector_name, generation=generation)
    return DriftDetected(
        offset=offset,
        time_s=time_s,
        signal=watch.signal,
        detector=watch.detector_name,
        direction=direction,
        value=None if isinstance(value, str) else float(value),
        generation=generation,
    )


def signal_of(name: str, task: str) -> Signal:
    """The function (y, y_pred, proba) -> value of a signal of the model; None where the model gave no probabilities."""
    match name, task == "regression":
        case "error", True:
            return lambda y, y_pred, _: abs(y - y_pred)
        case "error", False:
            return lambda y, y_pred, _: 0 if y == y_pred else 1
        case "loss", True:
            return lambda y, y_pred, _: regression_loss(y, y_pred)
        case "loss", False:
            return lambda y, _, proba: classification_loss(y, proba) if proba else None
        case "prediction", True:
            return lambda _, y_pred, __: float(y_pred)
        case _:
            return lambda _, y_pred, proba: probability_of(task, y_pred, proba) if proba else None


def probability_of(task: str, y_pred: Label | None, proba: dict[Any, float]) -> float | None:
    """Of the positive class for a binary task, else of the answer."""
    if task == "binary":
        return proba.get(True, 0.0)
    return proba.get(y_pred)
