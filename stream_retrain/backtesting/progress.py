"""How far a backtest is, on standard error where that is a terminal: reading first, then the lanes, with the time that is left."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["ProgressBar"]


class ProgressBar:
    """A `Watching` that draws two bars, and nothing where nobody looks."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        columns: list[Any] = [
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        ]
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def reading(self, records: int, about: int | None) -> None:
        """So many records were read."""
        self._show("reading records", records, about)

    def running(self, lane_records: int, total: int) -> None:
        """So many records times variants are done."""
        if "reading records" in self._tasks and lane_records == 0:
            task = self._tasks["reading records"]
            self._progress.update(task, total=self._progress.tasks[task].completed)
        self._show("running variants", lane_records, total)

    def training(self, records: int, about: int | None) -> None:
        """So many records were learned, of about so many, if anybody knows."""
        self._show("training on records", records, about)

    def _show(self, what: str, done: int, total: int | None) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
