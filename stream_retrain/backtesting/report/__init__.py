"""The report of a backtest: one self-contained page, to look at, to print, to send."""

from stream_retrain.backtesting.report.page import check_report_path, render_report, write_report

__all__ = ["check_report_path", "render_report", "write_report"]
