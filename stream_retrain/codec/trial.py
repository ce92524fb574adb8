"""What the trial of a pipeline made is written and opened again, as a checkpoint will be: a state that a restart could not open is
refused before the first event, and not at the first restart.
"""

from __future__ import annotations

import functools
import pickle
from collections.abc import Iterator

from stream_retrain.codec.checkpoint import own_of
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.trial import Made
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
    return tuple(fault for made in pipeline.trial().made for fault in state_faults(made, own))


def state_faults(made: Made, own: frozenset[str]) -> Iterator[str]:
    """What is wrong with what something declared has become, as a part of a checkpoint."""
    where = f"{made.where}: {made.name}"
    try:
        before = digest(made.state)
        opened = load_state(dump_state(made.state), own)
        same = digest(opened) == before
    except pickle.UnpicklingError as error:
        hint = "use another, or, if it is your own, keep what it names in a class of your own module"
        yield f"{where}: a checkpoint with it could not be opened: {error}; {hint}"
        return
    except Exception as error:  # noqa: BLE001 - writing and opening run the code of what is declared
        yield f"{where} cannot be written and opened again: {type(error).__name__}: {error}; use another"
        return
    if not same:
        yield f"{where} is another after it was written and opened; use another, or, if it is your own, let it pickle all it has"
        return
    expected = made.go_on(made.state)
    try:
        same = digest((made.go_on(opened), opened)) == digest((expected, made.state))
    except Exception as error:  # noqa: BLE001 - the same
        yield f"{where} cannot go on after it was written and opened: {type(error).__name__}: {error}; use another"
        return
    if not same:
        yield f"{where} goes on differently after it was written and opened; use another"
