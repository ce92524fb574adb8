"""The path of the README works when it is pasted: its blocks are run from top to bottom, in terminals and in an empty folder.

In the suite the installed program stands for what step 1 installs, and the session's Kafka and Valkey for those of step 2. With
STREAM_RETRAIN_README=fresh nothing stands for anything: a clone, a virtual environment, `local up`; that takes minutes.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Services

ROOT = Path(__file__).parent.parent
HOUR = (ROOT / "README.md").read_text().partition("## Your own, in an hour\n")[2].partition("\n## ")[0]
STEPS = {int(number): block for number, block in re.findall(r"^\*\*(\d+)\. .*?^```sh\n(.*?)^```$", HOUR, re.MULTILINE | re.DOTALL)}
INSTALL, STACK, RUN = 1, 2, 7
LOOKS = ("stream-retrain topics peek", "stream-retrain dead-letters", "stream-retrain status")
"""Commands that only look: a person would type them again where what they look for has not come yet."""
WITHIN_S = 240.0
FRESH = os.environ.get("STREAM_RETRAIN_README") == "fresh"


class Terminal:
    """A shell that is typed into, and ends at the first command that fails."""

    def __init__(self, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")}
        environment |= {"NO_COLOR": "1", "COLUMNS": "160", "STREAM_RETRAIN_HTTP_PORT": "0"}
        self.process = subprocess.Popen(
            ["bash", "-e"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.said = ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def type(self, block: str) -> None:
        """Type, and do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(block)
        self.process.stdin.flush()

    def until(self, wanted: str, within_s: float = WITHIN_S) -> str:
        """What is said until a line has it."""
        until_s, said = time.monotonic() + within_s, ""
        while wanted not in said:
            try:
                line = self._lines.get(timeout=max(0.0, until_s - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"no {wanted!r} within {within_s:g} s:\n{said}")
            if line is None:
                pytest.fail(f"the terminal ended before {wanted!r}:\n{said}")
            said += line
            self.said += line
        return said

    def paste(self, block: str) -> str:
        """Type a block, and wait until it is over; what it said."""
        mark = f"over-{uuid.uuid4().hex}"
        self.type(f"{block}\necho {mark}\n")
        return self.until(f"{mark}\n").replace(f"{mark}\n", "")

    def shows(self, block: str, wanted: str) -> str:
        """Paste a block; it shows this, or what looks in it does, when typed again."""
        said, until_s = self.paste(block), time.monotonic() + WITHIN_S
        looks = "".join(f"{line}\n" for line in block.splitlines() if line.startswith(LOOKS))
        while not re.search(wanted, said) and looks and time.monotonic() < until_s:
            said = self.paste(looks)
        assert re.search(wanted, said), f"no {wanted!r} in:\n{said}"
        return said

    def end(self) -> str:
        """Ctrl-C; all that was said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGINT)
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            try:
                self.process.wait(60)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            self._reader.join(10)
            self.process.stdout.close()
            while not self._lines.empty():
                self.said += self._lines.get() or ""
        return self.said


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder after the first two steps."""
    folder = tmp_path / "shop"
    if not FRESH:
        services: Services = request.getfixturevalue("services")
        activate = folder / "venv" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
        addresses = {"KAFKA_BOOTSTRAP_SERVERS": services.bootstrap_servers, "REDIS_URL": services.redis_url}
        (folder / "local.env").write_text("".join(f"export STREAM_RETRAIN_{name}={value}\n" for name, value in addresses.items()))
        yield folder
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
