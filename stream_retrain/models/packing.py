"""Models as few bytes, and how much memory a model takes; both are functions of the model's values.

A model is packed by pickle, with two differences:

- Strings, tuples and bytes are written by their value. Pickle writes what it has met before as a reference, and whether two equal strings
  are one object differs between a process that never stopped and one that was restored. So packed bytes are equal where models are.
- Class names and strings stand in a table (`Names`) that many packed models share. Packed bytes name no class and no function, and
  `Names.unpack` takes none from them: they are built from what the table holds, which is opened with the state it belongs to. Classes in
  it may be called, and functions of `math` and NumPy. Other functions, and bound methods, are values: packed bytes that call one are
  refused before it runs.

Random generators of River's Gaussians are left out where they have no seed: they serve sampling only, and differ in every process.

A model that keeps iterators, or functions of `builtins`, cannot be packed.
"""

from __future__ import annotations

import copyreg
import pickle
import types
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy
from river import proba

__all__ = ["Names", "memory_bytes_of"]

NAMES_MAX: Final = 1_000
NAME_CHARS_MAX: Final = 100
"""Strings are named up to these limits; others stand in the packed bytes."""
GENERATOR_BYTES: Final = 2_600
CALLED: Final = ("math", "numpy")
"""The modules whose functions a packed model may be built by: they do nothing but calculate."""
_FUNCTION: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType, numpy.ufunc)
_AS_THEY_ARE: Final = frozenset({float, int, bool, type(None), dict, list})


class Names:
    """The strings, classes and functions that packed models refer to by number; it only grows."""

    __slots__ = ("_numbers", "_packer", "_values")

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self._values: list[Any] = list(values)
        self._numbers: dict[Any, int] = {value: number for number, value in enumerate(self._values)}
        self._packer: Any = None

    def __reduce__(self) -> tuple[type[Names], tuple[tuple[Any, ...]]]:
        return Names, (tuple(self._values),)

    def __len__(self) -> int:
        return len(self._values)

    def pack(self, model: Any) -> bytes:
        """The model's bytes. Raises `pickle.PicklingError` where it holds a function it may not hold, and what its own code raises."""
        if self._packer is None:
            self._packer = type("Packer", (_Packer,), {"number_of": staticmethod(self._number_of)})
        chunks: list[Any] = []
        self._packer(types.SimpleNamespace(write=chunks.append), protocol=5).dump(model)
        return b"".join(chunks)

    def unpack(self, packed: bytes) -> Any:
        """The model of bytes made by `pack`. Raises what pickle raises for other bytes."""
        tried = _Unpacker(packed, self._values, quote=True)
        value = tried.load()
        if not tried.quoted:
            return value
        if any(each.called for each in tried.quoted):
            raise pickle.UnpicklingError("it calls a function that a packed model may hold but not call")
        return _Unpacker(packed, self._values, quote=False).load()

    def _number_of(self, value: Any) -> int | None:
        """Its number, given now if it is new; None for a string that gets none."""
        number = self._numbers.get(value)
        if number is None:
            if isinstance(value, str) and (len(value) > NAME_CHARS_MAX or len(self._values) >= NAMES_MAX):
                return None
            number = self._numbers[value] = len(self._values)
            self._values.append(value)
        return number


def memory_bytes_of(model: Any) -> int:
    """About how much memory a model takes: the sum of its values, each by its type and length.

    It is equal for equal models, in every process and on every machine. It is between 0.6 and 1.6 times what Python allocates for River's
    models. The project's count as compiled ones, because equal models count equal; in Python they take up to 7 times as much. A model that
    knows better has a method `memory_bytes`. Takes about 1 us for each value.
    """
    if callable(told := getattr(model, "memory_bytes", None)):
        counted = told()
        if not isinstance(counted, int) or counted < 0:
            raise TypeError(f"its memory_bytes() says {counted!r}, which is no whole number of bytes")
        return counted
    meter = _Meter(types.SimpleNamespace(write=_nothing), protocol=5)
    meter.dump(model)
    return meter.bytes


def _without_generator(gaussian: Any) -> Any:
    """A Gaussian without its random generator, if that has no seed; calling the class makes another."""
    if gaussian.seed is not None:
        return gaussian.__reduce_ex__(5)
    return type(gaussian), (), {name: value for name, value in gaussian.__dict__.items() if name != "_rng"}


class _ByValue(pickle.Pickler):
    dispatch_table = copyreg.dispatch_table | {proba.Gaussian: _without_generator}


