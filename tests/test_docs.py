"""The pages say what is there: links lead somewhere, files, metrics, options and settings that are named exist."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import typer

import stream_retrain
from docs import architecture
from docs import settings as settings_page
from stream_retrain.cli import app
from stream_retrain.codec.private_file import private_text, read_token
from stream_retrain.settings import load_settings, settings_table_markdown
from stream_retrain.views.catalogue import CATALOGUE, PREFIX, STATES
from stream_retrain.views.tls import server_context

ROOT = Path(stream_retrain.__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BY_NAME = {page.name: page.read_text() for page in PAGES}


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(found.read_text()), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_file_of_the_project_that_is_named_is_there(page: Path) -> None:
    """Paths such as `engines/kafka/worker.py` are below the package, others below the repository."""
    ours = {each.name for folder in (ROOT, ROOT / "stream_retrain") for each in folder.iterdir() if each.is_dir()}
    for name in re.findall(r"`([\w/.-]+\.(?:py|toml|md))`", page.read_text()):
        if name.partition("/")[0] in ours:
            assert any((folder / name).exists() for folder in (ROOT, ROOT / "stream_retrain", page.parent)), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_every_module_of_the_project_that_is_named_can_be_imported(page: Path) -> None:
    for name in set(re.findall(r"`(stream_retrain(?:\.\w+)+)`", page.read_text())):
        module, _, attribute = name.rpartition(".")
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), f"{page.name}: {name}"


def test_the_metrics_that_failures_are_told_by_exist() -> None:
    known = {family.exposed.removeprefix(PREFIX) for family in CATALOGUE}
    cells = [row.split("|")[3] for row in BY_NAME["failures.md"].splitlines() if row.startswith("| ") and row.count("|") == 5]
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)(?:\{[^}]*\})?`", cell)}
    assert {"rebalances_total", "store_up", "restores_total"} <= named
    assert named <= known | {"up"}, "up is Prometheus's own"


def test_the_log_lines_that_failures_are_told_by_are_in_the_code() -> None:
    code = " ".join(file.read_text() for file in (ROOT / "stream_retrain").rglob("*.py"))
    cells = [row.split("|")[4] for row in BY_NAME["failures.md"].splitlines() if row.startswith("| ") and row.count("|") == 5]
    quoted = [part.strip(" .;:") for cell in cells for line in re.findall(r"`([^`]+)`", cell) for part in re.split(r"\.\.\.", line)]
    for part in filter(None, quoted):
        words = " ".join(part.split()[:3])
        state = re.fullmatch(r"worker is (\w+)", words)
        assert words in code or words.partition(":")[0] in code or (state and state[1] in STATES), part


def test_the_page_of_settings_has_them_as_they_are() -> None:
    assert settings_page.PAGE.read_text() == settings_page.page(), "run `make docs`"


def test_the_settings_that_are_shown_are_read(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", BY_NAME["settings.md"], re.DOTALL)
    (tmp_path / "stream_retrain.toml").write_text(shown)
    found = load_settings(tmp_path / "stream_retrain.toml", {})
    assert (found.signing_key_file, found.kafka) == (tmp_path / "signing.key", {"security.protocol": "SASL_SSL"})


def test_every_setting_of_the_table_is_a_variable_that_is_read() -> None:
    rows = [row for row in settings_table_markdown().splitlines() if row.startswith("| `")]
    for row in rows:
        name, variable = (cell.strip(" `") for cell in row.split("|")[1:3])
        assert variable.startswith("STREAM_RETRAIN_")
        assert variable.removeprefix("STREAM_RETRAIN_").lower().startswith(name.split("_")[0])


def test_the_commands_of_the_readme_are_known() -> None:
    done = subprocess.run([sys.executable, "-m", "stream_retrain", "--help"], capture_output=True, text=True, env={"COLUMNS": "120"})
    named = set(re.findall(r"stream-retrain ([a-z][a-z-]+)", BY_NAME["README.md"]))
    assert {"demo", "check", "run", "publish", "status"} <= named
    for command in named:
        assert command in done.stdout, command


def test_the_commands_of_the_page_on_requests_are_understood() -> None:
    commands = re.findall(r"^    stream-retrain (.*)$", BY_NAME["requests.md"], re.MULTILINE)
    assert len(commands) >= 6
    program = typer.main.get_command(app())
    for command in commands:
        found: Any = program
        words = shlex.split(command, comments=True)
        while hasattr(found, "commands"):
            found = found.commands[words.pop(0)]
        context = found.make_context(found.name, words)  # raises where an argument is missing or an option is unknown
        assert context.params["pipeline"] == "PIPELINE"


def test_the_commands_of_the_page_on_status_are_understood() -> None:
    commands = re.findall(r"^    stream-retrain status (.*?)(?:  .*)?$", BY_NAME["status.md"], re.MULTILINE)
    assert len(commands) == 4
    named = {option for command in commands for option in re.findall(r"--[a-z-]+", command)}
    assert named == {"--json", "--url", "--token-file", "--ca-file"}
    done = subprocess.run(
        [sys.executable, "-m", "stream_retrain", "status", "--help"], capture_output=True, text=True, env={"COLUMNS": "160"}
    )
    assert all(option in done.stdout for option in named)


def test_the_settings_of_the_page_on_status_are_those_that_are_read(tmp_path: Path) -> None:
    [block] = re.findall(r"((?:    http_\w+ = .*\n)+)", BY_NAME["status.md"])
    (tmp_path / "stream_retrain.toml").write_text(textwrap.dedent(block))
    found = load_settings(tmp_path / "stream_retrain.toml", {})
    assert (found.http_host, found.http_hosts) == ("0.0.0.0", {"0.0.0.0", "localhost", "worker.example"})
    assert found.http_token_file == tmp_path / "http.token"


def test_the_recipe_for_a_certificate_and_a_token_makes_files_that_are_taken(tmp_path: Path) -> None:
    [recipe] = re.findall(r"^(    openssl rand.*?)\n\n", BY_NAME["status.md"], re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-ec", textwrap.dedent(recipe)], cwd=tmp_path, check=True, capture_output=True)
    assert len(read_token(tmp_path / "http.token")) == 64
    assert private_text(tmp_path / "http.key", "TLS key")
    server_context(tmp_path / "http.crt", tmp_path / "http.key")


def test_a_floor_that_is_too_wide_is_drawn_in_two_rows() -> None:
    drawn = architecture._floor([f"a_rather_long_name_{number}" for number in range(5)])
    assert len(drawn) == 3
    assert {len(row) for row in drawn} == {architecture.WIDTH + 4}


def test_every_page_is_linked_from_the_readme_or_from_a_page_that_is() -> None:
    reached, left = {"README.md"}, ["README.md"]
    while left:
        for target in re.findall(r"\]\(([^)#\s]+\.md)", BY_NAME[left.pop()]):
            name = Path(target).name
            if name in BY_NAME and name not in reached:
                reached.add(name)
                left.append(name)
    assert reached == set(BY_NAME)


def test_no_page_names_a_path_of_somebody_s_machine() -> None:
    for name, text in BY_NAME.items():
        assert not re.search(r"(?:/home/|/root/|/Users/|C:\\\\)", text), name


def test_every_contract_of_the_house_is_explained() -> None:
    """A floor that is new belongs on the page, too."""
    page = BY_NAME["architecture.md"]
    for floor in ("facts", "core", "models", "lane", "engines", "views", "compose"):
        assert f"`{floor}`" in page or f"`{floor}/" in page, floor


def test_the_example_of_the_page_on_versions_opens_a_model(tmp_path: Path) -> None:
    from river import linear_model

    from stream_retrain import Pipeline, Schema
    from stream_retrain.codec.exported import exported
    from stream_retrain.codec.keyring import Keyring
    from stream_retrain.codec.state import dump_state
    from stream_retrain.codec.versions import seal_version
    from stream_retrain.facts.values import ShardId

    (tmp_path / "signing.key").write_text(f"k1:{'ab' * 32}")
    (tmp_path / "signing.key").chmod(0o600)
    keys = Keyring.from_file(tmp_path / "signing.key")
    schema = Schema(id="id", label="late", features={"amount": float, "hour": int})
    pipeline = Pipeline(name="orders", task="binary", source="orders", schema=schema, model=linear_model.LogisticRegression())
    model = pipeline.model.clone()
    model.learn_one({"amount": 12.5, "hour": 9}, True)
    sealed = seal_version(dump_state(model), "0-g0", pipeline, ShardId("orders", "orders", 0), keys, learned_through=0)
    (tmp_path / "orders.model").write_bytes(exported(sealed, pipeline, keys))
    [example] = re.findall(r"```python\n(.*?)```", BY_NAME["models-registry.md"], re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", example.replace("model.predict_one", "print('it says', model.predict_one") + ")"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "it says True"), ran.stderr
