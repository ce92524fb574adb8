"""A shard's state as bytes: pickle, without what is no state.

River keeps a random generator of 2.5 kB in every Gaussian (`river.proba.Gaussian`, one for each class and feature of each leaf of
a Hoeffding tree). It serves sampling only, and where its seed is None it is nothing a log could determine; left out, the
checkpoint of a tree is several times smaller and quicker to write. A restored Gaussian gets a fresh one.

Only bytes whose seal was verified may be given to `load_state`.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import random
from collections.abc import Collection
from typing import Any

from river import proba

from stream_retrain.codec.allowlist import Restricted

__all__ = ["dump_state", "load_state"]


def dump_state(state: Any) -> bytes:
    """The bytes of `state`. Raises what pickle raises for what cannot be pickled."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = copyreg.dispatch_table | {proba.Gaussian: _reduce_gaussian}
    pickler.dump(state)
    return buffer.getvalue()


def load_state(data: bytes, own: Collection[str] = ()) -> Any:
    """The state of bytes made by `dump_state`, whose seal was verified.

    `own` names the modules of the pipeline's own classes. Raises `pickle.UnpicklingError` where it is made of anything else than
    `codec.allowlist` lists.
    """
    return Restricted(data, own).load()


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
