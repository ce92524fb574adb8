"""The examples of examples/orchestration, as far as they can be looked at without their tools, in which tests/integrations runs them."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from stream_retrain.cli import COMMANDS, app
from stream_retrain.settings import settings_table_markdown

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "examples" / "orchestration").glob("*.py"))
PAGE = (ROOT / "docs" / "orchestration.md").read_text()
PUBLISHED = re.findall(r'^(\{"specversion".*\})$', (ROOT / "docs" / "messages.md").read_text(), re.MULTILINE)
TREES = {file.name: ast.parse(file.read_text(), file.name) for file in FILES}
PICKERS = [name for name, tree in TREES.items() if any(isinstance(node, ast.FunctionDef) and node.name == "wanted" for node in tree.body)]


def options_of(command: str) -> set[str]:
    assert command in COMMANDS, f"stream-retrain {command}: no such command"
    found = vars(get_command(app([command])))["commands"][command]
    return {option for parameter in found.params for option in parameter.opts if option.startswith("--")}


def picker(name: str) -> Callable[[bytes | None], dict[str, Any] | None]:
    """The function of an example that says which decisions start something; the rest of the file needs its tool."""
    wanted = [
        node
        for node in TREES[name].body
        if (isinstance(node, ast.FunctionDef) and node.name == "wanted")
        or (isinstance(node, ast.Assign) and ast.unparse(node).startswith("PREFIX"))
    ]
    future = ast.parse("from __future__ import annotations").body
    space: dict[str, Any] = {"json": json}
    exec(compile(ast.Module([*future, *wanted], []), name, "exec"), space)
    pick: Callable[[Any], dict[str, Any] | None] = space["wanted"]
    return (lambda value: pick(Record(value))) if name.startswith("airflow") else pick


class Record:
    """What Airflow's trigger hands over."""

    def __init__(self, value: bytes | None) -> None:
        self._value = value

    def value(self) -> bytes | None:
        return self._value


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_an_example_says_how_it_is_installed_and_is_typed(file: Path) -> None:
    assert "Install: " in (ast.get_docstring(TREES[file.name]) or "")
    assert len(file.read_text().splitlines()) <= 120
    for node in ast.walk(TREES[file.name]):
        if isinstance(node, ast.FunctionDef):
            assert node.returns is not None, f"{node.name} of {file.name}"
            assert all(each.annotation is not None for each in node.args.args if each.arg != "self"), f"{node.name} of {file.name}"
            assert ast.get_docstring(node), f"{node.name} of {file.name}"


def test_the_page_names_every_example_and_no_other() -> None:
    assert set(re.findall(r"examples/orchestration/(\w+\.py)", PAGE)) == {file.name for file in FILES}


def test_the_examples_ask_with_a_command_and_options_that_are_there() -> None:
    asking = [name for name in TREES if name.endswith("_retrain.py")]
    assert len(asking) == 3
    for name in asking:
        [call] = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call) and ast.unparse(node.func) == "subprocess.run"]
        assert isinstance(call.args[0], ast.List)
        words = [each.value for each in call.args[0].elts if isinstance(each, ast.Constant)]
        texts = {node.value for node in ast.walk(TREES[name]) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        given = {text for text in texts if re.fullmatch(r"--[a-z-]+", text)}
        assert given == {"--wait", "--timeout", "--json", "--token", "--reason"}
        assert words == ["retrain"]
        assert given <= options_of("retrain")


def test_the_commands_of_the_page_are_understood() -> None:
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", PAGE, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.startswith("stream-retrain ")]
    assert lines
    for line in lines:
        words = shlex.split(line.partition("stream-retrain ")[2], comments=True)
        given = {word for word in words if word.startswith("--")}
        assert given <= options_of(words[0]), line


@pytest.mark.parametrize("name", PICKERS)
def test_drifts_and_promotions_start_something_and_nothing_else_does(name: str) -> None:
    pick = picker(name)
    picked = [decision for value in PUBLISHED if (decision := pick(value.encode())) is not None]
    assert len(PUBLISHED) > 15
    assert {each["type"] for each in picked} == {"io.streamretrain.drift.detected.v1", "io.streamretrain.duel.ended.v1"}
    assert all(json.dumps(each, separators=(",", ":")) in PUBLISHED for each in picked), "it gets the decision as it came"
    [ended] = [each for each in picked if each["type"] == "io.streamretrain.duel.ended.v1"]
    assert ended["data"]["result"] == "promoted"
    assert pick(json.dumps(ended | {"data": ended["data"] | {"result": "kept"}}).encode()) is None


@pytest.mark.parametrize("name", PICKERS)
@pytest.mark.parametrize(
    "value",
    [None, b"", b"{", b"[]", b"1", b"null", b'{"type": 1, "data": {}}', b'{"type": "io.streamretrain.duel.ended.v1", "data": []}', b"\xff"],
)
def test_what_is_no_decision_is_passed_over(name: str, value: bytes | None) -> None:
    assert picker(name)(value) is None


def test_the_three_tools_act_on_the_same_decisions() -> None:
    assert len(PICKERS) == 3
    texts = {name: ast.unparse(TREES[name]).partition("def wanted")[2].partition("return decision")[0] for name in PICKERS}
    bodies = {text.partition("try:")[2].replace("record.value()", "value") for text in texts.values()}
    assert len(bodies) == 1


def test_what_the_examples_read_of_the_environment_is_no_setting_that_the_command_would_refuse() -> None:
    known = set(re.findall(r"STREAM_RETRAIN_[A-Z_]+", settings_table_markdown()))
    for text in [PAGE, *(file.read_text() for file in FILES)]:
        named = set(re.findall(r"STREAM_RETRAIN_[A-Z_]*[A-Z]", text))
        assert {name for name in named if not name.startswith("STREAM_RETRAIN_KAFKA")} <= known


def test_every_tool_is_pinned_by_names_and_versions_alone() -> None:
    files = sorted((ROOT / "tests" / "integrations" / "constraints").glob("*.txt"))
    assert {file.stem for file in files} >= {"airflow", "dagster", "prefect"}
    for file in files:
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", line) for line in lines), file.name
        assert any(line.startswith(f"{'apache-airflow' if file.stem == 'airflow' else file.stem}==") for line in lines)
