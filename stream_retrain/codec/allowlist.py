"""What a state may be made of: this restricts unpickling even if a key leaks.

A pickle names what it is built from, by module and name, and can call what it names. Here each name must be one of

- the exact names below: plain values, containers, numpy's arrays and numbers, random generators, and what River's parts keep;
- a class that a module of River or stream_retrain defines itself, in the packages that models, detectors, metrics and the core are made
  of (`OURS`): never what a module merely imports, and never a function, because among them are some that start programs;
- a class or a function that the modules of the pipeline's own models, detectors and metrics define, or a function that these name
  (`modules_of`).

Functions and bound methods are values, never called: `load` first builds the state with stand-ins in their place, and a pickle that calls
one is refused before anything of it has run. Only the constructors below are called (`CALLED`), and classes. A pickle that names no
function is built once.

Without a signature this is no protection: classes, too, can be put together to do harm, so whoever can write to a Redis that is used
unsigned can run code in the worker.
"""

from __future__ import annotations

import io
import pickle
import types
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import numpy

__all__ = ["Restricted", "modules_of"]

OURS: Final = {
    "river": frozenset(
        {"_river_rust", "active", "anomaly", "bandit", "base", "cluster", "compat", "compose", "conf", "covariance", "drift", "dummy"}
        | {"ensemble", "facto", "feature_extraction", "feature_selection", "forest", "imblearn", "linear_model", "metrics", "misc"}
        | {"model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors", "optim", "preprocessing", "proba", "reco", "rules"}
        | {"sketch", "stats", "time_series", "tree", "utils"}
    ),
    "stream_retrain": frozenset({"core", "facts", "lane", "models"}),
}
"""The packages whose own classes a state may hold. Not among them: River's datasets and streams, and all that has to do with the world."""

EXACT: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset({"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"})
    | frozenset({"object", "range", "set", "slice", "str", "tuple"}),
    "collections": frozenset({"Counter", "OrderedDict", "defaultdict", "deque"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "functools": frozenset({"partial"}),
    "numpy": frozenset({"dtype", "ndarray"}),
    "numpy.random._mt19937": frozenset({"MT19937"}),
    "numpy.random._pcg64": frozenset({"PCG64"}),
    "numpy.random.bit_generator": frozenset({"SeedSequence"}),
    "random": frozenset({"Random"}),
    "statistics": frozenset({"NormalDist"}),
}
"""Classes of others."""

CALLED: Final[dict[str, frozenset[str]]] = {
    "builtins": frozenset({"getattr", "iter"}),
    "copyreg": frozenset({"_reconstructor"}),
    "numpy._core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "numpy.core.multiarray": frozenset({"_reconstruct", "scalar"}),
    "numpy.random._pickle": frozenset({"__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"}),
    "numpy.random.bit_generator": frozenset({"__pyx_unpickle_SeedSequence"}),
    "stream_retrain.codec.state": frozenset({"_gaussian", "_part"}),
}
"""Functions that values are restored by; `getattr`, `iter` and `_part` are stand-ins that do no more than what River's parts need."""

VALUES: Final[dict[str, frozenset[str]]] = {
    "copy": frozenset({"deepcopy"}),
    "math": frozenset({"cos", "exp", "expm1", "fabs", "hypot", "log", "log10", "log1p", "log2", "pow", "sin", "sqrt", "tanh"}),
    "numpy": frozenset({"array", "ones", "zeros"} | {name for name, value in vars(numpy).items() if isinstance(value, numpy.ufunc)}),
    "river._river_rust.vectordict": frozenset({"euclidean_distance_tuple", "manhattan_distance_tuple", "minkowski_distance_tuple"}),
    "river.feature_extraction.vectorize": frozenset({"strip_accents_unicode", "tokenize_using_regex_pattern"}),
    "river.metrics.mutual_info": frozenset({"_average_arithmetic", "_average_geometric", "_average_max", "_average_min"}),
}
"""Functions that River's parts keep, or that are of numbers only."""

_METHODS: Final = frozenset({(str, "lower"), (str, "upper"), (str, "strip"), (str, "split")})
"""Methods of types that River's parts keep unbound."""
_FUNCTIONS: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, numpy.ufunc)


class Restricted:
    """An unpickler that builds only from what the module's docstring lists. `load` raises `pickle.UnpicklingError` for anything else."""

    def __init__(self, data: bytes, own: Collection[str] = (), part: Callable[[str, int], Any] | None = None) -> None:
        """`own`: what `modules_of` says. `part` gives what stands outside of `data`."""
        self._data = data
        self._own = frozenset(own)
        self._part = part or _no_part

    def load(self) -> Any:
        """What `data` describes."""
        try:
            return self._load()
        except pickle.UnpicklingError:
            raise
        except Exception as error:
            raise pickle.UnpicklingError(f"it cannot be built: {type(error).__name__}: {error}") from error

    def _load(self) -> Any:
        tried = _Unpickler(self._data, self._own, self._part, quote=True)
        value = tried.load()
        for each in tried.quoted:
            each.refuse_if_called()
        return _Unpickler(self._data, self._own, self._part, quote=False).load() if tried.quoted else value


