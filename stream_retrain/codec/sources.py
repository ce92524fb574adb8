"""A digest of the user's own source code that a pipeline runs: two processes with the same one train and predict by the same code.

`Pipeline.digest` covers what is declared, and of a class its name alone: a method that was edited while a worker runs changes nothing in
it. So the digest of the sources travels with every training.

The user's own modules are those that define what the pipeline is made of, and those they refer to in turn, unless they stand in the
standard library, among installed packages, or in River or here (their versions are compared elsewhere).
"""

from __future__ import annotations

import functools
import hashlib
import pickle
import pickletools
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from stream_retrain.core.pipeline import Pipeline

__all__ = ["sources_digest"]

_OURS: Final = frozenset({"river", "stream_retrain"})
_INSTALLED: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def sources_digest(pipeline: Pipeline) -> str:
    """The digest, by the names and contents of the modules as this process has loaded them; the same for all who have none."""
    found: dict[str, str] = {}
    waiting = [module for name in _named_in(pipeline) if (module := sys.modules.get(name)) is not None]
    while waiting:
        module = waiting.pop()
        if module.__name__ not in found and (source := _source(module)) is not None:
            found[module.__name__] = source
            waiting += _referred(module)
    listed = "".join(f"{name} {found[name]}\n" for name in sorted(found))
    return hashlib.sha256(listed.encode()).hexdigest()


def _named_in(pipeline: Pipeline) -> set[str]:
    """The modules of the classes and functions that a pipeline's pickle names, whether or not somebody could open it."""
    try:
        operations = list(pickletools.genops(pickle.dumps(pipeline, protocol=2)))  # where a name is one operation
    except Exception:  # noqa: BLE001 - what is declared is foreign; a part that cannot be pickled is found by its type alone
        return {type(pipeline.model).__module__, *(type(metric).__module__ for metric in pipeline.scores.metrics)}
    return {str(argument).split(" ")[0] for operation, argument, _ in operations if operation.name == "GLOBAL"}


def _referred(module: types.ModuleType) -> Iterator[types.ModuleType]:
    for value in list(vars(module).values()):
        if isinstance(value, types.ModuleType):
            yield value
        elif isinstance(value, type | types.FunctionType) and (home := sys.modules.get(value.__module__)) is not None:
            yield home


def _source(module: types.ModuleType) -> str | None:
    """The digest of a module's source; None for a module that is not the user's."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name.partition(".")[0] in _OURS or file is None or file.startswith(_INSTALLED):
        return None
    state: Any = getattr(module.__spec__, "loader_state", None)
    if isinstance(state, tuple):  # a pipeline's file, loaded by `loading`: the digest of what was run
        return str(state[1])
    return _of_file(file)


@functools.cache
def _of_file(file: str) -> str:
    """Read once, soon after it was imported: what it is edited to later is not what this process runs."""
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return "absent"
