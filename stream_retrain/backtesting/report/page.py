"""Writing the page: HTML from a template, the curves as JSON, the charting library, and a policy that forbids everything else.

Rules:

- The page loads nothing. Its content security policy lets the two scripts run whose digests it names, and no connection at all.
- What comes from users (names, notes, texts) is escaped: in HTML by the template, in JSON by writing `<`, `>` and `&` as escapes. The
  script puts text into the page as text, never as HTML.
- What can be read without a script stands in the HTML: the verdict, the figures, the ranking, the notes. The script draws the charts.
- The page is a function of the result: no clock, no random identifier.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from stream_retrain.backtesting.report.formats import count, lead_text, loss_text, moment, number, plural, share
from stream_retrain.backtesting.report.library import charting_library, require_report_extra
from stream_retrain.backtesting.report.payload import payload
from stream_retrain.backtesting.report.tables import figures, ranking_rows
from stream_retrain.backtesting.report.verdict import verdict
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary
from stream_retrain.errors import SettingsError

__all__ = ["check_report_path", "render_report", "write_report"]

PAGE: Final = "stream_retrain.backtesting.report"
SCRIPTS: Final = ("rows.js", "axes.js", "specs.js", "reading.js", "lists.js", "charts.js", "choices.js", "main.js")
STYLES: Final = ("colours.css", "page.css", "charts.css", "phone.css", "print.css")


def check_report_path(path: Path) -> None:
    """Find out before a long backtest what would keep its report from being written.

    Raises `SettingsError` where `path` cannot be written, or the extra `report` is not installed.
    """
    require_report_extra()
    if path.is_dir():
        raise SettingsError(f"{path}: it is a folder; name a file for the report, such as {path / 'report.html'}")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise SettingsError(f"{path}: its folder {folder} does not exist; make it, or name another")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise SettingsError(f"{path}: it cannot be written; name a place where it can")


def write_report(summary: BacktestSummary, curves: BacktestCurves, path: Path) -> None:
    """Write the report of a backtest to a file, in one piece: a file that is there already is replaced or stays as it is.

    Raises `SettingsError` where `path` cannot be written, or the extra `report` is not installed.
    """
    check_report_path(path)
    text = render_report(summary, curves)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise SettingsError(f"{path}: it cannot be written: {error.strerror or error}") from None


def render_report(summary: BacktestSummary, curves: BacktestCurves) -> str:
    """The page as text. Raises `SettingsError` where the extra `report` is not installed."""
    require_report_extra()
    import jinja2

    page = resources.files(PAGE) / "page"
    library, script = charting_library(), "\n".join(_read(page / name) for name in SCRIPTS)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters |= {
        "count": count,
        "moment": moment,
        "number": number,
        "plural": plural,
        "share": share,
        "loss": loss_text,
        "lead": lead_text,
    }
    return environment.from_string(_read(page / "page.html")).render(
        summary=summary,
        verdict=verdict(summary),
        figures=figures(summary),
        rows=ranking_rows(summary),
        policy=f"default-src 'none'; script-src '{_digest(library)}' '{_digest(script)}'; style-src 'unsafe-inline'; img-src data:",
        style="\n".join(_read(page / name) for name in STYLES),
        data=_embedded(payload(summary, curves)),
        library=library,
        script=script,
    )


def _read(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """A script's digest as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _embedded(value: Any) -> str:
    """JSON that no browser takes for anything else, wherever it stands in HTML."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
