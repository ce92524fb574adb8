"""How a worker stands, as it tells the store and as it is read there: a small value whose every field has a limit.

Others can write to a store, so a text is a `WorkerStatus` only where all of it fits: a name that is too long, a number that is none, a
list without end are refused, and so is a status under another worker's name.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from stream_retrain.errors import StateError

__all__ = ["STATUS_BYTES_MAX", "DuelBrief", "ShardBrief", "WorkerStatus", "due_text", "read_status", "status_of", "written"]

STATUS_BYTES_MAX: Final = 2_000_000
SHARDS_MAX: Final = 2_000
TEXT_CHARS_MAX: Final = 500

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Name = Annotated[str, msgspec.Meta(max_length=200)]
_Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]
_Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]


class DuelBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A duel under way: who serves, and the best evidence that a challenger has."""

    number: _Count
    leader: _Name
    events: _Count
    e_value: _Number
    passes_at: _Number
    rematch: bool = False
    """It holds nothing up."""


class ShardBrief(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that the worker holds."""

    partition: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    state: Literal["replaying", "live", "paused"]
    offset: _Count
    lag_records: _Count | None
    lag_s: _Seconds | None
    events_seen: _Count
    pending: _Count
    unmatched: _Count
    dead_letters: _Count
    drifts: _Count
    generation: _Count
    rolling: Annotated[dict[_Name, _Number | None], msgspec.Meta(max_length=50)]
    duel: DuelBrief | None
    training: _Text | None
    """The training under way, in words."""
    paused_by: _Text | None = None
    """Who had it paused and why, in words; None: nobody."""
    due: _Text | None = None
    """Which of its schedules is due next and when, in words; None: it has none."""


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of a group."""

    instance: _Name
    pipeline: _Name
    version: _Name
    url: _Text
    """Where it serves; empty where it serves on no port of its own."""
    pid: _Count
    state: Literal["starting", "restoring", "running", "degraded", "draining", "stopped", "failed"]
    detail: _Text
    ready: bool
    missing: Annotated[list[_Text], msgspec.Meta(max_length=10)]
    store: _Name
    partitions: _Count | None
    """Of the source."""
    uptime_s: _Seconds
    commit_age_s: _Seconds | None
    checkpoint_age_s: _Seconds | None
    shards: Annotated[list[ShardBrief], msgspec.Meta(max_length=SHARDS_MAX)]


def status_of(shown: Mapping[str, Any], url: str = "") -> WorkerStatus:
    """The brief form of what `/status` shows."""
    kept = {name: shown[name] for name in WorkerStatus.__struct_fields__ if name not in ("url", "shards", "detail", "missing")}
    shards = [_brief(place, shard) for place, shard in list(shown["shards"].items())[:SHARDS_MAX]]
    texts = {"detail": _cut(shown["detail"]), "missing": [_cut(each) for each in shown["missing"][:10]]}
    return msgspec.convert({**kept, **texts, "url": url, "shards": shards}, WorkerStatus)


def written(status: WorkerStatus) -> bytes:
    """The text that is stored."""
    return msgspec.json.encode(status)


def read_status(text: bytes, instance: str) -> WorkerStatus:
    """What is stored under a worker's name. Raises `StateError` where it is no status, or another's."""
    try:
        found = msgspec.json.decode(text, type=WorkerStatus)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StateError(f"what is stored as the status of a worker is none: {error}") from None
    if found.instance != instance:
        raise StateError(f"the status of worker {instance[:40]!r} has another's name")
    return found


def _brief(place: str, shard: Mapping[str, Any]) -> dict[str, Any]:
    same = ("state", "offset", "lag_records", "lag_s", "events_seen", "pending", "drifts", "generation")
    training = shard["training"]
    under_way = training is not None and training["state"] == "under way"
    return {
        **{name: shard[name] for name in same},
        "partition": int(place.rpartition("/")[2]),
        "unmatched": sum(shard["unmatched"].values()),
        "dead_letters": shard["rejected"],
        "rolling": {name[:200]: value if math.isfinite(value) else None for name, value in list(shard["rolling"].items())[:50]},
        "duel": _duel(shard["duel"]) if shard["duel"] else None,
        "training": _cut(_training(training)) if under_way else None,
        "due": _cut(due_text(schedules)) if (schedules := shard.get("schedules")) else None,
        "paused_by": _cut(f"{held['by'] or 'somebody'}: {held['reason']}") if (held := shard.get("paused_by")) else None,
    }


def due_text(schedules: Sequence[Mapping[str, Any]]) -> str:
    """The schedule that is due next, in words."""
    first = min(schedules, key=lambda each: each["at_s"])
    at = datetime.datetime.fromtimestamp(first["at_s"], datetime.UTC).isoformat(timespec="seconds")
    return f"rule {first['rule']} ({first['schedule']}) is due next at {at}"


def _duel(duel: Mapping[str, Any]) -> dict[str, Any]:
    evidence = [each["e_value"] for each in duel["contestants"] if each["name"] != duel["leader"]]
    best = {"e_value": max(evidence, default=1.0), "passes_at": duel["passes_at"], "rematch": duel["rematch"]}
    return {"number": duel["number"], "leader": duel["leader"][:200], "events": duel["events"], **best}


def _training(training: Mapping[str, Any]) -> str:
    rows = f"{training['rows']:,}" + (f" of {training['rows_total']:,}" if training["rows_total"] else "")
    waits = training["waits_for_trainer_s"]
    nobody = "" if waits is None else f", nobody has taken it for {waits:.0f} s"
    return f"{training['number']} ({training['challenger'] or 'from before this start'}), {rows} rows{nobody}"


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
