"""The pipelines that are tried: made from settings, checked as any pipeline is, and told apart by what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from stream_retrain.backtesting.tuning.paths import changed, path_of
from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import PipelineError

__all__ = ["Candidate", "candidate"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One choice of settings, and the pipeline with them."""

    number: int
    settings: Mapping[str, Any]
    pipeline: Pipeline | None
    """None: it is refused."""
    digest: str
    """Two with the same one come to the same."""
    refused: str | None = None


def candidate(number: int, settings: Mapping[str, Any], own: Pipeline) -> Candidate:
    """The candidate with these settings. One that there cannot be is refused, and does not end the run."""
    try:
        pipeline: Pipeline = changed(own, {path_of(path): value for path, value in settings.items()})
        if pipeline.trains:  # its models are written and opened again
            checkpointable(pipeline)
    except PipelineError as error:
        return Candidate(number=number, settings=settings, pipeline=None, digest="", refused="; ".join(error.faults))
    except Exception as error:  # noqa: BLE001 - constructors of detectors are foreign code
        refused = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Candidate(number=number, settings=settings, pipeline=None, digest="", refused=refused)
    return Candidate(number=number, settings=settings, pipeline=pipeline, digest=pipeline.digest())
