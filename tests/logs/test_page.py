"""docs/logs.md says what is there: its examples are made by the code, its settings and fields exist."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import stream_retrain
from stream_retrain.facts.shard import SHARD_FACTS, DriftDetected, ModelReset
from stream_retrain.facts.values import ShardId
from stream_retrain.logs.repeats import LINES_MAX, PERIOD_S
from stream_retrain.settings import describe
from stream_retrain.views.sentences import fields
from tests.facts.examples import EXAMPLES
from tests.logs.support import Lines
from tests.views.support import processed

ROOT = Path(stream_retrain.__file__).parent.parent
PAGE = (ROOT / "docs" / "logs.md").read_text()
SHARD = ShardId("orders", "shop.orders", 0)


def at(kind: type[ModelReset] | type[DriftDetected], offset: int) -> ModelReset | DriftDetected:
    fact = EXAMPLES[kind]
    assert isinstance(fact, ModelReset | DriftDetected)
    return dataclasses.replace(fact, offset=offset)


def test_the_object_is_what_the_code_makes() -> None:
    [block] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    lines = Lines(instance="host-0", pipeline="orders")
    lines.of_facts(processed(at(ModelReset, 1717), shard=SHARD))
    [made] = lines.objects
    shown = json.loads(block)
    assert list(made) == list(shown)
    assert {**made, "timestamp": ""} == {**shown, "timestamp": ""}


def test_the_line_to_read_is_what_the_code_makes() -> None:
    lines = Lines(as_json=False, instance="host-0")
    lines.of_facts(processed(at(DriftDetected, 1717), shard=SHARD))
    [shown] = re.findall(r"^    \S+ \S+ (INFO .*went up)$", PAGE, re.MULTILINE)
    assert lines.lines[0].split(" ", 2)[2] == shown


def test_the_count_is_what_the_code_makes() -> None:
    lines = Lines(as_json=False, instance="host-0")
    lines.of_facts(*(processed(at(DriftDetected, 1717 + number), shard=SHARD) for number in range(188)))
    lines.now_s = PERIOD_S
    lines.handler.say_due()
    [shown] = re.findall(r"^    \S+ \S+ (INFO .*) \.\.\.$", PAGE, re.MULTILINE)
    assert lines.lines[LINES_MAX].split(" ", 2)[2].startswith(shown)
    assert "the first five in a minute" in PAGE
    assert (LINES_MAX, PERIOD_S) == (5, 60.0)


def test_every_setting_and_field_that_is_named_exists() -> None:
    settings = {row.name for row in describe()}
    table = PAGE.partition("## Settings")[2].partition("##")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) <= settings
    known = {name for kind in SHARD_FACTS for name in fields(SHARD, EXAMPLES[kind])}
    listed = PAGE.partition("- A decision has")[2].partition("The offset is")[0]
    assert set(re.findall(r"`(\w+)`", listed)) <= known


def test_every_example_of_a_level_is_in_the_code() -> None:
    code = " ".join(file.read_text() for file in (ROOT / "stream_retrain").rglob("*.py"))
    rows = [row for row in PAGE.splitlines() if re.match(r"\| `(critical|error|warning|info|debug)` ", row)]
    assert len(rows) == 5
    for row in rows:
        example = row.rsplit("`", 2)[1]
        words = max(re.split(r"\d[\d.]*(?: s)?|\bretrained\b", example), key=len).strip(" :=")
        assert words.partition(":")[0] in code, example
