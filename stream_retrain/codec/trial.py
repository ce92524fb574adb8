"""What the trial of a pipeline made is written and opened again, as a checkpoint will be: a state that a restart could not open is
refused before the first event, and not at the first restart.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator
from typing import Any

from stream_retrain.codec.checkpoint import own_of
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import PipelineError

__all__ = ["checkpointable", "state_faults"]


def checkpointable(pipeline: Pipeline) -> Pipeline:
    """The pipeline, whose states can be written and opened. Raises `PipelineError` with every fault."""
    faults = _faults(pipeline)
    if faults:
        raise PipelineError(faults, f"pipeline {pipeline.name!r}")
    return pipeline


@functools.lru_cache(maxsize=8)
def _faults(pipeline: Pipeline) -> tuple[str, ...]:
    own = own_of(pipeline)
    return tuple(fault for made in pipeline.trial().made for fault in state_faults(made.where, made.state, own))


def state_faults(where: str, state: Any, own: frozenset[str]) -> Iterator[str]:
    """What is wrong with what something declared has become, as a part of a checkpoint."""
    name = type(state).__name__
    try:
        before = digest(state)
        opened = load_state(dump_state(state), own)
    except pickle.UnpicklingError as error:
        yield (
            f"{where}: a checkpoint with its state ({name}) could not be opened: {error}. Use another, or, if it is your own, keep what it"
            " names in a class of your own module"
        )
    except Exception as error:  # noqa: BLE001 - writing and opening run the code of what is declared
        yield f"{where}: its state ({name}) cannot be written and opened again: {type(error).__name__}: {error}; use another"
    else:
        if digest(opened) != before:
            yield f"{where}: its state ({name}) is another after it was written and opened; what it pickles must be all it has"
