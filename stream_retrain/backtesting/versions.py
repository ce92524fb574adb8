"""The versions on which the figures of a backtest depend: another machine with the same ones comes to the same."""

from __future__ import annotations

import platform
from importlib.metadata import version

import stream_retrain

__all__ = ["versions"]


def versions() -> dict[str, str]:
    """Of this process."""
    return {
        "stream_retrain": stream_retrain.__version__,
        "python": platform.python_version(),
        "river": version("river"),
        "numpy": version("numpy"),
    }
