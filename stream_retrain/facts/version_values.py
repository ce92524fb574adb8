"""A version as values for JSON: what commands, the worker's page and integrations give of it, with the same fields."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from stream_retrain.facts.version import Moment, Version

__all__ = ["as_values", "when"]


def as_values(version: Version, aliases: Mapping[Any, str]) -> dict[str, Any]:
    """A version for JSON, with its aliases and its wall times in words."""
    values: dict[str, Any] = msgspec.to_builtins(version)
    values["aliases"] = [alias for alias, id_ in aliases.items() if id_ == version.id]
    values["serves"] = version.serves
    for name in ("began", "ended"):
        at: Moment | None = getattr(version, name)
        if at is not None:
            values[name]["wall"] = None if at.wall_s is None else when(at.wall_s)
    return values


def when(wall_s: float) -> str:
    """A wall time in UTC."""
    return dt.datetime.fromtimestamp(wall_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
