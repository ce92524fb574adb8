"""From recordings to the result: sums over partitions, controls, ranking, notes. A function of the recordings, whatever made them.

Means over partitions are weighted by labels. What compares variants (kappa-temporal, the ranking) rests on the intervals that all lanes
have to their end, which in a backtest that was not interrupted are all of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from stream_retrain.backtesting.ranking import Loss, ranked
from stream_retrain.backtesting.recording import IntervalSums, Recording
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary, Incident, Interval, VariantSummary
from stream_retrain.backtesting.variants import LAST_VALUE, PREVIOUS_LABEL, Variant, described
from stream_retrain.core.pipeline import Pipeline

__all__ = ["Run", "summed"]

_BASE: Final = (PREVIOUS_LABEL, LAST_VALUE)
"""The control that kappa-temporal is measured against."""
_Key = tuple[int, int]
"""An interval of a partition: its number, then the partition."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What was run, beside what it left."""

    own: Pipeline
    """The pipeline itself."""
    variants: Sequence[Variant]
    """In the order asked for, the controls last."""
    source: str
    partitions: Sequence[int]
    interval_records: int
    from_position: int
    notes: Sequence[str]
    incidents: Sequence[Incident]
    partial: bool
    command: str
    versions: Mapping[str, str]
    seconds: float


def summed(run: Run, recordings: Iterable[Recording]) -> tuple[BacktestSummary, BacktestCurves]:
    """Add up the recordings of a run, which may lack some that were never begun."""
    of = _by_variant(run, recordings)
    shared = _shared(run, of)
    losses = {variant.name: _losses(of[variant.name], shared) for variant in run.variants}
    base = next((losses[variant.name] for variant in run.variants if variant.name in _BASE), [])
    summaries = [_summary(variant, of[variant.name], losses[variant.name], base) for variant in run.variants]
    first = of[run.variants[0].name]
    times = [time for each in first for row in each.intervals for time in (row.from_time_s, row.to_time_s) if time is not None]
    summary = BacktestSummary(
        pipeline=run.own.name,
        task=run.own.task,
        source=run.source,
        events=sum(each.events for each in first),
        rejected=sum(each.rejected for each in first),
        from_position=run.from_position,
        partitions=list(run.partitions),
        from_time_s=min(times, default=None),
        to_time_s=max(times, default=None),
        interval_records=run.interval_records,
        variants=[each for each in summaries if not each.control],
        controls=[each for each in summaries if each.control],
        ranking=ranked(losses),
        incidents=list(run.incidents),
        notes=[*run.notes, *_notes(run, of, shared)],
        partial=run.partial,
        command=run.command,
        versions=dict(run.versions),
        seconds=run.seconds,
    )
    return summary, _curves(run, of)


def _by_variant(run: Run, recordings: Iterable[Recording]) -> dict[str, list[Recording]]:
    """The recordings of each variant, by partition."""
    of: dict[str, list[Recording]] = {variant.name: [] for variant in run.variants}
    for each in recordings:
        of[each.variant].append(each)
    for found in of.values():
        found.sort(key=lambda each: each.partition)
    return of


def _shared(run: Run, of: Mapping[str, Sequence[Recording]]) -> dict[int, float]:
    """By partition, up to before which interval all lanes have come."""
    shared = dict.fromkeys(run.partitions, math.inf)
    for found in of.values():
        come = {each.partition: math.inf if each.stopped_in is None else each.stopped_in for each in found}
        shared = {partition: min(number, come.get(partition, 0)) for partition, number in shared.items()}
    return shared


def _losses(recordings: Sequence[Recording], shared: Mapping[int, float]) -> list[Loss]:
    """The losses of a variant interval by interval, over all partitions, in the intervals that all lanes have."""
    numbers = sorted({row.number for each in recordings for row in each.intervals if row.number < shared[each.partition]})
    sums: dict[int, list[float]] = {number: [] for number in numbers}
    labels = dict.fromkeys(numbers, 0)
    for each in recordings:
        for row in each.intervals:
            if row.number < shared[each.partition]:
                sums[row.number].append(row.loss_sum)
                labels[row.number] += row.losses
    return [Loss(math.fsum(sums[number]), labels[number]) for number in numbers]


def _summary(variant: Variant, recordings: Sequence[Recording], losses: Sequence[Loss], base: Sequence[Loss]) -> VariantSummary:
    rows = [row for each in recordings for row in each.intervals]
    count = sum(row.losses for row in rows)
    events = sum(each.events for each in recordings)
    cpu_s = sum(each.cpu_s for each in recordings)
    metrics = _weighted((each.metrics, each.labelled) for each in recordings)
    declared = [type(each).__name__ for each in variant.pipeline.scores.metrics]
    metric = next((name for name in declared if name in metrics), declared[0])  # of a part not all are known
    return VariantSummary(
        name=variant.name,
        control=variant.control,
        description=described(variant.pipeline),
        metric=metric,
        quality=metrics.get(metric),
        metrics=metrics,
        loss=math.fsum(row.loss_sum for row in rows) / count if count else None,
        kappa_temporal=_kappa_temporal(losses, base),
        labelled=sum(each.labelled for each in recordings),
        drifts=sum(each.drifts for each in recordings),
        replacements=sum(each.replacements for each in recordings),
        duels=sum(each.duels for each in recordings),
        trainings=sum(each.trainings for each in recordings),
        generations={each.partition: each.generation for each in recordings},
        cpu_us=cpu_s * 1e6 / max(1, events),
        events_per_s=events / cpu_s if cpu_s > 0 else 0.0,
    )


