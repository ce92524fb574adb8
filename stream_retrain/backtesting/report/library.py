"""The charting library of the page: Vega, as vl-convert-python brings it, whole and without a network.

What was compared, with the sizes that a page would have to carry (July to November 2026):

- **Vega 6 with Vega-Lite and vega-embed**, by `vl_convert.javascript_bundle()`: 0.9 MB, BSD-3, kept by the Vega project, one wheel without
  dependencies for Linux (x86-64, arm64) and macOS. It draws SVG: colours are CSS variables, so dark mode and print are style sheets and
  need no redrawing; a print scales without loss; a test can count the lines. Its interpreter needs no `eval`, so the page forbids it, and
  every connection, by a content security policy.
- bokeh 3.9: 1.3 MB, BSD-3, well kept, good linked zoom. It draws on a canvas: dark mode and print must be redrawn by script, a screen
  reader finds nothing, touch gestures keep the page from scrolling; nine further packages come with it.
- plotly 7: 4.8 MB, MIT. The page would have no room for its data.
- pyecharts 2: brings no library, the page loads it from a network. What brings ECharts inside is a web framework (nicegui).
- pygal: SVG and small; no zoom, and its script comes from a network.
- lets-plot: brings a bundle, and has no legend that toggles.
"""

from __future__ import annotations

from typing import Final

from stream_retrain.errors import SettingsError

__all__ = ["charting_library", "require_report_extra"]

INSTALL: Final = "pip install 'stream_retrain[report]'"
VEGALITE: Final = "6.4"
"""The bundle's. Asked for by number, so that a newer vl-convert draws the same."""


def require_report_extra() -> None:
    """Raise `SettingsError` where the extra `report` is not installed."""
    try:
        import jinja2  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError:
        raise SettingsError(f"a report needs vl-convert-python and Jinja2, which are not installed: {INSTALL}") from None


def charting_library() -> str:
    """Vega, Vega-Lite and vega-embed as one script; it takes a second or two for the first page of a process."""
    import vl_convert

    return vl_convert.javascript_bundle(vl_version=VEGALITE)  # type: ignore[call-arg]  # the snippet may be left out
