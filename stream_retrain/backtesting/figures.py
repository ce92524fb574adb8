"""The figures of a backtest as rows of text, for a terminal and a notebook: best first, with what can be said of each pair."""

from __future__ import annotations

from typing import NamedTuple

from stream_retrain.backtesting.report.formats import lead_text, loss_text, number
from stream_retrain.backtesting.report.verdict import ordered, verdict
from stream_retrain.backtesting.result import BacktestSummary, Comparison

__all__ = ["Figures", "figures"]


class Figures(NamedTuple):
    """A table and what surrounds it."""

    headline: str
    sentences: tuple[str, ...]
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    controls: frozenset[int]
    """Which rows are controls."""
    below: list[str]
    """What was read, and notes."""


def figures(summary: BacktestSummary) -> Figures:
    """The figures of a summary."""
    said = verdict(summary)
    everyone = ordered(summary)
    regression = summary.task == "regression"
    header = ("", summary.metric, "error" if regression else "missed", "kappa-t", "lead, 95 % interval", "drifts", "repl.", "us")
    pairs = {pair.better: pair for pair in summary.ranking}
    rows: list[tuple[str, ...]] = [
        (
            each.name,
            number(each.metrics.get(summary.metric)),
            loss_text(each.loss, summary.task),
            "" if each.kappa_temporal is None else f"{each.kappa_temporal:.3f}",
            _lead(pairs.get(each.name), summary.task),
            f"{each.drifts:,}",
            f"{each.replacements:,}",
            f"{each.cpu_us:.0f}",
        )
        for each in everyone
    ]
    controls = frozenset(index for index, each in enumerate(everyone) if each.control)
    return Figures(said.headline, said.sentences, header, rows, controls, _below(summary))


def _lead(pair: Comparison | None, task: str) -> str:
    if pair is None:
        return ""
    difference, low, high = (lead_text(value, task, "") for value in (pair.difference, pair.low, pair.high))
    return f"{difference} ({low} to {high}){'' if pair.is_shown else ' ?'}"


def _below(summary: BacktestSummary) -> list[str]:
    unit = "" if summary.task == "regression" else ", in points"
    open_ = "; ?: it includes 0, so the two cannot be told apart" if any(not pair.is_shown for pair in summary.ranking) else ""
    read = f"{summary.events:,} events"
    if len(summary.partitions) > 1:
        read += f" in {len(summary.partitions)} partitions"
    if summary.rejected:
        read += f", and {summary.rejected:,} records that are none"
    return [
        f"lead: how much less it missed than the next{unit}{open_}; repl.: how often another model took over; us: CPU an event",
        f"{read}, from {summary.source}; {summary.seconds:,.1f} s.",
        *summary.notes,
    ]
