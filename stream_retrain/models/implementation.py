"""Which classes compute: the compiled ones where they are installed, else those in Python.

A public model holds a core, and a state of a core is plain: names, labels and two rows of bytes (`block`). So a state says nothing of who
wrote it, but for the version of the arithmetic: a state of another version is refused, because its model would go on otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stream_retrain.models import python_cores
from stream_retrain.models.arithmetic import ARITHMETIC
from stream_retrain.native import extension

__all__ = ["computing", "models", "resumed", "saved"]


def models() -> Any:
    """Where the cores are: the extension, or `python_cores`."""
    return extension() or python_cores


def saved(model: Any) -> dict[str, Any]:
    """The state of a public model."""
    state: dict[str, Any] = model.__dict__.copy()
    state["_core"] = (ARITHMETIC, model._core.state())
    return state


def resumed(model: Any, state: dict[str, Any]) -> None:
    """Go on from what `saved` returned.

    Raises:
        ValueError: it is damaged, or of another arithmetic.
    """
    try:
        arithmetic, core = state["_core"]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"the state of a {type(model).__name__} is of an earlier release, which computed otherwise; train it anew"
        ) from None
    if arithmetic != ARITHMETIC:
        raise ValueError(
            f"the state of a {type(model).__name__} was computed by version {arithmetic} of the models' arithmetic, and this release has "
            f"version {ARITHMETIC}; use the release that wrote it, or train it anew"
        )
    model.__dict__.update(state)
    model._core = model._new_core()
    model._core.restore(core)


def computing(objects: Iterable[Any]) -> str:
    """Where the project's models among these compute: `compiled`, `Python`, or nothing if there is none."""
    cores = {type(core).__module__ for each in objects if (core := getattr(each, "_core", None)) is not None}
    ours = {module for module in cores if module.startswith("stream_retrain.")}
    if not ours:
        return ""
    return "compiled" if ours == {"stream_retrain._native"} else "Python"
