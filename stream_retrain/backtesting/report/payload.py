"""The curves as the page's script takes them: columns by variant and partition, short numbers, at most so many marks.

An interval is a place in a list; what does not exist is null. Variants are numbers, in the order of the summary with the controls last.
Of controls there are curves and nothing else: what they did is no news. Partitions are keys: "all", "0", "1".

Limits: a page draws at most `MARKS_MAX` marks of one kind and shard, and `DUEL_POINTS_MAX` points of one variant's duels. Beyond that every
second, third, ... is left out, and the page says how many.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, Final, TypeVar

from river import metrics

from stream_retrain.backtesting.report.verdict import REPEATING
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary, DriftReading, DuelPoint, Interval, Mark

__all__ = ["ALL", "payload"]

ALL: Final = "all"
MARKS_MAX: Final = 400
DUEL_POINTS_MAX: Final = 4_000
_Item = TypeVar("_Item")


def payload(summary: BacktestSummary, curves: BacktestCurves) -> dict[str, Any]:
    """What is embedded in the page, ready for JSON."""
    everyone = [*summary.variants, *summary.controls]
    index = {each.name: number for number, each in enumerate(everyone)}
    names = _metric_names(curves.intervals)
    single = summary.partitions[0] if len(summary.partitions) == 1 else None
    by_shard = _grouped(curves.intervals, lambda each: (each.variant, ALL if each.partition is None else str(each.partition)))
    if single is not None:
        by_shard = {(variant, ALL): each for (variant, key), each in by_shard.items() if key == ALL or (variant, ALL) not in by_shard}
    numbers = itertools.chain((each.number for each in curves.intervals), (each.number for each in curves.readings))
    count = 1 + max(numbers, default=-1)
    drawn = {each.name: index[each.name] for each in summary.variants}
    marks, left_out = _marks(curves.marks, drawn)
    return {
        "task": summary.task,
        "records": summary.interval_records,
        "intervals": count,
        "begin": summary.from_position,
        "end": _end(summary, curves, count),
        "partitions": [ALL] if single is not None else [ALL, *map(str, summary.partitions)],
        "metrics": [{"name": name, "up": _more_is_better(name)} for name in names],
        "metric": summary.metric,
        "repeating": next((index[each.name] for each in summary.controls if each.name in REPEATING), None),
        "variants": [
            {"name": each.name, "control": each.control, "quality": _short(each.metrics.get(summary.metric)), "cpu": _short(each.cpu_us)}
            for each in everyone
        ],
        "shards": _spans(by_shard, count),
        "curves": [
            {
                "v": index[variant],
                "p": key,
                "loss": _column(each, count, lambda one: one.loss),
                "metrics": {name: _column(each, count, lambda one, name=name: one.metrics.get(name)) for name in names},  # type: ignore[misc]
            }
            for (variant, key), each in by_shard.items()
            if variant in index
        ],
        "readings": _readings(curves.readings, index, count),
        "duels": _duels(curves.duels, index),
        "marks": marks,
        "leftOut": left_out,
        "generations": [
            [drawn[each.variant], str(each.partition), each.generation, each.from_position, each.until_position, each.cause]
            for each in curves.generations
            if each.variant in drawn
        ],
        "incidents": [[each.position, each.text] for each in summary.incidents],
    }


def _end(summary: BacktestSummary, curves: BacktestCurves, count: int) -> int:
    """The position after the last."""
    last = max((each.position for each in curves.marks), default=0)
    records = summary.from_position + summary.events + summary.rejected
    return max(summary.from_position + 1, last + 1, min(records, count * summary.interval_records))


def _metric_names(intervals: Iterable[Interval]) -> list[str]:
    return list(dict.fromkeys(name for each in intervals for name in each.metrics))


def _more_is_better(name: str) -> bool:
    """Whether a larger value of a River metric is better; of one that is not River's, or asks for parameters, it is assumed."""
    try:
        return bool(getattr(metrics, name)().bigger_is_better)
    except (AttributeError, TypeError):
        return True


