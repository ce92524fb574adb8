"""A stamp says by what a decision was made, and in words what differs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from river import linear_model, metrics

import stream_retrain
from stream_retrain import On, Reset
from stream_retrain.codec.seal import Versions
from stream_retrain.codec.stamp import PARTS_BYTES_MAX, Stamp, stamp_of
from stream_retrain.lane.encoder import STAMP_BYTES_MAX
from tests.core import streams

PIPELINE = streams.pipeline()
OURS = stamp_of(PIPELINE, 1_000)


def as_read(stamp: Stamp) -> dict[str, bytes]:
    return {name: text for name, text in stamp.headers if isinstance(text, bytes)}


def other(**fields: str) -> Stamp:
    return dataclasses.replace(OURS, fields={**OURS.fields, **fields})


def test_the_headers_name_release_versions_pipeline_and_settings() -> None:
    headers = as_read(OURS)
    assert headers["sr_release"].decode() == stream_retrain.__version__
    assert headers["sr_pipeline_digest"].decode() == PIPELINE.digest()
    assert headers["sr_record_bytes_max"] == b"1000"
    assert set(headers) == {
        *(f"sr_{name}" for name in Versions.__struct_fields__ if name != "stream_retrain"),
        *("sr_release", "sr_pipeline_digest", "sr_sources", "sr_record_bytes_max", "sr_parts"),
    }
    assert sum(len(name) + len(text) for name, text in headers.items()) < STAMP_BYTES_MAX


def test_what_was_written_is_read() -> None:
    assert Stamp.read(as_read(OURS)) == OURS


def test_the_same_pipeline_has_the_same_stamp() -> None:
    assert stamp_of(streams.pipeline(), 1_000) == OURS
    assert OURS.other_pipeline(OURS) is None
    assert OURS.other_software(OURS) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": linear_model.LogisticRegression(l2=0.1)}, "its model"),
        ({"window_rows_max": 77, "metrics": [metrics.F1()]}, "its metric F1 and its metric Accuracy and its window_rows_max"),
        ({"react": [On.every(events=10, do=Reset())]}, "its rule 0 every:10_events"),
    ],
)
def test_another_pipeline_is_told_by_its_parts(changes: dict[str, Any], words: str) -> None:
    told = stamp_of(streams.pipeline(**changes), 1_000).other_pipeline(OURS)
    assert told
    assert "another pipeline, which differs in" in told
    assert set(words.split(" and ")) <= set(told.split("differs in ")[1].split(" and "))


def test_where_there_are_too_many_parts_the_digest_alone_tells() -> None:
    rules = [On.every(events=10 + number, do=Reset()) for number in range(60)]
    large = stamp_of(streams.pipeline(react=rules), 1_000)
    assert large.parts == {}
    assert "sr_parts" not in as_read(large)
    assert large.other_pipeline(OURS) == OURS.other_pipeline(large) == "they were made by another pipeline"
    assert Stamp.read(as_read(large)) == large
    assert len(as_read(OURS)["sr_parts"]) <= PARTS_BYTES_MAX


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"stream_retrain": "0.0.1"}, "release 0.0.1, and this is"),
        ({"river": "0.1"}, "River 0.1, and this is"),
        ({"python": "3.8.0"}, "Python 3.8.0"),
        ({"numpy": "1.0"}, "NumPy 1.0"),
        ({"arithmetic": "0"}, "version of the models' arithmetic 0, and this is"),
        ({"sources": "ff"}, "another code of its own"),
        ({"record_bytes_max": "5"}, "a worker with the setting record_bytes_max = 5"),
    ],
)
def test_other_software_is_told(fields: dict[str, str], words: str) -> None:
    stamp = other(**fields)
    assert words in (stamp.other_software(OURS) or "")
    assert stamp.other_pipeline(OURS) is None


def test_a_record_without_a_stamp_or_with_a_damaged_one() -> None:
    assert Stamp.read({}) is None
    assert Stamp.read({"sr_release": b"0.1.0"}) is None
    damaged = {**as_read(OURS), "sr_parts": b"{", "sr_river": b"\xff"}
    read = Stamp.read(damaged)
    assert read
    assert (read.parts, read.fields["river"]) == ({}, "�")
    assert "River" in (read.other_software(OURS) or "")


def test_a_field_that_is_missing_is_another_one() -> None:
    headers = as_read(OURS)
    del headers["sr_numpy"]
    read = Stamp.read(headers)
    assert read
    assert "NumPy None" in (read.other_software(OURS) or "")
