"""The page on the life of models works when it is pasted, and each of its nine capabilities shows what it says."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import Services
from tests.terminal import WITHIN_S, Terminal, shop_of

PAGE = (Path(__file__).parent.parent / "docs" / "lifecycle.md").read_text()
SECTIONS = {head.partition("\n")[0]: head for head in PAGE.split("\n## ")[1:]}
PROOF = "The proof"
CAPABILITIES = (
    "Pipeline automation",
    "Scheduling",
    "Continuous monitoring",
    "Workflow orchestration",
    "Model registry",
    "Metadata tracking",
    "Artifact management",
    "Custom callbacks",
    "Integration with MLOps tools",
)
AUTOMATION, SCHEDULING = CAPABILITIES[:2]
AWAITED = {AUTOMATION: r"duel\.ended.*promoted", SCHEDULING: r"training\.failed"}
"""What a section's look at decisions is repeated for: it comes a moment after the records."""

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(420)]


class Night(NamedTuple):
    """What the terminals said, by section."""

    name: str
    said: dict[str, str]
    log: str


def blocks(text: str, kind: str = "sh") -> str:
    return "".join(re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def night(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The page, pasted from top to bottom."""
    folder, name = shop_of(services, tmp_path_factory.mktemp("night") / "shop"), f"night_{uuid.uuid4().hex[:8]}"

    def of_its_own(text: str) -> str:  # the session's Kafka is there for other tests too
        return re.sub(r"night(?=\.orders|\.archive)|(?<=name=\")night", name, text)

    typed, worker = Terminal(folder), Terminal(folder)
    said: dict[str, str] = {}
    try:
        typed.paste(". venv/bin/activate && . ./local.env\n" + key())
        typed.paste(of_its_own(blocks(PAGE.partition("\n## ")[0])))
        worker.type(blocks(PAGE, "run"))
        address = re.search(r"http://127.0.0.1:\d+", worker.until("serving http"))
        assert address is not None
        for head, text in SECTIONS.items():
            block = of_its_own(blocks(text)).replace("http://127.0.0.1:9464", address[0])
            said[head] = typed.shows(block, AWAITED[head]) if head in AWAITED else typed.paste(block)
            if head == CAPABILITIES[-2]:
                said[head] += told_of(folder / "told.log")
        yield Night(name, said, worker.end())
    finally:
        for terminal in (typed, worker):
            terminal.end()


def key() -> str:
    """What step 3 of the README makes."""
    return (
        "(umask 077; python3 -c 'import secrets; print(\"k1:\" + secrets.token_hex(32))' > signing.key)\n"
        "echo 'signing_key_file = \"signing.key\"' > stream_retrain.toml\n"
    )


def told_of(log: Path) -> str:
    """Callbacks come a moment after what they tell of."""
    until_s = time.monotonic() + WITHIN_S
    while "rollback" not in (told := log.read_text() if log.exists() else "") and time.monotonic() < until_s:
        time.sleep(0.2)
    return told


def test_the_page_has_the_nine_and_a_proof() -> None:
    assert tuple(SECTIONS) == (*CAPABILITIES, PROOF)
    assert all(blocks(text) for text in SECTIONS.values())


def test_pipeline_automation(night: Night) -> None:
    decided = night.said["Pipeline automation"]
    assert re.search(r"(?s)drift\.detected.*duel\.started.*duel\.lead_changed.*duel\.ended.*\"result\": \"promoted\"", decided)


def test_scheduling(night: Night) -> None:
    assert re.search(rf"training\.failed.*{night.name}\.archive", night.said["Scheduling"])
    assert re.search(r"cron:0 3 \* \* \* Europe/Berlin\) is due next at .*T0[12]:00:00", night.said["Scheduling"])


def test_continuous_monitoring(night: Night) -> None:
    measured: dict[str, list[float]] = {}
    for name, value in re.findall(r"^stream_retrain_(\w+)\{.*\} (\S+)$", night.said["Continuous monitoring"], re.MULTILINE):
        measured.setdefault(name, []).append(float(value))
    assert all(0.5 < value < 1 for value in measured["quality"])
    assert min(sum(measured[name]) for name in ("drift_detected_total", "duels_ended_total", "trainings_total")) >= 1


def test_workflow_orchestration(night: Night) -> None:
    assert len(re.findall(r"partition 0: (?:kept|undecided): ", night.said["Workflow orchestration"])) == 2


def test_model_registry(night: Night) -> None:
    said = night.said["Model registry"]
    assert re.search(r"0-g\d+ +champion +promoted by hand|0-g\d+ +previous +promoted by hand", said)
    assert re.search(r"0-g\d+ +champion +(brought|rolled) back", said)
    [serving] = re.findall(r"^ 0 +(0-g\d+) ", said.rpartition(" at ")[2], re.MULTILINE)
    assert re.search(rf"{serving} +champion", said)


def test_metadata_tracking(night: Night) -> None:
    for field in ("began.offset", "parent", "by ", "quality.before", "pipeline_digest", "model_digest", "software.river", "artifact.state"):
        assert f"\n {field}" in night.said["Metadata tracking"], field


def test_artifact_management(night: Night) -> None:
    assert re.search(r"(?s)\nFalse\n.*refused, exit code 1", night.said["Artifact management"])


def test_custom_callbacks(night: Night) -> None:
    told = night.said["Custom callbacks"]
    for what in ("ADWIN detected that error went up", "training 0 of challenger retrained failed", "promoted by log loss", "rollback"):
        assert what in told, what


def test_integration_with_mlops_tools(night: Night) -> None:
    said = night.said["Integration with MLOps tools"]
    assert f"# {night.name} 0-g" in said
    assert '"asyncapi": "3.0.0"' in said


def test_the_night_can_be_verified_and_had_no_error(night: Night) -> None:
    assert re.search(r"\n 0 +0 .* 0 +0 +0 *\n", night.said[PROOF]), "nothing lost, duplicated or different"
    assert "equal: the replay came to everything" in night.said[PROOF]
    wrong = [
        line for line in night.log.splitlines() if '"level": "error"' in line and "training 0 of challenger retrained failed" not in line
    ]
    assert not wrong
