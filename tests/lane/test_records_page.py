"""The page about records says what is so: each example is run."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from river import compose, linear_model, preprocessing

import stream_retrain
from stream_retrain import Field, Label, Pipeline, Schema, Sparse
from stream_retrain.core.schema_faults import schema_faults
from stream_retrain.core.trial import example_events
from stream_retrain.facts.values import Record
from stream_retrain.lane.formats.decoder import EventDecoder

PAGE = (Path(stream_retrain.__file__).parent.parent / "docs" / "records.md").read_text()
NAMES: dict[str, Any] = {each.__name__: each for each in (Field, Label, Pipeline, Schema, Sparse)}
CASES = re.findall(r"```python\n((?:(?!```).)*)```\n```json\n(.*?)```\n```text\n(.*?)```", PAGE, re.DOTALL)
ALONE = re.findall(r"```python\n((?:(?!```).)*)```\n(?!```json)", PAGE, re.DOTALL)


def run(code: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {**NAMES, **more, "__name__": __name__}
    exec(code, made)
    globals().update({name: value for name, value in made.items() if getattr(value, "__module__", "") == __name__})  # to be pickled by name
    return made


def test_there_are_as_many_examples_as_blocks() -> None:
    assert len(CASES) + len(ALONE) == PAGE.count("```python")
    assert len(CASES) >= 8
    assert len(ALONE) == 2


@pytest.mark.parametrize(("code", "record", "event"), CASES, ids=[re.sub(r"\s+", " ", code)[9:60] for code, _, _ in CASES])
def test_a_record_becomes_the_event_that_is_shown(code: str, record: str, event: str) -> None:
    schema = run(code)["schema"]
    assert list(schema_faults(schema, "binary")) == []
    made = EventDecoder(schema, "binary", record_bytes_max=10_000).decode(Record(0, None, record.encode(), 1_782_892_800_000))
    assert made is not None
    assert {"id": made.id, "x": made.x, "y": made.y} == ast.literal_eval(event)
    assert repr(made.x) == repr(ast.literal_eval(event)["x"]), "also in type and order"


def test_derived_features_and_a_function_of_the_record_do_what_is_said() -> None:
    derived, decode = (run(code, compose=compose, linear_model=linear_model, preprocessing=preprocessing) for code in ALONE)
    schema = Schema(id="id", label="y", features={"amount": float, "items": int})
    Pipeline(name="p", task="binary", source="t", schema=schema, model=derived["model"])
    schema = decode["schema"]
    assert list(schema_faults(schema, "binary")) == []
    assert next(example_events(schema, "binary")) == ({"amount": 9.5, "region": ""}, True)
    assert EventDecoder(schema, "binary", record_bytes_max=100).decode(Record(0, None, b"ping", 0)) is None