def _spans(by_shard: dict[tuple[str, str], list[Interval]], count: int) -> dict[str, Any]:
    """By partition: event times and counts of each interval, the same for every variant."""
    spans: dict[str, Any] = {}
    for (_, key), each in by_shard.items():
        spans.setdefault(
            key,
            {
                "from": _column(each, count, lambda one: one.from_time_s, _time),
                "to": _column(each, count, lambda one: one.to_time_s, _time),
                "events": _column(each, count, lambda one: one.events),
                "labelled": _column(each, count, lambda one: one.labelled),
            },
        )
    return spans


def _readings(readings: Sequence[DriftReading], index: dict[str, int], count: int) -> list[dict[str, Any]]:
    """By variant, partition, signal and detector."""
    groups = _grouped(readings, lambda each: (each.variant, each.partition, each.signal, each.detector))
    return [
        {
            "v": index[variant],
            "p": str(partition),
            "signal": signal,
            "detector": detector,
            "statistic": _column(each, count, lambda one: one.statistic),
            "threshold": _column(each, count, lambda one: one.threshold),
            "estimate": _column(each, count, lambda one: one.estimate),
            "width": _column(each, count, lambda one: one.width),
        }
        for (variant, partition, signal, detector), each in groups.items()
        if variant in index
    ]


def _duels(points: Sequence[DuelPoint], index: dict[str, int]) -> list[list[Any]]:
    """Variant, partition, duel, contestant, position, events, e-value, and the e-value that passes."""
    kept: list[list[Any]] = []
    for variant, own in _grouped(points, lambda each: each.variant).items():
        if variant not in index:
            continue
        runs = _grouped(own, lambda each: (each.partition, each.duel, each.contestant))
        share = max(2, DUEL_POINTS_MAX // max(1, len(runs)))
        for run in runs.values():
            for each in _thinned(run, share):
                place = [index[variant], str(each.partition), each.duel, each.contestant, each.position, each.events]
                kept.append([*place, _short(each.e_value), _short(each.passes_at)])
    return kept


def _marks(marks: Sequence[Mark], drawn: dict[str, int]) -> tuple[list[list[Any]], int]:
    """Variant, partition, kind, position, offset, time and text of what is drawn; and how many are not, for want of room."""
    wanted = [each for each in marks if each.variant in drawn]
    groups = _grouped(wanted, lambda each: (each.variant, each.partition, each.kind))
    kept = sorted((each for group in groups.values() for each in _thinned(group, MARKS_MAX)), key=lambda each: each.position)
    rows = [
        [drawn[each.variant], str(each.partition), each.kind, each.position, each.offset, _time(each.time_s), each.text] for each in kept
    ]
    return rows, len(wanted) - len(kept)


def _thinned(items: list[_Item], limit: int) -> list[_Item]:
    """Every n-th of them and the last, so that there are about `limit` at most."""
    step = math.ceil(len(items) / limit)
    return items if step <= 1 else [*items[:-1:step], items[-1]]


def _grouped(items: Iterable[_Item], key: Callable[[_Item], Hashable]) -> dict[Any, list[_Item]]:
    groups: dict[Any, list[_Item]] = defaultdict(list)
    for each in items:
        groups[key(each)].append(each)
    return dict(groups)


def _short(value: float | None) -> float | int | None:
    """Six significant digits; null where it is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.6g}")


def _time(value: float | None) -> float | int | None:
    """To the millisecond; null beyond the years that a calendar in a browser has."""
    if value is None or not abs(value) <= 8.64e12:
        return None
    return round(value) if value == round(value) else round(value, 3)


def _column(
    items: Iterable[Any], count: int, value: Callable[[Any], float | None], short: Callable[[float | None], Any] = _short
) -> list[Any] | None:
    """A value of each interval, by its number; None where none has one."""
    column: list[Any] = [None] * count
    for each in items:
        column[each.number] = short(value(each))
    return column if any(each is not None for each in column) else None
