"""The logarithm of `arithmetic`, for what needs it at every event: compiled where the extension is installed, with equal bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_retrain.models import arithmetic
from stream_retrain.native import extension

__all__ = ["log"]

_COMPILED: Final = extension()
log: Final[Callable[[float], float]] = arithmetic.log if _COMPILED is None else _COMPILED.log
