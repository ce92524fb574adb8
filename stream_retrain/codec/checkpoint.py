"""What stands in the header of a checkpoint or a model, and whether one fits: before anything is unpickled.

`header_misfit` compares a genuine header with the one this process would write. It says in one sentence what differs, or nothing.
"""

from __future__ import annotations

import functools
import pickle
import platform
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

import numpy
import river

from stream_retrain.codec.allowlist import modules_of
from stream_retrain.codec.seal import Header, Versions
from stream_retrain.codec.state import load_state
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Race
from stream_retrain.core.react.thresholds import Threshold
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.models.arithmetic import ARITHMETIC

__all__ = ["STATE_SCHEMA", "checkpoint_header", "header_misfit", "open_payload", "own_of", "versions_here"]

STATE_SCHEMA: Final = 2
"""Of the layout of all that is pickled here: raised where classes in it move, so that no other release's state is opened by mistake.
States of releases that did not count it have 0."""


@functools.lru_cache(maxsize=8)
def _identity(pipeline: Pipeline) -> tuple[str, dict[str, str]]:
    """Digest and parts of a pipeline, which never changes: computed once, and not at every checkpoint."""
    return pipeline.digest(), pipeline.parts()


@functools.cache
def versions_here() -> Versions:
    """The software of this process."""
    return Versions(
        stream_retrain=version("stream_retrain"),
        river=river.__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
        arithmetic=str(ARITHMETIC),
    )


def checkpoint_header(
    pipeline: Pipeline,
    id_: ShardId,
    offset: int,
    generation: int,
    *,
    kind: str = "checkpoint",
    waiting: int = 0,
    topic_id: str = "",
    list_of_parts: str = "",
    extra: Mapping[str, str] | None = None,
) -> Header:
    """The header of a checkpoint or a model made by this process.

    `waiting`: the questions in it that wait for their labels; `topic_id`: Kafka's id of the topic, where it is known;
    `list_of_parts`: as in `Header`.
    """
    digest, parts = _identity(pipeline)
    return Header(
        kind=kind,
        pipeline=id_.pipeline,
        pipeline_digest=digest,
        topic=id_.topic,
        partition=id_.partition,
        offset=offset,
        generation=generation,
        versions=versions_here(),
        schema=STATE_SCHEMA,
        parts=parts,
        waiting=waiting,
        topic_id=topic_id,
        list_of_parts=list_of_parts,
        extra=dict(extra or {}),
    )


def header_misfit(header: Header, wanted: Header) -> str | None:
    """Why what is under `header` cannot be used where `wanted` would be written; None: it can, if the pipeline is the same or fits."""
    for field in ("kind", "pipeline", "topic", "partition"):
        if getattr(header, field) != getattr(wanted, field):
            return f"it is of another {field}: {getattr(header, field)!r}"
    theirs, ours = header.versions, wanted.versions
    if header.schema != wanted.schema:
        return (
            f"release {theirs.stream_retrain} wrote it in state schema {header.schema}, and this release,"
            f" {ours.stream_retrain}, reads schema {wanted.schema}"
        )
    if not theirs.unpickles_under(ours):
        return f"it was written by River {theirs.river} on Python {theirs.python}, and this is River {ours.river} on Python {ours.python}"
    if theirs.arithmetic != ours.arithmetic:
        return f"version {theirs.arithmetic or 0} of the models' arithmetic computed it, and this release has version {ours.arithmetic}"
    return None


def open_payload(payload: bytes, pipeline: Pipeline, where: str, parts: Mapping[str, bytes] = MappingProxyType({})) -> Any:
    """What a payload whose seal was verified holds, with its parts by digest.

    Raises `StateError` where it names what no state of this pipeline is made of.
    """
    try:
        return load_state(payload, own_of(pipeline), parts)
    except pickle.UnpicklingError as error:
        raise StateError(
            f"{where} was not opened: {error}. If nobody else has its key, a model of this pipeline keeps something that a state may not"
            " hold: keep it in a class of its own module"
        ) from None


@functools.lru_cache(maxsize=8)
def own_of(pipeline: Pipeline) -> frozenset[str]:
    """What a state of this pipeline may name beside the allowlist, because its own models, detectors and metrics do."""
    races = [rule.do for rule in pipeline.react if isinstance(rule.do, Race)]
    others = [challenger.model for race in races for challenger in race.contestants() if challenger.model is not None]
    detectors = [detector for watch in pipeline.watch for detector in (watch.detector, watch.warning) if detector is not None]
    measured = [each.metric for each in pipeline.triggers if isinstance(each, Threshold)]
    return modules_of([pipeline.model, *others, *detectors, *measured, *pipeline.scores.metrics])
