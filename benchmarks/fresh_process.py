"""A measurement in a process that has done nothing else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["in_fresh_process"]

_Result = TypeVar("_Result")


def in_fresh_process(name: str, measure: Callable[..., _Result], *arguments: Any) -> _Result:
    """What `measure` returns there; `name` is said where it ends without a result."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, measure, arguments))
    child.start()
    theirs.close()
    try:
        result: _Result = ours.recv()
    except EOFError:
        raise SystemExit(f"{name} ended without a result") from None
    finally:
        child.join()
    return result


def _child(pipe: Any, measure: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(measure(*arguments))
