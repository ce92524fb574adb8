"""What came of a backtest in a few plain sentences: who predicted best, by how much, and what the controls say.

Rules:

- A variant is called best only where the paired interval between it and the next excludes 0. Otherwise the two cannot be told apart.
- A control that leads is said first: then no variant is worth its cost on these labels.
- A difference of shares is in points (of 100 labels, so many more were right), one of a regression in the label's unit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from stream_retrain.backtesting.report.formats import lead_text, loss_text, number, plural
from stream_retrain.backtesting.result import BacktestSummary, Comparison, VariantSummary

__all__ = ["REPEATING", "Tone", "Verdict", "ordered", "verdict"]

REPEATING: Final = ("previous label", "last value")
"""The controls that repeat what came last; kappa-temporal is measured against them."""

Tone: TypeAlias = Literal["shown", "open", "control", "none"]
"""A best variant was shown; none was; a control leads; nothing can be said."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence that says it, and the sentences that bear it out."""

    tone: Tone
    headline: str
    sentences: tuple[str, ...]


def ordered(summary: BacktestSummary) -> list[VariantSummary]:
    """Variants and controls, the smallest loss first; those without labels last, in the order asked for."""
    everyone = [*summary.variants, *summary.controls]
    return sorted(everyone, key=lambda each: (each.loss is None, each.loss or 0.0))


def verdict(summary: BacktestSummary) -> Verdict:
    """The verdict over all labels of a backtest."""
    scored = [each for each in ordered(summary) if each.loss is not None]
    variants = [each for each in scored if not each.control]
    if not variants:
        why = "it was interrupted before there were labels to judge by" if summary.partial else "no labels came"
        return Verdict("none", f"Nothing can be said of the quality: {why}.", ())
    best, first = variants[0], scored[0]
    sentences = [*_loss(summary, best), *_lead(summary, best, scored), *_controls(summary, variants), *_cost(variants)]
    if first.control:
        headline = f"No variant beat the control “{first.name}”; “{best.name}” came nearest."
        return Verdict("control", headline, tuple(sentences))
    if len(variants) == 1:
        return Verdict("shown" if _is_shown(summary, best) else "open", _alone(summary, best, scored), tuple(sentences))
    if _is_shown(summary, best):
        return Verdict("shown", f"“{best.name}” predicted best.", tuple(sentences))
    if (found := _between(summary, best.name)) is not None and found.difference == 0:
        return Verdict("open", f"“{best.name}” and “{found.worse}” did equally well.", tuple(sentences))
    return Verdict("open", f"“{best.name}” is ahead of “{scored[1].name}”, and chance alone could have done that.", tuple(sentences))


def _alone(summary: BacktestSummary, best: VariantSummary, scored: list[VariantSummary]) -> str:
    if len(scored) == 1:
        return f"“{best.name}” ran alone: there is nothing to compare it with."
    says = "beat every control" if _is_shown(summary, best) else f"cannot be told from the control “{scored[1].name}”"
    return f"“{best.name}” {says}."


def _is_shown(summary: BacktestSummary, best: VariantSummary) -> bool:
    found = _between(summary, best.name)
    return found is not None and found.is_shown


def _between(summary: BacktestSummary, better: str) -> Comparison | None:
    """The comparison of one with the next."""
    return next((each for each in summary.ranking if each.better == better), None)


def _loss(summary: BacktestSummary, best: VariantSummary) -> Iterator[str]:
    what = f"it missed {loss_text(best.loss, summary.task)} of {plural(best.labelled, 'label')}"
    if summary.task == "regression":
        what = f"its mean absolute error over {plural(best.labelled, 'label')} is {number(best.loss)}"
    says_more = best.quality is not None and best.metric != "MAE"
    quality = f"{best.metric} {number(best.quality)}; " if says_more else ""
    yield f"“{best.name}”: {quality}{what}."


def _lead(summary: BacktestSummary, best: VariantSummary, scored: list[VariantSummary]) -> Iterator[str]:
    found = _between(summary, scored[0].name)
    if found is None or len(scored) == 1:
        return
    if found.difference == found.low == found.high == 0:
        yield f"“{found.worse}” has the same losses on the same labels, interval by interval."
        return
    size, low, high = (lead_text(value, summary.task, "") for value in (found.difference, found.low, found.high))
    what = f"That is {size} less than" if summary.task == "regression" else f"That is {size} points fewer misses than"
    if scored[0] is not best:
        what = f"“{found.better}” is ahead by {size}{'' if summary.task == 'regression' else ' points'} of"
    says = "" if found.is_shown else ", which includes 0: the next labels could turn it round"
    yield f"{what} “{found.worse}”, the next; the paired 95 % interval is {low} to {high}{says}."


def _controls(summary: BacktestSummary, variants: list[VariantSummary]) -> Iterator[str]:
    best = variants[0]
    for control in summary.controls:
        if control.loss is None or best.loss is None:
            continue
        ahead = sum(each.loss is not None and each.loss < control.loss for each in variants)
        if len(variants) == 1:
            who = f"“{best.name}” did {'better' if ahead else 'no better'} than that"
        else:
            who = f"{'all' if ahead == len(variants) else ahead or 'none'} of {len(variants)} variants did better"
        kappa = ""
        if control.name in REPEATING and best.kappa_temporal is not None:
            kappa = f" (kappa-temporal of “{best.name}”: {number(best.kappa_temporal, 3)})"
        yield f"Control “{control.name}”, loss {loss_text(control.loss, summary.task)}: {who}{kappa}."


def _cost(variants: list[VariantSummary]) -> Iterator[str]:
    best = variants[0]
    cheapest = min(variants, key=lambda each: each.cpu_us)
    if best.cpu_us <= 0:
        return
    beside = ""
    if cheapest is not best and cheapest.cpu_us > 0:
        beside = f", {number(best.cpu_us / cheapest.cpu_us, 2)} times that of the cheapest, “{cheapest.name}”"
    yield f"It costs {number(best.cpu_us, 3)} us of CPU an event{beside}."
