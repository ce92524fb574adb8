"""The runbooks say what is there: links lead somewhere, metrics, settings and commands exist."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import typing
from pathlib import Path

import pytest

import stream_retrain
from stream_retrain import Pipeline
from stream_retrain.cli import COMMANDS
from stream_retrain.facts.records import UnmatchedReason
from stream_retrain.settings import describe
from stream_retrain.views.catalogue import CATALOGUE, PREFIX
from tests.ops.support import debian

FOLDER = Path(stream_retrain.__file__).parent.parent / "docs" / "runbooks"
PAGES = sorted(FOLDER.glob("*.md"))
EXPOSED = {family.exposed for family in CATALOGUE} | {
    family.exposed + ending for family in CATALOGUE if family.kind == "histogram" for ending in ("_bucket", "_sum", "_count")
}
pages = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pages
def test_every_metric_is_in_the_catalogue(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"stream_retrain_[a-z_]+", text):
        assert name in EXPOSED, name
    short = {exposed.removeprefix(PREFIX) for exposed in EXPOSED}
    for name in re.findall(r"`([a-z_]+_(?:total|up))[`{]", text):
        assert name.removeprefix(PREFIX) in short, name


@pages
def test_every_setting_is_there(page: Path) -> None:
    """A name with a unit in it is a setting of a worker, of a pipeline, or a metric."""
    known = {row.name for row in describe()} | {field.name for field in dataclasses.fields(Pipeline)} | {"checkpoint_size_bytes"}
    known |= {*typing.get_args(UnmatchedReason)}
    for name in re.findall(r"`([a-z]+(?:_[a-z]+)*_(?:s|ms|max|bytes|rows|url|id))`", page.read_text()):
        assert name in known, name


@pages
def test_every_query_is_promql(page: Path, tmp_path: Path) -> None:
    """As the expressions of recording rules, which promtool parses."""
    queries = [line for block in blocks(page, "promql") for line in block.splitlines() if line]
    if not queries:
        return
    rules = "".join(f"\n      - record: q:{number}\n        expr: {query!r}" for number, query in enumerate(queries))
    (tmp_path / "rules.yml").write_text(f"groups:\n  - name: q\n    rules:{rules}\n".replace("q:", "query"))
    done = subprocess.run([debian("promtool"), "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pages
def test_every_command_of_ours_is_there(page: Path) -> None:
    known = set(COMMANDS)
    named = set(re.findall(r"stream-retrain (?!-)([a-z-]+)", page.read_text()))
    assert named <= known, named - known


def test_the_index_has_every_page() -> None:
    listed = re.findall(r"\]\((\w+)\.md\)", (FOLDER / "README.md").read_text())
    assert listed == sorted(page.stem for page in PAGES if page.stem != "README")
