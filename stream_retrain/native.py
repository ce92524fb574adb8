"""The compiled models: whether they are installed, and whether they are wanted.

`STREAM_RETRAIN_NATIVE=off` makes every model that is made from then on compute in Python.
"""

from __future__ import annotations

import functools
import importlib
import os
from types import ModuleType
from typing import Final

__all__ = ["NATIVE_SETTING", "REMEDY", "SLOW", "extension", "in_use"]

NATIVE_SETTING: Final = "STREAM_RETRAIN_NATIVE"
REMEDY: Final = (
    "install a wheel that has the compiled models, or cargo (Rust) and then stream_retrain again;"
    f" where they are installed, see that {NATIVE_SETTING} is not off"
)
SLOW: Final = f"the models compute in Python, at a twentieth of the speed: {REMEDY}"


def extension() -> ModuleType | None:
    """The compiled models; None where Python's serve."""
    return None if os.environ.get(NATIVE_SETTING, "").lower() in ("off", "0", "false", "no") else _loaded()


def in_use() -> str:
    """Which serve: `compiled` or `Python`."""
    return "compiled" if extension() else "Python"


@functools.cache
def _loaded() -> ModuleType | None:
    try:
        return importlib.import_module("stream_retrain._native")
    except ImportError:
        return None
