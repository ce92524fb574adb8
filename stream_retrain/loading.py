"""Find the pipeline a command line names: in a file of the user's, or in an importable module.

A file is loaded as the module `stream_retrain_user.<stem>`, entered in `sys.modules`. The name depends on the file's name
alone, not on its folder: a class of that file pickles under it, and another process (a trainer, a restart, the same
pipeline in another container) that has loaded its own copy of the file finds the class again. One file of a name is loaded
at a time: another one, or the same one after a change, takes the name over, and instances of the former's classes then fail
to pickle rather than being mistaken for the latter's.

While it is imported, its folder (for a module: the working folder) is the first on `sys.path`, so that it can import its
neighbours; afterwards it is not, so that a neighbour called `redis.py` cannot take the place of a library. Neighbours are
therefore imported at the top of the file, not inside a function.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import PipelineError

__all__ = ["Loaded", "load_pipeline", "load_pipelines"]

_PACKAGE = "stream_retrain_user"
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class Loaded(NamedTuple):
    """The pipeline that was named, and all public ones of its module."""

    pipeline: Pipeline
    name: str
    """The pipeline's, in its module."""
    pipelines: dict[str, Pipeline]
    """By the names they have in their module, the named one among them."""


def load_pipeline(target: str) -> Pipeline:
    """Load the pipeline `target` names: `path/to/file.py[:name]` or `package.module[:name]`.

    Without a name it is the only public `Pipeline` of the module. Loading an unchanged file again gives the same object.

    Raises PipelineError, with `where` set to `target`: nothing found there, the import failed (what was raised, and the line
    of the user's file), no such name, not a pipeline, several to choose from, or the pipeline's own faults; among
    these a state that could not be opened again.
    """
    return load_pipelines(target).pipeline


def load_pipelines(target: str) -> Loaded:
    """The same, with the other pipelines of the module, of whose states nothing was tried. Raises what `load_pipeline` raises."""
    place, _, name = (target, "", "") if target.endswith(".py") or ":" not in target else target.rpartition(":")
    try:
        module = _module(place)
        found = checkpointable(_named(module, name) if name else _only(module, place))
        pipelines = {each: vars(module)[each] for each in _pipelines(module)}
        called = name or next(each for each, pipeline in pipelines.items() if pipeline is found)
        return Loaded(found, called, {called: found, **pipelines})
    except PipelineError as error:
        raise PipelineError(error.faults, target) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PipelineError([_told(error)], target) from error


def _module(place: str) -> ModuleType:
    if place.endswith(".py"):
        return _from_file(Path(place).absolute())
    if _MODULE.fullmatch(place):
        return _from_import(place)
    raise PipelineError([f"{place!r} is neither a Python file nor a module: write path/to/file.py[:name] or package.module[:name]"])


def _from_file(path: Path) -> ModuleType:
    try:
        source = path.read_bytes()
    except OSError as error:
        beside = [file.name for file in path.parent.glob("*.py")]
        raise PipelineError([f"{path} cannot be read: {error.strerror}{_did_you_mean(path.name, beside)}"]) from error
    name = f"{_PACKAGE}.{path.stem.replace('.', '_')}"
    state = (str(path), hashlib.sha256(source).hexdigest())
    former = sys.modules.get(name)
    if former and former.__spec__ and former.__spec__.loader_state == state:
        return former
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.machinery.ModuleSpec(name, loader, origin=str(path), loader_state=state)
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(_PACKAGE, ModuleType(_PACKAGE, "The pipelines loaded from files.")).__path__ = []
    sys.modules[name] = module  # before it runs: dataclasses look their module up, and a pipeline tries to pickle its model
    try:
        with _first_on_path(path.parent):
            # Not `exec_module`: its cache tells sources apart by second and size, too coarse for a file that is being edited.
            exec(loader.source_to_code(source, str(path)), module.__dict__)  # noqa: S102 - running the user's file is the task
    except BaseException:
        del sys.modules[name]
        if former:
            sys.modules[name] = former
        raise
    return module


def _from_import(name: str) -> ModuleType:
    with _first_on_path(Path.cwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                raise PipelineError([f"no module {error.name!r}, neither installed nor in {Path.cwd()}"]) from error
            raise


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _named(module: ModuleType, name: str) -> Pipeline:
    try:
        found = getattr(module, name)
    except AttributeError:
        names = _pipelines(module)
        hint = _did_you_mean(name, names) or (f"; its pipelines are {', '.join(names)}" if names else "; it has no pipeline")
        raise PipelineError([f"no {name!r} in it{hint}"]) from None
    if not isinstance(found, Pipeline):
        raise PipelineError([f"{name!r} is not a Pipeline but of type {type(found).__name__}"])
    return found


def _only(module: ModuleType, place: str) -> Pipeline:
    match _pipelines(module):
        case []:
            raise PipelineError(["no pipeline in it: write name = Pipeline(...) at its top level"])
        case [name]:
            return _named(module, name)
        case names:
            raise PipelineError([f"{len(names)} pipelines in it: say which, {' or '.join(f'{place}:{name}' for name in names)}"])


def _pipelines(module: ModuleType) -> list[str]:
    """The names of its public pipelines; one that has two names goes by the first."""
    names: dict[int, str] = {}
    for name, value in vars(module).items():
        if isinstance(value, Pipeline) and not name.startswith("_"):
            names.setdefault(id(value), name)
    return list(names.values())


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _told(error: BaseException) -> str:
    """One line: where in the user's file, what was raised, and where that was if it was in another file."""
    steps = [(step.filename, step.lineno) for step in traceback.extract_tb(error.__traceback__) if not _is_machinery(step.filename)]
    what = f"{type(error).__name__}: {_text_of(error)}".removesuffix(": ")
    if isinstance(error, SyntaxError) and error.filename:
        what = f"{type(error).__name__}: {error.msg}"
        steps.append((error.filename, error.lineno))
    if not steps:
        return what
    file = steps[0][0]
    line = [line for step, line in steps if step == file][-1]
    deepest = "" if steps[-1][0] == file else f" (raised in {_short(steps[-1][0])}, line {steps[-1][1]})"
    return f"{_short(file)}, line {line}: {what}{deepest}"


def _text_of(error: BaseException) -> str:
    """What an error says, in one line; an error of the user's may raise when it is asked."""
    try:
        return " ".join(str(error).split())
    except Exception as raised:  # noqa: BLE001 - the error is foreign code too
        return f"(its text raised {type(raised).__name__})"


def _is_machinery(file: str) -> bool:
    return file in (__file__, importlib.__file__) or file.startswith("<frozen ")


def _short(file: str) -> str:
    return file.removeprefix(f"{Path.cwd()}{os.sep}")
