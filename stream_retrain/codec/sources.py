"""A digest of the user's own source code that a pipeline runs: two processes with the same one train and predict by the same code.

`Pipeline.digest` covers what is declared, and of a class its name alone: a method that was edited while a worker runs changes nothing in
it. So the digest of the sources travels with every training. A process on the same machine can look at the files before it runs them.

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from stream_retrain.core.pipeline import Pipeline

__all__ = ["edited", "source_files", "sources_digest"]

_OURS: Final = frozenset({"river", "stream_retrain"})
_INSTALLED: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def sources_digest(pipeline: Pipeline) -> str:
    """The digest, by the names and contents of the modules as this process has loaded them; the same for all who have none."""
    found = _sources(pipeline)
    listed = "".join(f"{name} {found[name][1]}\n" for name in sorted(found))
    return hashlib.sha256(listed.encode()).hexdigest()


def source_files(pipeline: Pipeline) -> dict[str, str]:
    """The files of those modules, and the digest of each as this process has loaded it."""
    return dict(_sources(pipeline).values())


def edited(files: Mapping[str, str]) -> str | None:
    """The first of the files that is another now; None: all are as they were. Nothing of them is run."""
    return next((file for file, digest in files.items() if _digest(file) != digest), None)


def _sources(pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    """File and digest of each module of the user's that the pipeline runs, by its name."""
    found: dict[str, tuple[str, str]] = {}
    waiting = [module for name in _named_in(pipeline) if (module := sys.modules.get(name)) is not None]
    while waiting:
        module = waiting.pop()
        if module.__name__ not in found and (source := _source(module)) is not None:
            found[module.__name__] = source
            waiting += _referred(module)
    return found


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


def _source(module: types.ModuleType) -> tuple[str, str] | None:
    """The file of a module's source, and its digest; None for a module that is not the user's."""
    name, file = module.__name__, getattr(module, "__file__", None)
    if name.partition(".")[0] in _OURS or file is None or file.startswith(_INSTALLED):
        return None
    state: Any = getattr(module.__spec__, "loader_state", None)
    if isinstance(state, tuple):  # a pipeline's file, loaded by `loading`: the digest of what was run
        return file, str(state[1])
    return file, _as_imported(file)


@functools.cache
def _as_imported(file: str) -> str:
    """Read once, soon after it was imported: what it is edited to later is not what this process runs."""
    return _digest(file)


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return "absent"
