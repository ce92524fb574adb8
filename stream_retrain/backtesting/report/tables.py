"""What stands in the page's HTML: the key figures, and the ranking with its paired intervals."""

from __future__ import annotations

import dataclasses
from typing import Final, NamedTuple

from stream_retrain.backtesting.report.formats import count, moment, number, plural
from stream_retrain.backtesting.report.verdict import ordered
from stream_retrain.backtesting.result import BacktestSummary, Comparison, VariantSummary

__all__ = ["Figure", "RankingRow", "figures", "ranking_rows"]

CENT: Final = 100.0


class Figure(NamedTuple):
    """A key figure: what it is, the figure, and what belongs to it."""

    name: str
    value: str
    more: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RankingRow:
    """A variant or control in the ranking, with its lead on the next."""

    place: int
    index: int
    """Its number in the page: colour, line style, marker."""
    each: VariantSummary
    lead: Comparison | None
    left: float
    """Where its interval is drawn, in percent of the width of the widest: its left end,"""
    right: float
    """its right end,"""
    middle: float
    """the difference itself,"""
    zero: float
    """and no difference."""


def figures(summary: BacktestSummary) -> list[Figure]:
    """The row of figures under the verdict."""
    best = next((each for each in ordered(summary) if not each.control), None)
    rejected = f"and {plural(summary.rejected, 'record')} rejected" if summary.rejected else "no record rejected"
    found = [
        Figure("Events", count(summary.events), f"{rejected}{_after(summary)}"),
        Figure("Labels", count(max((each.labelled for each in summary.variants), default=0)), ""),
        Figure("Variants", count(len(summary.variants)), f"and {plural(len(summary.controls), 'control')}" if summary.controls else ""),
        Figure("Partitions", count(len(summary.partitions)), "each with a model of its own" if len(summary.partitions) > 1 else ""),
    ]
    if best is not None and best.quality is not None:
        found.append(Figure(f"Best {best.metric}", number(best.quality), best.name))
    found.append(Figure("Drifts", count(sum(each.drifts for each in summary.variants)), "over all variants"))
    found.append(Figure("Replacements", count(sum(each.replacements for each in summary.variants)), "of a champion, over all variants"))
    if summary.from_time_s is not None and summary.to_time_s is not None:
        covered = _covered(summary.to_time_s - summary.from_time_s)
        found.append(Figure("Time covered", covered, f"{moment(summary.from_time_s)} to {moment(summary.to_time_s)}"))
    return found


def _after(summary: BacktestSummary) -> str:
    return f"; after {plural(summary.from_position, 'record')} that chose the settings" if summary.from_position else ""


def _covered(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{number(seconds / size, 3 if seconds < 100 * size else len(str(int(seconds / size))))} {unit}"
    return f"{number(seconds, 3)} s"


def ranking_rows(summary: BacktestSummary) -> list[RankingRow]:
    """The variants and controls, the smallest loss first."""
    index = {each.name: place for place, each in enumerate([*summary.variants, *summary.controls])}
    leads = {each.better: each for each in summary.ranking}
    low = min((each.low for each in summary.ranking), default=0.0)
    high = max((each.high for each in summary.ranking), default=0.0)
    zero = min(0.0, low)
    width = max(high, 0.0) - zero or 1.0

    def place(value: float) -> float:
        return round(CENT * (value - zero) / width, 2)

    rows = []
    for number_, each in enumerate(ordered(summary), start=1):
        lead = leads.get(each.name)
        left, right, middle = map(place, (lead.low, lead.high, lead.difference) if lead else (zero, zero, zero))
        row = RankingRow(
            place=number_, index=index[each.name], each=each, lead=lead, left=left, right=right, middle=middle, zero=place(0.0)
        )
        rows.append(row)
    return rows
