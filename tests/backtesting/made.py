"""Backtests of any shape, made up from a seed: what a report must stand, from one variant without labels to twelve on twelve partitions."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from typing import Final

from stream_retrain.backtesting.result import (
    BacktestCurves,
    BacktestSummary,
    Comparison,
    DriftReading,
    DuelPoint,
    GenerationSpan,
    Incident,
    Interval,
    Mark,
    VariantSummary,
)

__all__ = ["LONG", "NASTY", "Shape", "made"]

LONG: Final = "a_variant_with_a_name_of_eighty_letters_which_nobody_would_choose_but_somebody_will"[:80]
NASTY: Final = "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>\"&{{ 7 * 7 }}"
START_S: Final = 1_767_225_600.0
RECORDS: Final = 250
ALPHA: Final = 0.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What kind of backtest is made."""

    variants: int = 3
    partitions: int = 1
    intervals: int = 60
    records: int = RECORDS
    drifts: int = 4
    """Of each variant in each partition."""
    task: str = "binary"
    labels: bool = True
    controls: bool = True
    partial: bool = False
    times: bool = True
    shown: bool = True
    """Whether the best is better than the next beyond doubt."""
    training: int = 0
    """Intervals by which settings were chosen: nothing is told of them."""
    names: tuple[str, ...] = ()
    seed: int = 1


def made(shape: Shape = Shape()) -> tuple[BacktestSummary, BacktestCurves]:
    """A backtest of a shape: the same for the same shape."""
    return _Maker(shape).make()


