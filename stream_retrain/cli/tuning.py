"""What came of tuning, on the terminal: the trials, the choice, and what can be pasted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from stream_retrain.backtesting.tuning.result import Tuning

__all__ = ["show_tuning"]

WIDE: Final = 1_000


def show_tuning(tuning: Tuning, task: str) -> None:
    """Print it. The figures of the later part follow."""
    from stream_retrain.backtesting.tuning.figures import tuning_figures

    shown, console = tuning_figures(tuning, task), Console(soft_wrap=True)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column, title in enumerate(shown.header):
        table.add_column(Text(title), justify="left" if column == 0 else "right", no_wrap=True)
    for row in shown.rows:
        table.add_row(*map(Text, row))
    # A line that wraps can still be read; a figure that is cut cannot.
    Console(width=WIDE).print(table)
    console.print()
    for sentence in shown.sentences:
        console.print(sentence, markup=False, highlight=False)
    if shown.snippet:
        console.print(f"\nIn the pipeline:\n\n{shown.snippet}", markup=False, highlight=False)
