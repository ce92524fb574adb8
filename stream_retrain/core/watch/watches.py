"""The detectors of a shard: they are shown what they watch, and tell what they saw.

Those on errors are shown every labelled event; those on features, on what is missing and on predictions every question when it is asked,
whether or not its label ever comes. A failed prediction is shown as the worst error, so that rules act.

A detector of numbers is shown none where an optional feature is missing. So beside it another one watches how often that is, unless the
pipeline has a watch of that itself: the drift of `feature:NAME` is then one without a value.

What another model is no matter for, goes on: detectors on features; and those on the rank, which begin afresh with another generation only,
so that a duel the champion wins does not cost what they know of it.

A detector is foreign code. One that raises is replaced by a fresh one, and that is a fact; the event counts as learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.triggers import Caution
from stream_retrain.core.serve.predictor import Prediction, has_failed
from stream_retrain.core.serve.step import Looks
from stream_retrain.core.state import Part, Saved
from stream_retrain.core.watch.guards import Direction, Guard
from stream_retrain.core.watch.rank import RankGuard
from stream_retrain.core.watch.signals import FEATURE, MISSING, OF_QUESTIONS, Signal, WorstError, absent_share, signal_of
from stream_retrain.core.watch.watch import RANK, Watch, reading
from stream_retrain.facts.observation import Reading
from stream_retrain.facts.shard import DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Event, Features, Label

__all__ = ["Seen", "Watches"]

Seen: TypeAlias = DriftDetected | WarningRaised | DetectorFailed
_Update: TypeAlias = Callable[[Any], "Direction | None"]
_OfQuestion: TypeAlias = Callable[[Features, Prediction], "float | None"]
_WATCHES: Final = Part.of(
    "watches",
    *("watches", "errors", "generation"),
    schema=2,
    migrations={1: lambda values: {**values, "errors": (0.0, 0), "generation": None}},
)
_WATCH: Final = Part.of("watch", "guard", "warner", "missing", schema=2, migrations={1: lambda values: {**values, "missing": None}})


class Watches:
    """A pipeline's watches, running; those whose warnings a rule asks for have a warner beside the guard."""

    def __init__(self, pipeline: Pipeline, saved: Saved | None = None) -> None:
        """`saved` may hold None in place of a watch, which then begins afresh. Raises `StateError`."""
        self._pipeline = pipeline
        asked = {each.signal for each in pipeline.triggers if isinstance(each, Caution)}
        self._warn = [watch.signal in asked and watch.warns for watch in pipeline.watch]
        self._guards: list[Guard] = []
        self._warners: list[Guard | None] = []
        self._missing: list[Guard | None] = []
        fresh: Saved = {"watches": [None] * len(pipeline.watch), "errors": (0.0, 0), "generation": None}
        kept = fresh if saved is None else _WATCHES.load(saved)
        self._worst = WorstError(pipeline.task, *kept["errors"])
        self._generation: int | None = kept["generation"]
        """The one whose ranks are watched."""
        for each, watch, warns in zip(kept["watches"], pipeline.watch, self._warn, strict=True):
            values = {"guard": None, "warner": None, "missing": None} if each is None else _WATCH.load(each)
            guard = watch.build(values["guard"])
            self._guards.append(guard)
            self._warners.append(watch.build_warner(guard, values["warner"]) if warns else None)
            of_missing = _of_missing(pipeline, watch)
            self._missing.append(of_missing.build(values["missing"]) if of_missing else None)
        self._sort()

    def begin_afresh(self) -> None:
        """Fresh detectors on the model's signals, for another model; those on features go on."""
        for index, watch in enumerate(self._pipeline.watch):
            if watch.feature is None and watch.signal not in (RANK, "missing"):
                self._renew(index)
        self._sort()

    def see(self, offset: int, time_s: float, y: Any, prediction: Prediction, generation: int) -> Sequence[Seen]:
        """Show the detectors on the model's signals a label, with the prediction of the model that serves now; what they say."""
        seen: list[Seen] | None = None
        y_pred, proba = prediction
        failed = y_pred is None
        if failed and not has_failed(prediction):
            return ()
        if self._ranked and generation != self._generation:
            self._rank_anew(generation)
        if self._measures and not failed:
            self._worst.observe(abs(y - y_pred))
        for index, update, warn, signal in self._of_model:
            try:
                value = self._worst.of(self._pipeline.watch[index].signal) if failed else signal(y, y_pred, proba)
                if value is not None and ((direction := update(value)) or (warn and warn(value))):
                    seen = seen or []
                    seen.append(self._told(offset, time_s, index, direction, value, generation))
            except Exception as error:  # noqa: BLE001 - a detector is foreign code; see the module's docstring
                seen = [*(seen or ()), self._failed(offset, time_s, index, error, generation)]
        return seen or ()

    def notice(self, offset: int, time_s: float, x: Features, prediction: Prediction, generation: int) -> Sequence[Seen]:
        """Show the detectors on questions one of them, and what the model that serves now predicts for it; what they say."""
        seen: list[Seen] | None = None
        for index, update, warn, feature, nulls, missing in self._of_features:
            number: Any = x.get(feature)
            try:
                if missing is not None and (direction := missing(number)):
                    seen = [*(seen or ()), self._told(offset, time_s, index, direction, None, generation)]
                if (nulls or number is not None) and ((direction := update(number)) or (warn and warn(number))):
                    seen = seen or []
                    seen.append(self._told(offset, time_s, index, direction, number, generation))
            except Exception as error:  # noqa: BLE001 - the same
                seen = [*(seen or ()), self._failed(offset, time_s, index, error, generation)]
        for index, update, warn, value_of in self._of_questions:
            try:
                value = value_of(x, prediction)
                if value is not None and ((direction := update(value)) or (warn and warn(value))):
                    seen = [*(seen or ()), self._told(offset, time_s, index, direction, value, generation)]
            except Exception as error:  # noqa: BLE001 - the same
                seen = [*(seen or ()), self._failed(offset, time_s, index, error, generation)]
        return seen or ()

    def looks(self, events: Iterator[Event], generation: int) -> Looks:
        """How these events are seen, each once it was learned, with the prediction of the model that serves now."""
        if not self.of_model and not self.of_questions:
            return Looks()
        if self._only_errors is not None:
            return Looks(errors=self._only_errors)
        see, notice, of_model, of_questions = self.see, self.notice, self.of_model, self.of_questions

        def look(y: Label, y_pred: Label | None, proba: Any) -> Sequence[Seen]:
            offset, _, time_s, x, _ = next(events)
            signs = see(offset, time_s, y, (y_pred, proba), generation) if of_model else ()
            return [*signs, *notice(offset, time_s, x or {}, (y_pred, proba), generation)] if of_questions else signs

        return Looks(rows=look)

    def signs_of(self, said: Any, offset: int, time_s: float, y: Label, y_pred: Label | None, generation: int) -> Sequence[Seen]:
        """What was said about an event that was seen so; what the only detector raised is said too."""
        if said is None or isinstance(said, list | tuple):
            return said or ()
        if self._only_errors is None:
            raise said  # not a detector's: `see` and `notice` tell of those themselves
        index = self._of_model[0][0]
        if isinstance(said, Exception):
            return [self._failed(offset, time_s, index, said, generation)]
        return [self._told(offset, time_s, index, said, 0 if y == y_pred else 1, generation)]

    def worst_error(self) -> float:
        """What a failed prediction counts as."""
        return self._worst.of("error") or 1.0

    def readings(self) -> dict[tuple[str, str], Reading]:
        """What each detector shows now, by signal and detector."""
        watched = zip(self._pipeline.watch, self._guards, strict=True)
        return {(watch.signal, watch.detector_name): reading(guard.detector) for watch, guard in watched}

    def snapshot(self) -> Saved:
        """What is needed to go on from here; shares objects with the guards, so serialise it at once."""
        return _WATCHES.save(
            watches=[
                _WATCH.save(guard=guard.snapshot(), warner=warner and warner.snapshot(), missing=missing and missing.snapshot())
                for guard, warner, missing in zip(self._guards, self._warners, self._missing, strict=True)
            ],
            errors=(self._worst.scale, self._worst.events),
            generation=self._generation,
        )

    def _rank_anew(self, generation: int) -> None:
        """Another model serves: its ranks are compared with its own past."""
        if self._generation is not None:
            for index in self._ranked:
                self._renew(index)
            self._sort()
        self._generation = generation

    def _renew(self, index: int) -> None:
        watch = self._pipeline.watch[index]
        self._guards[index] = watch.build()
        self._warners[index] = watch.build_warner(self._guards[index]) if self._warn[index] else None

    def _sort(self) -> None:
        """Those that watch errors, each with its signal, those that watch features, and those that watch questions as a whole."""
        self._of_model: list[tuple[int, _Update, _Update | None, Signal]] = []
        self._of_features: list[tuple[int, _Update, _Update | None, str, bool, _Update | None]] = []
        self._of_questions: list[tuple[int, _Update, _Update | None, _OfQuestion]] = []
        self._ranked = [index for index, watch in enumerate(self._pipeline.watch) if watch.signal == RANK]
        for index, (watch, guard, warner) in enumerate(zip(self._pipeline.watch, self._guards, self._warners, strict=True)):
            warn = warner.update if warner else None
            if watch.feature is not None:
                missing = self._missing[index]
                nulls = not watch.signal.startswith(FEATURE)
                self._of_features.append((index, guard.update, warn, watch.feature, nulls, missing.update if missing else None))
            elif watch.signal in OF_QUESTIONS:
                self._of_questions.append((index, guard.update, warn, _of_question(self._pipeline, watch.signal)))
            else:
                self._of_model.append((index, guard.update, warn, signal_of(watch.signal, self._pipeline.task)))
        self.of_model, self.of_questions = bool(self._of_model), bool(self._of_features or self._of_questions)
        self._only_errors = self._of_errors_only()
        self._measures = self.of_model and self._pipeline.task == "regression"

    def _of_errors_only(self) -> _Update | None:
        """What to show whether a label was missed, where that is all that is watched."""
        if self.of_questions or len(self._of_model) != 1 or self._pipeline.task == "regression":
            return None
        [(index, update, warn, _)] = self._of_model
        return update if warn is None and self._pipeline.watch[index].signal == "error" else None

    def _told(self, offset: int, time_s: float, index: int, direction: Direction | None, value: Any, generation: int) -> Seen:
        watch: Watch = self._pipeline.watch[index]
        if direction is None:
            return WarningRaised(offset=offset, time_s=time_s, signal=watch.signal, detector=watch.detector_name, generation=generation)
        guard = self._guards[index]
        if isinstance(guard, RankGuard):
            value = guard.value
        elif watch.signal.startswith(MISSING):
            value = value is None
        return DriftDetected(
            offset=offset,
            time_s=time_s,
            signal=watch.signal,
            detector=watch.detector_name,
            direction=direction,
            value=None if value is None or isinstance(value, str) else float(value),
            generation=generation,
        )

    def _failed(self, offset: int, time_s: float, index: int, error: Exception, generation: int) -> DetectorFailed:
        watch: Watch = self._pipeline.watch[index]
        self._renew(index)
        self._sort()
        return DetectorFailed(
            offset=offset, time_s=time_s, signal=watch.signal, detector=watch.detector_name, detail=raised(error), generation=generation
        )


def _of_missing(pipeline: Pipeline, watch: Watch) -> Watch | None:
    """What watches beside a watch how often its feature is missing."""
    own = watch.of_missing
    if own is None or own.signal in {each.signal for each in pipeline.watch}:
        return None
    return own if pipeline.schema.may_be_missing(watch.feature or "") else None


def _of_question(pipeline: Pipeline, signal: str) -> _OfQuestion:
    """A signal of a question as a whole."""
    if signal == "missing":
        optional = [name for name in pipeline.schema.feature_names if pipeline.schema.may_be_missing(name)]
        return lambda x, _: absent_share(x, optional)
    predicted = signal_of(signal, pipeline.task)
    return lambda _, prediction: None if prediction[0] is None else predicted(None, *prediction)
