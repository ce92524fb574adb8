"""A shard's state as bytes: pickle, without what is no state.

River keeps a random generator of 2.5 kB in every Gaussian (`river.proba.Gaussian`, one for each class and feature of each leaf of
a Hoeffding tree). It serves sampling only, and where its seed is None it is nothing a log could determine; left out, the
checkpoint of a tree is several times smaller and quicker to write. A restored Gaussian gets a fresh one.

Some of River's classifiers add up or compare probabilities in the order of a set of labels. The order of a set depends on the order in
which its members were added, which pickle does not keep. So such a set is written in an order that, added one by one, gives the same set.

Segments of models that were put away (`models.segments`) never change. A checkpoint names them by their digest and does not hold them, if
`dump_state` is given a dict that takes them; `load_state` is then given their bytes, and compares each with its digest.

Only bytes whose seal was verified may be given to `load_state`.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import io
import itertools
import operator
import pickle
import random
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from river import dummy, forest, multiclass, neighbors, proba, tree

from stream_retrain.codec.allowlist import Restricted
from stream_retrain.models.segments import Segment

__all__ = ["dump_state", "load_state"]

LABELLED: Final[dict[type, str]] = {
    dummy.NoChangeClassifier: "classes",
    forest.AMFClassifier: "_classes",
    multiclass.OneVsOneClassifier: "classes",
    neighbors.KNNClassifier: "classes",
    tree.HoeffdingAdaptiveTreeClassifier: "classes",
}
"""The classifiers that iterate over a set of labels, and the attribute that holds it."""
PERMUTED_MAX: Final = 7
ORDERED_MAX: Final = 30
"""Labels of which an order is looked for: among all orders up to the first number, above it step by step, and not always found."""


def dump_state(state: Any, parts: dict[str, Segment] | None = None) -> bytes:
    """The bytes of `state`; `parts` takes its segments, by digest, which are then no part of the bytes.

    Raises what pickle raises for what cannot be pickled.
    """
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = copyreg.dispatch_table | {proba.Gaussian: _reduce_gaussian} | dict.fromkeys(LABELLED, _reduce_labelled)
    if parts is not None:
        pickler.dispatch_table[Segment] = functools.partial(_reduce_segment, parts)
    pickler.dump(state)
    return buffer.getvalue()


def load_state(data: bytes, own: Collection[str] = (), parts: Mapping[str, bytes] = MappingProxyType({})) -> Any:
    """The state of bytes made by `dump_state`, whose seal was verified.

    `own` names the modules of the pipeline's own classes, `parts` are the bytes of segments by their digest. Raises
    `pickle.UnpicklingError` where it is made of anything else than `codec.allowlist` lists, or a segment is not there or another.
    """
    return Restricted(data, own, functools.partial(_segment, parts)).load()


def _reduce_segment(parts: dict[str, Segment], segment: Segment) -> Any:
    parts[segment.digest] = segment
    return _part, (segment.digest, segment.taken)


def _part(digest: str, taken: int) -> Segment:  # named in `codec.allowlist`, where another stands in for it
    raise AssertionError(f"segment {digest} ({taken}) is opened by `load_state` alone")


def _segment(parts: Mapping[str, bytes], digest: str, taken: int) -> Segment:
    """The segment of a digest. Raises `pickle.UnpicklingError` where its bytes are not there, or are others."""
    data = parts.get(digest)
    if data is None:
        raise pickle.UnpicklingError(f"the store has lost a part of it ({str(digest)[:12]})")
    if hashlib.sha256(data).hexdigest() != digest or type(taken) is not int:
        raise pickle.UnpicklingError(f"a part of it was changed or damaged ({digest[:12]})")
    return Segment(data, taken, digest)


def _reduce_gaussian(gaussian: Any) -> Any:
    if gaussian.seed is not None:
        return gaussian.__reduce_ex__(5)
    kept = {name: value for name, value in gaussian.__dict__.items() if name != "_rng"}
    return _gaussian, (type(gaussian), kept)


def _gaussian(kind: Any, kept: dict[str, Any]) -> Any:  # named in `codec.allowlist`
    if kind is not proba.Gaussian:
        raise pickle.UnpicklingError(f"it asks for a Gaussian and names {kind!r}")
    gaussian = kind.__new__(kind)
    gaussian.__dict__.update(kept, _rng=random.Random())
    return gaussian


class _Added:
    """Stands for a set in a state that is written; what is read is a set again."""

    __slots__ = ("_labels",)

    def __init__(self, labels: list[Any]) -> None:
        self._labels = labels

    def __reduce__(self) -> tuple[type[set[Any]], tuple[list[Any]]]:
        return set, (self._labels,)


def _reduce_labelled(model: Any) -> Any:
    """The model's own way, with its labels in an order in which they can be added again."""
    how, made_of, state, *rest = model.__reduce_ex__(5)
    name = LABELLED[type(model)]
    return how, made_of, {**state, name: _Added(_as_added(state[name]))}, *rest


def _as_added(labels: set[Any]) -> list[Any]:
    """The labels in an order that gives a set which iterates as this one does; in the order of this one where no such order is found."""
    wanted = list(labels)
    if list(set(wanted)) == wanted or len(wanted) > ORDERED_MAX:
        return wanted
    if len(wanted) <= PERMUTED_MAX:
        return next((list(order) for order in itertools.permutations(wanted) if list(set(order)) == wanted), wanted)
    order, wrong = wanted, _wrong(wanted, wanted)
    while wrong:
        nearest = min(_moved(order), key=lambda moved: _wrong(moved, wanted))
        if (left := _wrong(nearest, wanted)) >= wrong:
            return wanted
        order, wrong = nearest, left
    return order


def _wrong(order: list[Any], wanted: list[Any]) -> int:
    """How many labels stand elsewhere in the set of an order than they should."""
    return sum(map(operator.ne, set(order), wanted))


def _moved(order: list[Any]) -> Iterator[list[Any]]:
    """Each label moved to each place: of two that want one place in a set's table, the one that was added first has it."""
    for old, new in itertools.permutations(range(len(order)), 2):
        moved = order[:old] + order[old + 1 :]
        moved.insert(new, order[old])
        yield moved
