"""Which classes compute: the compiled ones where they are installed, else those in Python.

A public model holds a core, and a state of a core is plain: names, labels and two rows of bytes (`block`). So a state says nothing of who
wrote it, but for the version of the arithmetic: a state of another version is refused, because its model would go on otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_retrain.models import python_cores
from stream_retrain.models.arithmetic import ARITHMETIC
from stream_retrain.native import extension

__all__ = ["Cored", "computing", "cores_for", "is_compiled", "models", "parts", "resumed", "saved", "steps"]

ALONE: Final = (
    "AdditiveClassifier",
    "AdditiveRegressor",
    "Forest",
    "ForestRegressor",
    "NearestClassifier",
    "NearestRegressor",
    "Tree",
    "TreeRegressor",
)
"""The cores of models that are not made of others."""


def models() -> Any:
    """Where the cores are: the extension, or `python_cores`."""
    return extension() or python_cores


def cores_for(members: Iterable[Any]) -> Any:
    """Where the cores are of a model that is made of others: the extension where all of them have a core there."""
    compiled = extension()
    if compiled is None:
        return python_cores
    return compiled if all(_has_core(member) for member in members) else python_cores


def _has_core(member: Any) -> bool:
    """Whether compiled models take this one as a member; a mixture is none."""
    return steps(member) and not type(member._core).__name__.endswith("Mixture")


def steps(model: Any) -> bool:
    """Whether the model is all in a compiled core, which takes many events in one call. A subclass may do otherwise than its core."""
    return type(model).__module__.startswith("stream_retrain.models.") and is_compiled(getattr(model, "_core", None))


def is_compiled(core: Any) -> bool:
    """Whether this is a core of the extension."""
    return type(core).__module__ == "stream_retrain._native"


def saved(model: Any) -> dict[str, Any]:
    """The state of a public model.

    A parameter that the class has had only since a later release (`LATER`: its name and default) is left out where it has its default. So
    states and digests of models that do without it stay what they were. The order is that of the names: it does not tell who was restored.
    """
    later = getattr(model, "LATER", {})
    state: dict[str, Any] = {name: value for name, value in sorted(model.__dict__.items()) if name not in later or value != later[name]}
    state["_core"] = (ARITHMETIC, model._core.state())
    return state


def resumed(model: Any, state: dict[str, Any], new_core: Callable[[], Any] | None = None) -> None:
    """Go on from what `saved` returned; `new_core` makes an untrained core where the model's own method cannot.

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
    model.__dict__.update({**getattr(model, "LATER", {}), **state})
    model._core = (new_core or model._new_core)()
    model._core.restore(core)


class Cored:
    """A public model that is all in its core: how it is pickled."""

    _core: Any

    def __getstate__(self) -> dict[str, Any]:
        return saved(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        resumed(self, state)

    def _new_core(self) -> Any:
        """An untrained core with the model's parameters."""
        raise NotImplementedError


def computing(objects: Iterable[Any]) -> str:
    """Where the project's models among these compute: `compiled`, `Python`, or nothing if there is none.

    What is made of others (a mixture, a model that restarts) computes where they do; one with a member of River's goes row by row.
    """
    cores = [core for each in objects if (core := getattr(each, "_core", None)) is not None]
    ours = [
        core for core in cores if type(core).__name__.removeprefix("Plain") in ALONE and type(core).__module__.startswith("stream_retrain.")
    ]
    if not ours:
        return ""
    return "compiled" if all(map(is_compiled, ours)) else "Python"


def parts(core: Any) -> dict[str, Any]:
    """The Python objects in a compiled core: models and detectors. Nothing of any other object."""
    held = getattr(core, "parts", None) if is_compiled(core) else None
    return {str(number): part for number, part in enumerate(held())} if held else {}
