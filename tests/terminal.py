"""A shell that is typed into, as a person does who follows a page; and the folder that the README's first steps make."""

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
from pathlib import Path

import pytest

from tests.conftest import Services

LOOKS = ("stream-retrain topics peek", "stream-retrain dead-letters", "stream-retrain status")
"""Commands that only look: a person would type them again where what they look for has not come yet."""
WITHIN_S = 240.0


def shop_of(services: Services, folder: Path) -> Path:
    """The folder `shop` of the README after its first two steps: the installed program, the session's Kafka and Valkey."""
    activate = folder / "venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'export PATH="{Path(sys.executable).parent}:$PATH"\n')
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": services.bootstrap_servers, "REDIS_URL": services.redis_url}
    (folder / "local.env").write_text("".join(f"export STREAM_RETRAIN_{name}={value}\n" for name, value in addresses.items()))
    return folder


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
