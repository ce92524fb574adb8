"""The demo on a terminal: a live picture while it runs where there is one, plain lines where there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

__all__ = ["DemoScreen", "sparkline"]

BARS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 48
LINE_EVERY_S: Final = 3.0


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Values as a row of bars between `low` and `high`; a value that is none is a blank."""
    span = max(high - low, 1e-9)
    return "".join(" " if value != value else BARS[min(7, max(0, int((value - low) / span * 8)))] for value in values)


class DemoScreen:
    """Shows steps and the worker's status on standard error; standard output is left to the result."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._history: dict[str, list[tuple[float, bool]]] = {}
        self._resets: dict[str, int] = {}
        self._last = (0.0, 0)
        self._printed_s = 0.0
        self._rate = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the live picture away; stopping again does nothing."""
        if self._live is not None:
            self._live.stop()

    def step(self, text: str) -> None:
        """A step of the course begins."""
        self._console.print(f"· {text}", markup=False, highlight=False)

    def live(self, published: int, events: int, status: dict[str, Any]) -> None:
        """How the worker stands."""
        predicted = sum(shard["records"] for shard in status["shards"].values())
        self._note(predicted, status)
        if self._live is not None:
            self._live.update(Group(*self._picture(published, predicted, events, status)))
        elif time.monotonic() - self._printed_s > LINE_EVERY_S:
            self._printed_s = time.monotonic()
            self._console.print(
                f"  {predicted:>9,} of {events:,} predicted, {self._rate:,.0f} events/s, {_shards(status)}", highlight=False
            )

    def comparing(self, done: int, total: int) -> None:
        """How far the backtest is."""
        if self._live is not None:
            line = Table.grid(padding=(0, 1))
            line.add_row("comparing", ProgressBar(total=total, completed=done, width=WIDTH), f"{done:,} of {total:,}")
            self._live.update(line)

    def _note(self, predicted: int, status: dict[str, Any]) -> None:
        now_s = time.monotonic()
        before_s, before = self._last
        if now_s - before_s >= 1.0:
            self._rate = max(0.0, (predicted - before) / (now_s - before_s)) if before_s else 0.0
            self._last = (now_s, predicted)
        for name, shard in status["shards"].items():
            drifted = shard["resets"] > self._resets.get(name, 0)
            self._resets[name] = shard["resets"]
            quality = _quality(shard)
            self._history.setdefault(name, []).append((quality, drifted))

    def _picture(self, published: int, predicted: int, events: int, status: dict[str, Any]) -> list[Any]:
        top = Table.grid(padding=(0, 1))
        top.add_row("published", ProgressBar(total=events, completed=published, width=WIDTH), f"{published:,}")
        top.add_row("predicted", ProgressBar(total=events, completed=predicted, width=WIDTH), f"{predicted:,}  {self._rate:,.0f} events/s")
        shards = Table("shard", "rolling accuracy, ▼ = drift, model reset", "now", "generation", "lag", box=None, padding=(0, 2, 0, 0))
        for name, shard in sorted(status["shards"].items()):
            seen = self._history[name][-WIDTH:]
            marks = Text("".join("▼" if drifted else " " for _, drifted in seen), style="red")
            bars = Text(sparkline([quality for quality, _ in seen], 0.5, 1.0), style="green")
            shards.add_row(
                name, Group(marks, bars), f"\n{_quality(shard):.3f}", f"\n{shard['generation']}", f"\n{shard['lag_records'] or 0:,}"
            )
        return [top, shards]


def _shards(status: dict[str, Any]) -> str:
    parts = []
    for name, shard in sorted(status["shards"].items()):
        if shard["events_seen"]:
            parts.append(f"{name.rpartition('/')[2]}: accuracy {_quality(shard):.3f} generation {shard['generation']}")
    return "; ".join(parts)


def _quality(shard: dict[str, Any]) -> float:
    """The rolling accuracy; nan before the first label."""
    return float(shard["rolling"]["Accuracy"]) if shard["events_seen"] else float("nan")
