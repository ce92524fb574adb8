"""docs/sources.md: what stands there is understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stream_retrain
from stream_retrain.backtesting.label_delay import parse_label_delay
from stream_retrain.engines.kafka.range_text import parse_range

PAGE = (Path(stream_retrain.__file__).parent.parent / "docs" / "sources.md").read_text()
RANGES = re.findall(r"`(kafka://[^`]+)`", PAGE)
BOUNDS = re.findall(r"`((?:from|to|partitions)=[^`]+)`", PAGE)
DELAYS = re.findall(r"^\| `((?:events|seconds|field|seconds_field|exponential|uniform|lognormal)[=:][^`]+)`", PAGE, re.MULTILINE)


@pytest.mark.parametrize("text", [*RANGES, *(f"kafka://t?{bound}" for bound in BOUNDS)])
def test_the_ranges_of_the_page_are_read(text: str) -> None:
    assert parse_range(text) != parse_range("kafka://t")


@pytest.mark.parametrize("text", DELAYS)
def test_the_delays_of_the_page_are_read(text: str) -> None:
    assert str(parse_label_delay(text)) == text


def test_the_page_has_all_of_them() -> None:
    assert (len(RANGES), len(BOUNDS), len(DELAYS)) == (1, 7, 7)