def _kappa_temporal(losses: Sequence[Loss], base: Sequence[Loss]) -> float | None:
    """1 - loss / loss of the control; None without labels, and where the control makes no error."""
    mean, of_base = (
        math.fsum(each.sum for each in of) / labels if (labels := sum(each.labels for each in of)) else None for of in (losses, base)
    )
    return None if mean is None or not of_base else 1 - mean / of_base


def _weighted(values: Iterable[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """The mean of each metric, weighted by labels; of a single partition its value as it is."""
    known = [(metrics, labels) for metrics, labels in values if labels]
    if len(known) == 1:
        return dict(known[0][0])
    names = dict.fromkeys(name for metrics, _ in known for name in metrics)
    means = {}
    for name in names:
        having = [(metrics[name], labels) for metrics, labels in known if name in metrics]
        means[name] = math.fsum(value * labels for value, labels in having) / sum(labels for _, labels in having)
    return means


def _curves(run: Run, of: Mapping[str, Sequence[Recording]]) -> BacktestCurves:
    curves = BacktestCurves(intervals=[], readings=[], duels=[], marks=[], generations=[])
    for variant in run.variants:
        recordings = of[variant.name]
        curves.intervals.extend(_together(run, variant.name, recordings))
        for each in recordings:
            curves.intervals.extend(_interval(run, each, row) for row in each.intervals)
            curves.readings.extend(each.readings)
            curves.duels.extend(each.duel_points)
            curves.marks.extend(each.marks)
            curves.generations.extend(each.generations)
    return curves


def _interval(run: Run, recording: Recording, row: IntervalSums) -> Interval:
    return Interval(
        variant=recording.variant,
        partition=recording.partition,
        number=row.number,
        position=row.number * run.interval_records,
        from_time_s=row.from_time_s,
        to_time_s=row.to_time_s,
        events=row.events,
        labelled=row.labelled,
        loss=row.loss_sum / row.losses if row.losses else None,
        metrics=row.metrics,
    )


def _together(run: Run, variant: str, recordings: Sequence[Recording]) -> Iterable[Interval]:
    """The intervals of all partitions together."""
    by_number: dict[int, list[IntervalSums]] = {}
    for each in recordings:
        for row in each.intervals:
            by_number.setdefault(row.number, []).append(row)
    for number in sorted(by_number):
        rows = by_number[number]
        losses = sum(row.losses for row in rows)
        yield Interval(
            variant=variant,
            partition=None,
            number=number,
            position=number * run.interval_records,
            from_time_s=min((row.from_time_s for row in rows if row.from_time_s is not None), default=None),
            to_time_s=max((row.to_time_s for row in rows if row.to_time_s is not None), default=None),
            events=sum(row.events for row in rows),
            labelled=sum(row.labelled for row in rows),
            loss=math.fsum(row.loss_sum for row in rows) / losses if losses else None,
            metrics=_weighted((row.metrics, row.labelled) for row in rows),
        )


def _notes(run: Run, of: Mapping[str, Sequence[Recording]], shared: Mapping[int, float]) -> list[str]:
    first = of[run.variants[0].name]
    notes = []
    if run.partial:
        notes.append(_interrupted(run, of, shared))
    if not run.partial and not any(each.labelled for each in first):
        label = run.own.schema.label_name
        notes.append(f"No label came, so there is no quality: {label!r} is absent or null in all records, or no answer found its question.")
    if out_of_order := sum(each.out_of_order for each in first):
        most_s = max(each.earlier_s_max for each in first)
        notes.append(
            f"Events that are earlier than one before them in their partition: {out_of_order:,}, by at most {most_s:,.3f} s."
            " They are taken in the order of the source, as a worker would."
        )
    if rejected := next((each.first_rejected for each in first if each.first_rejected), ""):
        notes.append(f"Rejected records would be dead letters. The first: {rejected}.")
    expected = sum(each.rejected for each in first)
    for variant in run.variants[1:]:
        found = sum(each.rejected for each in of[variant.name])
        if found != expected and not run.partial:
            notes.append(f"Variant {variant.name!r} rejected {found:,} records, and {run.variants[0].name!r} {expected:,}.")
    for variant in run.variants:
        for each in of[variant.name]:
            where = f" over partition {each.partition}" if len(run.partitions) > 1 else ""
            notes.extend(f"Variant {variant.name!r}{where}: {note}." for note in each.notes)
    return notes


def _interrupted(run: Run, of: Mapping[str, Sequence[Recording]], shared: Mapping[int, float]) -> str:
    """How far an interrupted run has come."""
    come = ", ".join(f"{variant.name!r} {sum(each.records for each in of[variant.name]):,}" for variant in run.variants)
    common = sum(row.events for each in of[run.variants[0].name] for row in each.intervals if row.number < shared[each.partition])
    return (
        f"It was interrupted. Records that each variant had taken by then: {come}. Each variant's figures are of its own records;"
        f" kappa-temporal and the ranking are of the {common:,} events that all of them had in whole intervals."
    )