class _Packer(_ByValue):
    """What has a number is written as it. What is written by value is handed over as a fresh object of another type, never met before."""

    number_of: Callable[[Any], int | None]

    def persistent_id(self, value: Any) -> Any:
        kind = value.__class__
        if kind in _AS_THEY_ARE:
            return None
        if kind is str:
            number = self.number_of(value)
            return value.encode("utf-8", "surrogatepass") if number is None else number
        if kind is tuple:
            return list(value) if value else None
        if kind is bytes:
            return bytearray(value)
        if isinstance(value, type):
            return self.number_of(value)
        if isinstance(value, _FUNCTION):
            if getattr(value, "__module__", None) == "builtins":
                raise pickle.PicklingError(f"it holds an iterator or a built-in function ({value!r}), which no packed model may hold")
            return self.number_of(value)
        if kind is types.MethodType:
            return {"of": value.__self__, "method": value.__name__}
        return {"dtype": value.str} if isinstance(value, numpy.dtype) else None


class _Unpacker(pickle.Unpickler):
    """`quote`: stand-ins take the place of functions that may not be called."""

    def __init__(self, packed: bytes, values: list[Any], *, quote: bool) -> None:
        super().__init__(_Reader(packed))
        self._values = values
        self._quote = quote
        self.quoted: list[_Quoted] = []

    def persistent_load(self, pid: Any) -> Any:
        kind = pid.__class__
        if kind is int:
            value = self._values[pid]
            return self._value(value) if _is_value(value) else value
        if kind is list:
            return tuple(pid)
        if kind is bytes:
            return pid.decode("utf-8", "surrogatepass")
        if kind is bytearray:
            return bytes(pid)
        return numpy.dtype(pid["dtype"]) if "dtype" in pid else self._value(_method(pid["of"], pid["method"]))

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and a packed model names nothing")

    def _value(self, function: Any) -> Any:
        if not self._quote:
            return function
        self.quoted.append(_Quoted(function))
        return self.quoted[-1]


def _method(owner: Any, name: str) -> Any:
    """A method of an object that its class defines."""
    if isinstance(owner, (type, types.ModuleType, _Quoted, *_FUNCTION)) or type(name) is not str or name.startswith("__"):
        raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}")
    if not isinstance(getattr(type(owner), name, None), types.FunctionType):
        raise pickle.UnpicklingError(f"it asks for {name!r} of a {type(owner).__name__}, which is no method")
    return getattr(owner, name)


class _Meter(_ByValue):
    """Counts what it is asked to write, by what CPython takes for it; strings of attributes and features are shared by many."""

    bytes = 0

    def persistent_id(self, value: Any) -> Any:
        kind = value.__class__
        if kind is float:
            self.bytes += 24
            return None
        if kind is dict:
            self.bytes += 64 + 40 * len(value)
            return None
        if value is None or kind is bool:
            return None
        if kind is int:
            self.bytes += 28
        elif kind is str:
            self.bytes += max(0, len(value) - 32)
            return 0
        elif kind is list:
            self.bytes += 56 + 8 * len(value)
        elif kind is tuple:
            self.bytes += 40 + 8 * len(value)
            return list(value) if value else None
        elif kind is bytes or kind is bytearray:
            self.bytes += 40 + len(value)
            return 0
        elif isinstance(value, (type, types.MethodType, *_FUNCTION)):
            return 0
        elif (kind.__module__, kind.__qualname__) == ("random", "Random"):
            self.bytes += GENERATOR_BYTES
            return 0
        else:
            self.bytes += 56 if kind is not proba.Gaussian else 56 + GENERATOR_BYTES
        return None


class _Quoted:
    """Stands for a function while it is not known that the packed bytes do not call it."""

    __slots__ = ("_name", "called")

    def __init__(self, function: Any) -> None:
        self._name = getattr(function, "__qualname__", "a function")  # a method's own text asks its object, which may not be whole yet
        self.called = False

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.called = True
        raise pickle.UnpicklingError(f"it calls {self._name}, which a packed model may hold but not call")


def _is_value(value: Any) -> bool:
    """Whether it is a function that packed bytes may not call."""
    return (
        isinstance(value, _FUNCTION)
        and not isinstance(value, numpy.ufunc)
        and str(getattr(value, "__module__", None)).partition(".")[0] not in CALLED
    )


class _Reader:
    """The bytes, as what an unpickler reads from."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        start, self._at = self._at, self._at + size
        return self._data[start : self._at]

    def readline(self) -> bytes:
        """The next line: none, because nothing packed has one."""
        return b""


def _nothing(_: Any) -> None:
    """Write to nowhere."""