class _Quoted:
    """Stands where a function is named, while it is not yet known that the pickle does not call it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._called = False

    def __call__(self, *_: Any, **__: Any) -> Any:
        self._called = True
        self.refuse_if_called()

    def refuse_if_called(self) -> None:
        """Raise if it ever was: what called it may have passed over the exception."""
        if self._called:
            raise pickle.UnpicklingError(f"it calls {self._name}, which a state may hold but not call")


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, own: frozenset[str], part: Callable[[str, int], Any], *, quote: bool) -> None:
        super().__init__(io.BytesIO(data))
        self._own = own
        self._part = part
        self._quote = quote
        self.quoted: list[_Quoted] = []

    def find_class(self, module: str, name: str) -> Any:
        if name in CALLED.get(module, ()):
            return self._stand_in(module, name) or super().find_class(module, name)
        if "." not in name and name in EXACT.get(module, ()):
            return super().find_class(module, name)
        if name in VALUES.get(module, ()) or f"{module}:{name}" in self._own:
            found = super().find_class(module, name)
            return found if isinstance(found, type) else self._value(found, f"{module}.{name}")
        if "." in name:
            return self._function_of_class(module, *name.split(".", 1))
        if _is_ours(module) or module in self._own:
            found = super().find_class(module, name)
            if isinstance(found, type) and _defined_in(found, module):
                return found
            if module in self._own and isinstance(found, types.FunctionType) and _defined_in(found, module):
                return self._value(found, f"{module}.{name}")
        raise pickle.UnpicklingError(f"it names {module}.{name}, which the state of this pipeline has no use for")

    def _stand_in(self, module: str, name: str) -> Callable[..., Any] | None:
        match module, name:
            case "builtins", "getattr":
                return self._method
            case "builtins", "iter":
                return _iterator
            case "stream_retrain.codec.state", "_part":
                return self._part
            case _:
                return None

    def _value(self, found: Any, name: str) -> Any:
        if not self._quote:
            return found
        self.quoted.append(_Quoted(name))
        return self.quoted[-1]

    def _function_of_class(self, module: str, name: str, function: str) -> Any:
        """A function that an allowed class defines: what a bound one of it, kept in an attribute, is pickled as."""
        owner = self.find_class(module, name)
        found = vars(owner).get(function) if isinstance(owner, type) and not function.startswith("__") else None
        if isinstance(found, staticmethod | classmethod | types.FunctionType) and found.__module__ == module:
            return self._value(found.__get__(None, owner), f"{module}.{name}.{function}")
        raise pickle.UnpicklingError(f"it names {module}.{name}.{function}, a path to what is no function of an allowed class")

    def _method(self, owner: Any, name: str) -> Any:
        """`getattr`, for the bound methods that some parts of River keep."""
        if isinstance(owner, type) and (owner, name) in _METHODS:
            return self._value(getattr(owner, name), f"{owner.__name__}.{name}")
        if type(name) is not str or name.startswith("__") or isinstance(owner, type | types.ModuleType | types.FunctionType | _Quoted):
            raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}")
        if not isinstance(getattr(type(owner), name, None), types.FunctionType):
            raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}, which is no method")
        return self._value(getattr(owner, name), f"{type(owner).__name__}.{name}")


class _Recording(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.found: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module not in EXACT and module not in CALLED and not _is_ours(module):
            self.found.add(module)
        if isinstance(found, _FUNCTIONS) and name not in CALLED.get(module, ()):
            self.found.add(f"{module}:{name}")
        return found


def modules_of(objects: Iterable[Any]) -> frozenset[str]:
    """What the state of a pipeline made of these objects may name beside this module's lists: the modules that define their classes, as
    "module", and the functions they hold, as "module:name". The objects are ours, and come from no store."""
    found: set[str] = set()
    for each in objects:
        recording = _Recording(pickle.dumps(each, protocol=5))
        recording.load()
        found |= recording.found
    return frozenset(found)


def _is_ours(module: str) -> bool:
    root, *rest = module.split(".")
    return bool(rest) and rest[0] in OURS.get(root, ()) and "datasets" not in rest


def _defined_in(found: Any, module: str) -> bool:
    home = getattr(found, "__module__", None)
    return home == module or (home in (None, "builtins") and module.startswith("river._"))  # what River has from Rust


def _no_part(digest: str, _: int) -> Any:
    raise pickle.UnpicklingError(f"it names a part that stands elsewhere ({str(digest)[:12]})")


def _iterator(values: Any) -> Any:
    """`iter`, of a container."""
    if type(values) not in (list, tuple, range, str, dict, set, frozenset):
        raise pickle.UnpicklingError(f"it asks for an iterator of a {type(values).__name__}")
    return iter(values)
