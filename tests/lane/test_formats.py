"""Rows as JSON, and event times as fields have them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain import Schema
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, seconds_of, time_type, written
from stream_retrain.lane.formats.rows import encode_row, key_text

ISO = Schema(features={"a": float}, label="y", time="at")
SCHEMAS = [ISO, dataclasses.replace(ISO, time_unit="s"), dataclasses.replace(ISO, time_unit="ms")]


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (math.nan, None),
        (-math.inf, None),
        (Decimal("12.30"), 12.3),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(False), False),
        (np.str_("x"), "x"),
        (np.datetime64("2026-01-01T00:00:00.000001"), "2026-01-01T00:00:00.000001"),
        (np.datetime64("NaT"), None),
        (dt.date(2026, 1, 1), "2026-01-01"),
    ],
)
def test_a_value_is_written_as_json_holds_it(value: Any, held: object) -> None:
    assert json.loads(encode_row({"a": value})) == {"a": held}


@pytest.mark.parametrize("value", [1j, object(), np.array([1, 2])])
def test_a_value_that_json_does_not_have_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"a {type(value).__name__} is no value of JSON"):
        encode_row({"a": value})


@pytest.mark.parametrize(("value", "key"), [(None, None), ("north", "north"), ("", ""), (7, "7"), (True, "true"), (1.5, "1.5")])
def test_a_key_is_text_as_it_is_or_as_json_writes_it(value: Any, key: str | None) -> None:
    assert key_text(value) == key


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.time_unit)
@given(st.floats(-60_000_000_000, 200_000_000_000))
@settings(deadline=None)
def test_a_time_that_is_written_is_read_back_within_a_microsecond_or_a_digit(schema: Schema, time_s: float) -> None:
    read = msgspec.json.decode(encode_row({"at": written(time_s, schema)}), type=dict[str, time_type(schema)])
    assert math.isclose(seconds_of(read["at"], schema), time_s, rel_tol=1e-15, abs_tol=1e-6)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.time_unit)
@pytest.mark.parametrize(("time_s", "nearest_s"), [(1e300, TIME_MAX_S), (-math.inf, TIME_MIN_S)])
def test_beyond_the_calendar_the_nearest_time_is_written(schema: Schema, time_s: float, nearest_s: float) -> None:
    assert seconds_of(written(time_s, schema), schema) == nearest_s
