"""What `stream_retrain.backtest` returns: figures, curves and decisions, as values, as tables, and as a page."""

from __future__ import annotations

import dataclasses
import functools
import html
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from stream_retrain.backtesting.figures import figures
from stream_retrain.backtesting.files import decisions_in, interval_rows
from stream_retrain.backtesting.report import write_report
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary, Interval
from stream_retrain.backtesting.tuning.figures import tuning_figures
from stream_retrain.backtesting.tuning.result import Tuning
from stream_retrain.errors import SettingsError

__all__ = ["BacktestResult"]

_CELL: Final = "padding:.2em .8em;text-align:{};white-space:nowrap"


class BacktestResult:
    """The result of a backtest.

    summary
        Figures of each variant and control, the ranking, notes (`BacktestSummary`).
    curves
        Everything over time: intervals, detector readings, duels, marks, generations (`BacktestCurves`).

    tuning
        Of a backtest with a grid: the trials, the chosen settings, and how they compare (`Tuning`); the rest is of the later part.

    In a notebook it shows itself as a table. `report` writes the page with the charts.
    """

    def __init__(self, summary: BacktestSummary, curves: BacktestCurves, decisions: Path, tuning: Tuning | None = None) -> None:
        """`decisions` is the folder of its decision logs, which is removed with it."""
        self.summary = summary
        self.curves = curves
        self.tuning = tuning
        self._folder = decisions
        weakref.finalize(self, shutil.rmtree, decisions, ignore_errors=True)

    @property
    def intervals(self) -> list[Interval]:
        """Quality by interval, of each variant and partition; a partition of None is all of them together."""
        return self.curves.intervals

    @functools.cached_property
    def decisions(self) -> list[dict[str, Any]]:
        """Every decision of every variant: the CloudEvent that a worker would have published, with `variant` and `partition`."""
        names = [each.name for each in [*self.summary.variants, *self.summary.controls]]
        return list(decisions_in(self._folder, names, self.summary.partitions))

    def to_polars(self, what: str = "intervals") -> Any:
        """One of its tables as a polars DataFrame: `intervals`, `variants`, `ranking`, `marks`, `readings`, `duels`, `generations`.

        Raises `SettingsError` where polars is not installed, or for another name.
        """
        polars = _frames("polars")
        return polars.DataFrame(self._rows(what), infer_schema_length=None)

    def to_pandas(self, what: str = "intervals") -> Any:
        """The same as a pandas DataFrame. Raises `SettingsError`."""
        pandas = _frames("pandas")
        return pandas.DataFrame(self._rows(what))

    def report(self, path: str | Path) -> Path:
        """Write the page with the charts; the path. Raises `SettingsError` where it cannot be written, or the extra is not installed."""
        written = Path(path)
        write_report(self.summary, self.curves, written)
        return written

    def __repr__(self) -> str:
        shown = figures(self.summary)
        widths = [max(len(row[column]) for row in [shown.header, *shown.rows]) for column in range(len(shown.header))]
        lines = [
            "  ".join(
                cell.ljust(width) if column in (0, 4) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in [shown.header, *shown.rows]
        ]
        return "\n".join([*self._tuned(), shown.headline, "", *(line.rstrip() for line in lines), "", *shown.below])

    def _repr_html_(self) -> str:
        shown = figures(self.summary)

        def row(cells: tuple[str, ...], tag: str, style: str = "") -> str:
            made = [
                f"<{tag} style='{_CELL.format('left' if column in (0, 4) else 'right')}'>{html.escape(cell)}</{tag}>"
                for column, cell in enumerate(cells)
            ]
            return f"<tr style='{style}'>{''.join(made)}</tr>"

        rows = [row(cells, "td", "opacity:.65" if index in shown.controls else "") for index, cells in enumerate(shown.rows)]
        below = "".join(f"<li>{html.escape(line)}</li>" for line in [*self._tuned(), *shown.sentences, *shown.below] if line)
        head = f"<thead>{row(shown.header, 'th')}</thead>"
        return f"<p><b>{html.escape(shown.headline)}</b></p><table>{head}<tbody>{''.join(rows)}</tbody></table><ul>{below}</ul>"

    def _tuned(self) -> list[str]:
        """The choice in words, and what can be pasted."""
        if self.tuning is None:
            return []
        told = tuning_figures(self.tuning, self.summary.task)
        return [*told.sentences, *told.snippet.splitlines(), ""]

    def _rows(self, what: str) -> list[dict[str, Any]]:
        tables: dict[str, Callable[[], list[dict[str, Any]]]] = {
            "intervals": lambda: interval_rows(self.curves),
            "variants": lambda: [_flat(each) for each in [*self.summary.variants, *self.summary.controls]],
            "ranking": lambda: [{**dataclasses.asdict(each), "is_shown": each.is_shown} for each in self.summary.ranking],
            **{name: functools.partial(_as_rows, getattr(self.curves, name)) for name in ("marks", "readings", "duels", "generations")},
        }
        if what not in tables:
            raise SettingsError(f"there is no table {what!r}; use one of {', '.join(tables)}")
        return tables[what]()


def _as_rows(values: list[Any]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(value) for value in values]


def _flat(variant: Any) -> dict[str, Any]:
    """A variant's figures as one row: each metric is a column."""
    row = dataclasses.asdict(variant)
    metrics, generations = row.pop("metrics"), row.pop("generations")
    return {**row, "generations": sum(generations.values()), **metrics}


def _frames(name: str) -> ModuleType:
    try:
        module: ModuleType = __import__(name)
    except ImportError:
        raise SettingsError(f"{name} is not installed: pip install {name}") from None
    return module
