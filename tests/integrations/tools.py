"""Each tool in a virtual environment of its own, made from PyPI with the versions of `constraints/` and kept in `build/integrations`.

What a tool needs and what this project needs need not fit together, as at a user's. So tests run a tool's own programs, and talk to them
through files, standard output and HTTP.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLES = ROOT / "examples" / "orchestration"
INSTALL_S, RUN_S = 1_800, 300
"""Limits, far beyond what it takes."""
INSTALLED = {
    "airflow": ["apache-airflow", "apache-airflow-providers-apache-kafka[common-messaging]"],
    "prefect": ["prefect", "confluent-kafka"],
    "dagster": ["dagster", "dagster-webserver", "confluent-kafka"],
    "mlflow": ["mlflow"],
    "mlflow-client": ["--editable", f"{ROOT}[mlflow]"],
}
"""What the docs tell to install. The last is this project with its extra, as the process of callbacks has it beside MLflow's server."""
OURS = ("mlflow-client",)
"""Those that are this project itself, in the versions of its own constraints."""


class Tool:
    """The virtual environment of a tool, and a home of its own for what the tool keeps."""

    def __init__(self, name: str, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.bin = _installed(name) / "bin"
        ours = {name: value for name, value in environment.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV"))}
        self.environment = {
            **ours,
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": tempfile.gettempdir(),
        }

    def run(self, *command: str, ends_with: int | None = 0) -> str:
        """Run one of its programs; what it printed, both streams. `ends_with=None`: any exit code will do."""
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=RUN_S,
        )
        assert ends_with in (None, done.returncode), f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def python(self, code: str) -> Any:
        """What a piece of code prints in its last line, as JSON."""
        return json.loads(self.run("python", "-W", "ignore", "-c", code).splitlines()[-1])

    @contextlib.contextmanager
    def started(self, *command: str, ends_by: signal.Signals = signal.SIGINT) -> Iterator[Path]:
        """One of its programs in the background; its log. It is gone afterwards, with all that it started."""
        log = self.home / f"{len(list(self.home.glob('*.log')))}-{Path(command[0]).name}.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [self.bin / command[0], *command[1:]],
                cwd=self.home,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield log
                assert process.poll() is None, f"it ended with {process.returncode}:\n{log.read_text()[-5_000:]}"
            except AssertionError as error:
                raise AssertionError(f"{error}\n{log.read_text()[-10_000:]}") from error
            finally:
                _end(process, ends_by)


def _end(process: subprocess.Popen[bytes], ends_by: signal.Signals) -> None:
    """Ask the whole group to end, and then make it."""
    for number, seconds in ((ends_by, 15), (signal.SIGKILL, 15)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _installed(name: str) -> Path:
    """The virtual environment of a tool, which is made where it is not there in these versions."""
    constraints = ROOT / "constraints.txt" if name in OURS else HERE / "constraints" / f"{name}.txt"
    needs = (ROOT / "pyproject.toml").read_text() if name in OURS else ""
    made_of = f"{sys.version_info[:2]} {INSTALLED[name]} {constraints.read_text()}{needs}"
    folder = ROOT / "build" / "integrations" / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    ready = folder / ".ready"
    if not ready.exists():
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, env=environment)
        pip: Sequence[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--constraint", constraints, *INSTALLED[name]], check=True, env=environment, timeout=INSTALL_S)
        ready.touch()
    return folder


def answer(url: str, method: str = "GET", body: Any = None, token: str | None = None) -> Any:
    """What a tool's HTTP interface answers, as JSON. Raises `OSError` while nobody is there, and for a status that is none of success."""
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or b"null")


def answers(url: str) -> bool:
    """Whether somebody is there."""
    try:
        answer(url)
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
