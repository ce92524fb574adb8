"""What a state may be made of: this restricts unpickling even if a key leaks.

A pickle names what it is built from, by module and name. Here each name must be one of

- the exact pairs below: plain values, containers, numpy's arrays and numbers, random generators;
- a class or a function that a module of River or stream_retrain defines itself, or a function that such a class defines: never what a
  module merely imports, because River's modules also hold `os` and `shutil`;
- the same of the modules that the pipeline's own models, detectors and metrics come from (`modules_of`).

One of the exact pairs is a stand-in: `getattr` gives methods of objects already allowed, and nothing with two underscores. An allowlist
alone is no protection (River's own classes can be put together to do harm), so the signature comes first, always.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Collection, Iterable
from typing import Any, Final

__all__ = ["Restricted", "modules_of"]

OURS: Final = ("river", "stream_retrain")
EXACT: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset({"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list"})
    | frozenset({"object", "range", "set", "slice", "str", "tuple"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "copyreg": frozenset({"_reconstructor"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "functools": frozenset({"partial"}),
    "math": frozenset({"exp", "fabs", "hypot", "log", "log10", "log1p", "log2", "sqrt"}),
    "numpy": frozenset({"dtype", "ndarray"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.random._pickle": frozenset({"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"}),
    "numpy.random._mt19937": frozenset({"MT19937"}),
    "numpy.random._pcg64": frozenset({"PCG64"}),
    "random": frozenset({"Random"}),
}


class Restricted(pickle.Unpickler):
    """An unpickler that builds only from what the module's docstring lists. Raises `pickle.UnpicklingError` for anything else."""

    def __init__(self, data: bytes, own: Collection[str] = ()) -> None:
        super().__init__(io.BytesIO(data))
        self._own = frozenset(own)

    def find_class(self, module: str, name: str) -> Any:
        if "." in name:
            return self._function_of_class(module, *name.split(".", 1))
        if name in EXACT.get(module, ()):
            return _method if (module, name) == ("builtins", "getattr") else super().find_class(module, name)
        if module.partition(".")[0] in OURS or module in self._own:
            found = super().find_class(module, name)
            if isinstance(found, type | types.FunctionType | types.BuiltinFunctionType) and _defined_in(found, module):
                return found
        raise pickle.UnpicklingError(f"it names {module}.{name}, which the state of this pipeline has no use for")

    def _function_of_class(self, module: str, name: str, function: str) -> Any:
        """A function that an allowed class defines: what a bound one of it, kept in an attribute, is pickled as."""
        owner = self.find_class(module, name)
        found = vars(owner).get(function) if isinstance(owner, type) and not function.startswith("__") else None
        if isinstance(found, staticmethod | classmethod | types.FunctionType) and found.__module__ == module:
            return found.__get__(None, owner)
        raise pickle.UnpicklingError(f"it names {module}.{name}.{function}, a path to what is no function of an allowed class")


class _Recording(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.modules: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.modules.add(module)
        return super().find_class(module, name)


def modules_of(objects: Iterable[Any]) -> frozenset[str]:
    """The modules that define what these objects are made of; the objects are ours, and come from no store."""
    found: set[str] = set()
    for each in objects:
        recording = _Recording(pickle.dumps(each, protocol=5))
        recording.load()
        found |= recording.modules
    return frozenset(module for module in found if module not in EXACT and module.partition(".")[0] not in OURS)


def _defined_in(found: Any, module: str) -> bool:
    home = getattr(found, "__module__", None)
    return home == module or (home in (None, "builtins") and module.startswith("river._"))  # what River has from Rust


def _method(owner: Any, name: str) -> Any:
    """`getattr`, for the bound methods that some detectors keep."""
    if not isinstance(name, str) or name.startswith("__") or isinstance(owner, type | types.ModuleType | types.FunctionType):
        raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}")
    found = getattr(owner, name)
    if not isinstance(found, types.MethodType):
        raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}, which is no method")
    return found
