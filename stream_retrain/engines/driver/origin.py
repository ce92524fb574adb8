"""Where the state of a shard comes from, as the lane announces it (`facts.restored`), and as a checkpoint keeps it until it was told.

A lane tells it with its first live event. One that is saved before that, and restored by another, must still tell it: so it stands in the
header of the checkpoint.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from typing import Final

from stream_retrain.codec.seal import Header
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.restored import RestoredFrom, ShardRestored

__all__ = ["SAVED", "begins", "goes_on", "saved_at", "untold"]

SAVED: Final = "saved_s"
"""When the checkpoint was written, in seconds since the epoch: schedules in wall time go on from there."""
WARM: Final = ("model", "origin")
"""What is kept besides where a shard began with a model from elsewhere."""


def begins(how: RestoredFrom, from_offset: int, differs: Sequence[str] = (), *, model: str = "", origin: str = "") -> ShardRestored:
    """What a lane announces; the rest is the lane's, when it goes live."""
    return ShardRestored(
        offset=-1,
        time_s=-math.inf,
        how=how,
        from_offset=from_offset,
        training=None,
        request="",
        generation=0,
        differs=tuple(differs),
        model=model,
        origin=origin,
    )


def goes_on(
    how: RestoredFrom, header: Header, ours: Header, pipeline: Pipeline, differs: Sequence[str], *, asked: bool = False
) -> ShardRestored | None:
    """What a lane announces that goes on from a checkpoint: None where whoever replays it without knowing comes to the same.

    `differs`: the parts of the pipeline that are others now; `asked`: somebody has asked something of the shard before.
    """
    kept = header.extra
    if header.pipeline_digest != ours.pipeline_digest:
        return begins(how, header.offset, differs or ("pipeline",))
    if (before := kept.get("how")) in typing.get_args(RestoredFrom) and kept.get("from", "").isdecimal():
        differing = [name for name in kept.get("differs", "").split("\n") if name]
        warm = {name: kept.get(name, "") for name in WARM}
        return begins(typing.cast(RestoredFrom, before), int(kept["from"]), differing, **warm)
    return begins(how, header.offset) if header.versions != ours.versions or pipeline.takes_inputs or asked else None


def untold(announcing: ShardRestored | None) -> Mapping[str, str]:
    """What the header of a checkpoint keeps of what was not told yet."""
    if announcing is None:
        return {}
    warm = {name: value for name in WARM if (value := getattr(announcing, name))}
    return {"how": announcing.how, "from": str(announcing.from_offset), "differs": "\n".join(announcing.differs), **warm}


def saved_at(header: Header) -> float | None:
    """When the checkpoint of this header was written; None: its release did not say."""
    try:
        at_s = float(header.extra.get(SAVED, "nan"))
    except ValueError:
        return None
    return at_s if math.isfinite(at_s) else None