class _Maker:
    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._random = random.Random(shape.seed)
        given = dict(enumerate(shape.names))
        self._names = [given.get(number, f"variant_{number}") for number in range(shape.variants)]
        repeating = "last value" if shape.task == "regression" else "previous label"
        self._controls = [repeating, "blind reset"] if shape.controls else []
        self._records = shape.intervals * shape.records
        self._base = {name: 0.1 + 0.03 * number for number, name in enumerate([*self._names, *self._controls])}
        self._scale = 40.0 if shape.task == "regression" else 1.0
        self._curves = BacktestCurves(intervals=[], readings=[], duels=[], marks=[], generations=[])

    def make(self) -> tuple[BacktestSummary, BacktestCurves]:
        summaries = [self._variant(number, name) for number, name in enumerate([*self._names, *self._controls])]
        variants, controls = summaries[: len(self._names)], summaries[len(self._names) :]
        shape = self._shape
        ranked = [each for each in sorted(summaries, key=lambda each: each.loss or 0.0) if each.loss is not None]
        summary = BacktestSummary(
            pipeline="orders",
            task=shape.task,
            source="orders.jsonl.gz",
            events=self._records - shape.training * shape.records - 7,
            rejected=7,
            from_position=shape.training * shape.records,
            partitions=list(range(shape.partitions)),
            from_time_s=self._time(0),
            to_time_s=self._time(self._records),
            interval_records=shape.records,
            variants=variants,
            controls=controls,
            ranking=[self._comparison(*pair) for pair in itertools.pairwise(ranked)],
            incidents=[Incident(text="two columns are swapped", position=self._records // 2)],
            notes=["Retention has deleted 1,204 records of the range asked for."],
            partial=shape.partial,
            command="stream-retrain backtest shop.py:orders --source orders.jsonl.gz",
            versions={"stream_retrain": "0.2.0", "river": "0.26.1"},
            seconds=12.5,
        )
        return summary, self._later(shape.training)

    def _later(self, first: int) -> BacktestCurves:
        """The curves from an interval on, as `backtesting.later` leaves them."""
        all_, begin = self._curves, first * self._shape.records
        spans = [each for each in all_.generations if each.until_position is None or each.until_position > begin]
        return BacktestCurves(
            intervals=[each for each in all_.intervals if each.number >= first],
            readings=[each for each in all_.readings if each.number >= first],
            duels=[each for each in all_.duels if each.position >= begin],
            marks=[each for each in all_.marks if each.position >= begin],
            generations=[dataclasses.replace(each, from_position=max(begin, each.from_position)) for each in spans],
        )

    def _comparison(self, better: VariantSummary, worse: VariantSummary) -> Comparison:
        difference = (worse.loss or 0.0) - (better.loss or 0.0)
        half = difference * (0.4 if self._shape.shown else 1.7)
        return Comparison(
            better=better.name,
            worse=worse.name,
            difference=difference,
            low=difference - half,
            high=difference + half,
            intervals=self._shape.intervals,
        )

    def _time(self, position: int) -> float | None:
        return START_S + 60.0 * position if self._shape.times else None

    def _variant(self, number: int, name: str) -> VariantSummary:
        shape, control = self._shape, name in self._controls
        losses: list[list[float]] = []
        replaced = 0
        for partition in range(shape.partitions):
            losses.append([self._loss(name, interval, partition) for interval in range(shape.intervals)])
            self._intervals(name, partition, losses[-1])
            if not control:
                replaced += self._life(name, number, partition)
        mean = [sum(column) / len(column) for column in zip(*losses, strict=True)]
        self._intervals(name, None, mean)
        loss = sum(mean) / len(mean) if shape.labels else None
        labelled = self._records - 7 if shape.labels else 0
        metric = "MAE" if shape.task == "regression" else "Accuracy"
        quality = None if loss is None else self._quality(loss)
        repeating = self._controls and self._base[self._controls[0]] * self._scale
        return VariantSummary(
            name=name,
            control=control,
            description="repeats what came last" if control else "logistic regression; ADWIN on the error",
            metric=metric,
            quality=quality,
            metrics={} if quality is None else {metric: quality},
            loss=loss,
            kappa_temporal=None if loss is None or not repeating else 1 - loss / repeating,
            labelled=labelled,
            drifts=0 if control else shape.drifts * shape.partitions,
            replacements=replaced,
            duels=0 if control else shape.partitions,
            trainings=0,
            generations=dict.fromkeys(range(shape.partitions), replaced),
            cpu_us=12.0 + 25.0 * number,
            events_per_s=1e6 / (12.0 + 25.0 * number),
        )

    def _quality(self, loss: float) -> float:
        return loss if self._shape.task == "regression" else 1 - loss

    def _loss(self, name: str, interval: int, partition: int) -> float:
        after = 0.15 if interval >= self._shape.intervals // 2 else 0.0
        wave = 0.02 * math.sin(interval / 5 + partition)
        return self._scale * max(0.005, self._base[name] + wave + after * self._base[name] + self._random.gauss(0, 0.008))

    def _intervals(self, name: str, partition: int | None, losses: list[float]) -> None:
        shape = self._shape
        for number, loss in enumerate(losses):
            position = number * shape.records
            self._curves.intervals.append(
                Interval(
                    variant=name,
                    partition=partition,
                    number=number,
                    position=position,
                    from_time_s=self._time(position),
                    to_time_s=self._time(position + shape.records - 1),
                    events=shape.records,
                    labelled=shape.records if shape.labels else 0,
                    loss=loss if shape.labels else None,
                    metrics={("MAE" if shape.task == "regression" else "Accuracy"): self._quality(loss)} if shape.labels else {},
                )
            )

    def _life(self, name: str, number: int, partition: int) -> int:
        """What its detectors, duels and models did in a partition; how often the model was replaced."""
        shape, step = self._shape, self._records // (self._shape.drifts + 1)
        for interval in range(shape.intervals):
            reading = DriftReading(
                variant=name,
                partition=partition,
                number=interval,
                position=interval * shape.records,
                signal="error",
                detector="ADWIN",
                statistic=None,
                threshold=None,
                estimate=self._base[name],
                width=200 + 50 * (interval % 9),
            )
            tested = dataclasses.replace(
                reading,
                signal="feature:price",
                detector="PageHinkley",
                statistic=float(interval % 12),
                threshold=10.0,
                estimate=None,
                width=None,
            )
            self._curves.readings.extend([reading, tested])
        starts = [0]
        for drift in range(1, shape.drifts + 1):
            at = drift * step + number
            self._mark(name, partition, "drift", at, "ADWIN detected that error went up")
            if drift % 4 == 1:
                self._mark(name, partition, "reset", at, f"the model was reset; generation {len(starts)} serves")
                starts.append(at)
        ends = [*starts[1:], None]
        for generation, (begin, end) in enumerate(zip(starts, ends, strict=True)):
            span = GenerationSpan(
                variant=name,
                partition=partition,
                generation=generation,
                from_position=begin,
                until_position=end,
                from_time_s=self._time(begin),
                cause="reset" if generation else "begin",
            )
            self._curves.generations.append(span)
        if shape.labels:
            self._duel(name, partition)
        return len(starts) - 1

    def _mark(self, name: str, partition: int, kind: str, at: int, text: str) -> None:
        time_s = self._time(at) or 0.0
        self._curves.marks.append(
            Mark(variant=name, partition=partition, kind=kind, offset=at, position=at, time_s=time_s, text=text)  # type: ignore[arg-type]
        )

    def _duel(self, name: str, partition: int) -> None:
        begins = self._records // 2
        for contestant, growth in (("fresh", 1.06), ("since_change", 0.94)):
            for number in range(60):
                point = DuelPoint(
                    variant=name,
                    partition=partition,
                    duel=1,
                    contestant=contestant,
                    position=begins + 10 * number,
                    events=10 * number,
                    e_value=growth**number,
                    passes_at=2 / ALPHA,
                )
                self._curves.duels.append(point)
