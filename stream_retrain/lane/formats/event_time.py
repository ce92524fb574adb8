"""Event time as a field of a record has it, and in seconds since the epoch."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Final, cast

import msgspec

from stream_retrain.core.schema import Schema

__all__ = ["TIME_MAX_S", "TIME_MIN_S", "seconds_of", "time_type", "written"]

# Of the years 1 to 9999, which RFC 3339 can write.
TIME_MIN_S: Final = -62_135_596_800.0
TIME_MAX_S: Final = 253_402_300_799.0
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_A_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def time_type(schema: Schema) -> Any:
    """What a field of time holds, for msgspec."""
    return Annotated[dt.datetime, msgspec.Meta(tz=True)] if schema.time_unit == "iso" else float


def seconds_of(value: Any, schema: Schema) -> float:
    """A field of time, converted to its type, in seconds."""
    if schema.time_unit == "iso":
        return cast(dt.datetime, value).timestamp()
    return float(value) / _A_SECOND[schema.time_unit]


def written(time_s: float, schema: Schema) -> dt.datetime | float:
    """Seconds as a field of time, for msgspec; beyond the years 1 to 9999 the nearest of them."""
    within_s = min(max(time_s, TIME_MIN_S), TIME_MAX_S)
    return _EPOCH + dt.timedelta(seconds=within_s) if schema.time_unit == "iso" else within_s * _A_SECOND[schema.time_unit]
