"""The path of the README works when it is pasted: its blocks are run from top to bottom, in terminals and in an empty folder.

In the suite the installed program stands for what step 1 installs, and the session's Kafka and Valkey for those of step 2. With
STREAM_RETRAIN_README=fresh nothing stands for anything: a clone, a virtual environment, `local up`; that takes minutes.
"""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import Terminal, shop_of

ROOT = Path(__file__).parent.parent
HOUR = (ROOT / "README.md").read_text().partition("## Your own, in an hour\n")[2].partition("\n## ")[0]
STEPS = {int(number): block for number, block in re.findall(r"^\*\*(\d+)\. .*?^```sh\n(.*?)^```$", HOUR, re.MULTILINE | re.DOTALL)}
INSTALL, STACK, RUN = 1, 2, 7
FRESH = os.environ.get("STREAM_RETRAIN_README") == "fresh"


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder after the first two steps."""
    folder = tmp_path / "shop"
    if not FRESH:
        yield shop_of(request.getfixturevalue("services"), folder)
        return
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    first = Terminal(tmp_path / "clone")
    try:
        first.type(STEPS[INSTALL] + STEPS[STACK])
        first.until("export STREAM_RETRAIN_REDIS_URL", 1_200)
        yield folder
    finally:
        first.end()


def test_the_path_is_whole() -> None:
    assert list(STEPS) == list(range(1, 13))
    assert len(STEPS) == HOUR.count("```sh")
    assert not [line for block in STEPS.values() for line in block.splitlines() if "#" in line], "zsh takes a comment for an argument"
    assert "pip install '.[local]'" in STEPS[INSTALL]
    assert STEPS[STACK] == "stream-retrain local up | tee local.env\n"


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(1_800 if FRESH else 300)
def test_the_readme_works_when_it_is_pasted(shop: Path) -> None:
    name = f"orders_{uuid.uuid4().hex[:8]}"  # the session's Kafka is there for other tests too
    steps = {number: re.sub(r"\borders(?=\.py|\.events| import)", name, block) for number, block in STEPS.items()}
    second, third = Terminal(shop), Terminal(shop)
    try:
        for number in (3, 4):
            second.paste(steps[number])
        assert "2 features, source" in second.shows(steps[5], "all of it fits")
        second.shows(steps[6], "2,000 events published")
        third.type(steps[RUN])
        third.until("worker is running")
        assert second.shows(steps[8], '"id":"o1999"').count('"prediction":') == 3
        assert "price" in second.shows(steps[9], r'(?s)"id":"q1".*1 dead letters in')
        before = steps[10].splitlines()[0]
        second.shows(f"{before}\n", "1 waiting for labels")
        second.shows(steps[10].replace(f"{before}\n", "", 1), "0 waiting for labels")
        second.shows(steps[11], r"drift\.detected")
        ranked = second.shows(steps[12], "previous label")
        assert re.findall(r"^(pipeline|racing|still) ", ranked, re.MULTILINE)[-1] == "still", ranked
        assert (shop / "report.html").stat().st_size > 10_000
        levels = set(re.findall(r'"level": "(\w+)"', third.end()))
        assert levels <= {"info", "warning"}, third.said
        assert "worker is stopped" in third.said
    finally:
        for terminal in (second, third):
            terminal.end()
