"""A model in a file of its own, under a seal: exported from a shard, for another program or another pipeline.

The file is what a version is in a store (`codec.versions`), and says besides which modules beside River its model names: the signature
covers that too, so that `load_model` can open it without the pipeline, and nothing else.
"""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_retrain.codec.checkpoint import STATE_SCHEMA, checkpoint_header, own_of, versions_here
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import FAMILY, Header, seal, unseal
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import SettingsError, StateError
from stream_retrain.facts.version import imports_of

__all__ = ["History", "exported", "history_of", "is_sealed", "load_model", "opened", "trained"]

OWN: Final = "own"
HISTORY: Final = "history"


def exported(sealed: bytes, pipeline: Pipeline, keyring: Keyring, **told: str) -> bytes:
    """A version as a file; `told` is added to its header. Raises `StateError`."""
    header, payload = unseal(sealed, keyring, where="The version to export")
    extra = {**header.extra, **told, OWN: "\n".join(sorted(own_of(pipeline)))}
    return seal(msgspec.structs.replace(header, extra=extra), payload, keyring)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What a model was trained on from history, and how it did meanwhile; a score that is no number is None."""

    source: str
    """The file, or the range of a topic."""
    records: int
    events: int
    """Labelled events: as many as it learned."""
    seconds: float
    score: dict[str, float | None]
    """Each metric over all of it: every event was predicted before it was learned."""
    rolling: dict[str, float | None]
    """The same over the last `rolling_events`."""


def trained(model: Any, family: str, history: History, pipeline: Pipeline, keyring: Keyring) -> bytes:
    """A model that was trained from history, as a file; it is of no shard."""
    told = {"family": family, HISTORY: msgspec.json.encode(history).decode(), OWN: "\n".join(sorted(own_of(pipeline)))}
    header = checkpoint_header(pipeline, imports_of(pipeline.name), history.records, 0, kind="model", extra=told)
    return seal(header, dump_state(model), keyring)


def history_of(header: Header) -> History | None:
    """On what the model of a file was trained; None where it was not from history."""
    told = header.extra.get(HISTORY)
    return None if told is None else msgspec.json.decode(told, type=History)


def is_sealed(data: bytes) -> bool:
    """Whether a file is one of ours, damaged or not."""
    return data.startswith(FAMILY)


def load_model(path: str | Path, *, key: str | Path | Keyring | None = None, allow_unsigned: bool = False) -> Any:
    """The model of a file that `stream-retrain models export` wrote: River's `predict_one` and `learn_one`.

    The file is verified before anything is unpickled. It is opened under the River and the minor version of Python by which it was made.

    key
        The file of signing keys (`signing_key_file`), or the keys.
    allow_unsigned
        Open a file that nobody signed: whoever could write it then runs code here.

    Raises `SettingsError` without a key, `StateError` where the file is damaged, forged, of another key or of other software.
    """
    keys = key if isinstance(key, Keyring) else Keyring.unsigned() if key is None else Keyring.from_file(Path(key))
    if key is None and not allow_unsigned:
        raise SettingsError(f"{path} is verified before it is opened: give the signing keys, load_model(path, key='signing.key')")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror or error}") from None
    return opened(data, keys, str(path))[1]


def opened(data: bytes, keyring: Keyring, where: str, pipeline: Pipeline | None = None) -> tuple[Header, Any]:
    """Header and model of a file. Raises `StateError` where it is damaged, forged, of other software, or names what it may not.

    With a pipeline, the model may name what that pipeline's own models do, and nothing else.
    """
    header, payload = unseal(data, keyring, where=where)
    if header.kind != "model":
        raise StateError(f"{where} is a {header.kind}, and no model: export one with stream-retrain models export")
    ours = versions_here()
    if header.schema != STATE_SCHEMA or not header.versions.unpickles_under(ours):
        theirs = header.versions
        raise StateError(
            f"{where} was written by stream_retrain {theirs.stream_retrain}, River {theirs.river} and Python {theirs.python}, in state"
            f" schema {header.schema}; this is River {ours.river} and Python {ours.python} in schema {STATE_SCHEMA}: open it under those"
        )
    own = own_of(pipeline) if pipeline is not None else frozenset(filter(None, header.extra.get(OWN, "").split("\n")))
    try:
        return header, load_state(payload, own)
    except pickle.UnpicklingError as error:
        raise StateError(f"{where} was not opened: {error}") from None
