"""docs/backtesting.md: its commands run in order, its Python runs, and what it names is there."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import stream_retrain
from stream_retrain.backtesting.result import BacktestSummary, Comparison, VariantSummary
from stream_retrain.backtesting.variants import BUILT_IN
from tests.backtesting.support import typed
from tests.conftest import Services

ROOT = Path(stream_retrain.__file__).parent.parent
PAGE = (ROOT / "docs" / "backtesting.md").read_text()
COMMANDS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
[PYTHON] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
pytestmark = pytest.mark.timeout(900)  # a block is several programs, each of which starts processes of its own
SCHEDULER = "dask://127.0.0.1:8786"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `python` and `stream-retrain` as the page calls them."""
    made = tmp_path_factory.mktemp("page")
    (made / "bin").mkdir()
    for name, what in {"python": "", "stream-retrain": " -m stream_retrain"}.items():
        program = made / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{what} "$@"\n')
        program.chmod(0o755)
    return made


def run(folder: Path, text: str) -> str:
    """A block in a shell, as a person has it."""
    given = {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(["bash", "-e", "-c", text], cwd=folder, env=given, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="module")
def first(folder: Path) -> str:
    """What the first block printed, in a shell; the files it made are in the folder."""
    return run(folder, COMMANDS[0])


class Typing:
    """A block of commands of this program alone, in this process, which is quicker; what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._capsys, self._monkeypatch = folder, capsys, monkeypatch

    def __call__(self, block: str, services: Services | None = None) -> str:
        self._monkeypatch.chdir(self._folder)
        for name, value in (services.environment if services is not None else {}).items():
            self._monkeypatch.setenv(name, value)
        shown = ""
        for line in block.splitlines():
            program, *arguments = shlex.split(line)
            assert program == "stream-retrain"
            code, out, err = typed(self._capsys, *arguments)
            assert code == 0, f"{line}\n{out}{err}"
            shown += out
        return shown


@pytest.fixture
def type_(folder: Path, first: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typing:
    return Typing(folder, capsys, monkeypatch)


def commands(word: str) -> list[str]:
    return [block for block in COMMANDS[1:] if word in block]


@pytest.mark.slow
def test_the_first_backtest_says_what_the_page_promises(folder: Path, first: str) -> None:
    assert "4,000 events, from orders.jsonl" in first
    assert all(name in first for name in ("orders", "none", "adaptive", "previous label", "blind reset"))
    assert (folder / "report.html").read_text().startswith("<!")


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in COMMANDS[1:] if "kafka://" not in block and SCHEDULER not in block])
def test_the_commands_over_a_file_run(here: None, folder: Path, type_: Typing, block: str) -> None:
    out = type_(block)
    if "--json" in block:
        found = json.loads(out)
        assert (found["events"], found["rejected"]) == (4_000, 0)
        assert found["partitions"] == ([0, 1, 2] if "--partitions 3" in block else [0])
    if "--intervals" in block:
        assert (folder / "quality.parquet").stat().st_size > 0
        assert (folder / "decisions" / "orders.0.jsonl").stat().st_size > 0
    if "--variant" in block:
        assert all(name in out for name in ("racing", "none", "reset", "adaptive"))


@pytest.mark.services
@pytest.mark.slow
def test_the_commands_over_a_topic_run(here: None, type_: Typing, services: Services) -> None:
    topic = services.name("orders")
    [block] = commands("kafka://")
    out = type_(block.replace("shop.orders", topic), services)
    assert f"4,000 events in 3 partitions, from kafka://{topic}" in out


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_command_on_a_cluster_runs(type_: Typing, scheduler: Any) -> None:
    [block] = commands(SCHEDULER)
    assert "4,000 events" in type_(block.replace(SCHEDULER, scheduler.scheduler_address.replace("tcp://", "dask://")))


@pytest.mark.slow
def test_the_python_of_the_page_runs(
    here: None, folder: Path, first: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("polars")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    names: dict[str, Any] = {}
    exec(PYTHON, names)
    del sys.modules["shop"]  # it is this folder's
    assert "kappa-t" in capsys.readouterr().out
    assert [each.name for each in names["both"].summary.variants] == ["resets", "races"]
    assert "campaign" in (folder / "notebook.html").read_text()


def test_no_command_of_the_page_is_left_out() -> None:
    """Every block is one of those that are run above."""
    assert len(COMMANDS) == 7
    assert len(commands("kafka://")) == len(commands(SCHEDULER)) == 1
    assert all("stream-retrain backtest" in block for block in COMMANDS)


def _fields_of_table(number: int) -> set[str]:
    tables = re.findall(r"^\| field \|.*\n\|---\|---\|\n((?:\| .*\n)+)", PAGE, re.MULTILINE)
    return {name for row in tables[number].splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize(("number", "of"), [(0, BacktestSummary), (1, VariantSummary)])
def test_the_fields_of_the_tables_are_those_of_the_json(number: int, of: Any) -> None:
    assert _fields_of_table(number) == {field.name for field in dataclasses.fields(of)}


def test_the_fields_of_a_comparison_are_named() -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith("| `ranking`")]
    assert set(re.findall(r"`(\w+)`", row)) == {"ranking", *(field.name for field in dataclasses.fields(Comparison))}


def test_every_built_in_variant_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Labels that come late")[0], re.MULTILINE)
    assert tuple(rows) == BUILT_IN


def test_what_is_said_of_faults_is_in_the_code() -> None:
    code = " ".join(file.read_text() for file in (ROOT / "stream_retrain").rglob("*.py"))
    rows = PAGE.partition("## What can be wrong")[2].splitlines()
    said = [text for row in rows if row.count("|") == 3 for text in re.findall(r"`([^`]+)`", row.split("|")[2])]
    assert len(said) >= 6
    for text in said:
        assert text in code, text
