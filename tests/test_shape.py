"""The shape of the project, guarded: what is public, what is documented, what is shown."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stream_retrain
from docs import architecture

ROOT = Path(stream_retrain.__file__).parent
MODULES = sorted(module.name for module in pkgutil.walk_packages([str(ROOT)], "stream_retrain.") if not module.name.endswith("__main__"))
PYPROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
README = (ROOT.parent / "README.md").read_text()


def test_public_names_exist_and_are_few() -> None:
    assert len(set(stream_retrain.__all__) - {"__version__"}) <= 39
    assert all(hasattr(stream_retrain, name) for name in stream_retrain.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_every_name_a_module_exports_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, exported) for exported in getattr(module, "__all__", []))
    assert module.__doc__, "a file opens with what it is for"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_core_tests_have_no_mock_sleep_thread_or_network() -> None:
    forbidden = {"unittest", "mock", "time", "threading", "socket", "asyncio", "requests", "urllib"}
    for file in (Path(__file__).parent / "core").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & forbidden, file.name


def test_no_file_and_no_function_is_too_long() -> None:
    for file in ROOT.rglob("*.py"):
        tree = ast.parse(file.read_text())
        assert len(file.read_text().splitlines()) <= 350, file.name
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{file.name}: {node.name}"


def test_every_module_of_the_core_stands_in_its_contract() -> None:
    """The contract of the core crosses its folders, so import-linter cannot see what it leaves out."""
    [contract] = [each for each in PYPROJECT["tool"]["importlinter"]["contracts"] if each.get("id") == "core"]
    listed = {name for layer in contract["layers"] for name in re.split(r"[|:]", layer.replace(" ", ""))}
    files = [file for file in (ROOT / "core").rglob("*.py") if file.name != "__init__.py"]
    assert listed == {".".join(("stream_retrain", *file.relative_to(ROOT).with_suffix("").parts)) for file in files}


def test_there_are_at_least_four_lines_of_tests_to_five_of_code() -> None:
    code, tests = (sum(len(file.read_text().splitlines()) for file in folder.rglob("*.py")) for folder in (ROOT, Path(__file__).parent))
    assert tests >= 0.8 * code


def test_the_picture_of_the_house_is_drawn_from_the_contracts() -> None:
    assert architecture.picture(PYPROJECT) in (ROOT.parent / "docs" / "architecture.md").read_text(), "run `make docs`"


def test_the_pipeline_of_the_page_on_rules_loads(tmp_path: Path) -> None:
    from stream_retrain.loading import load_pipeline

    page = (ROOT.parent / "docs" / "rules.md").read_text()
    [code] = re.findall(r"```python\n(# shop\.py\n.*?)```", page, re.DOTALL)
    (tmp_path / "rules_shop.py").write_text(code)
    pipeline = load_pipeline(str(tmp_path / "rules_shop.py"))
    assert (pipeline.name, len(pipeline.react), len(pipeline.digest())) == ("orders", 3, 64)


def test_the_readme_s_targets_exist() -> None:
    makefile = (ROOT.parent / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z-]+)", README)):
        assert f"\n{target}:" in makefile, target


@pytest.mark.slow
def test_the_package_is_imported_without_river_and_gives_every_name_it_promises() -> None:
    code = (
        "import sys, stream_retrain; assert 'river' not in sys.modules and 'confluent_kafka' not in sys.modules;"
        "[getattr(stream_retrain, name) for name in stream_retrain.__all__]; assert 'river' in sys.modules;"
        "assert set(stream_retrain.__all__) <= set(dir(stream_retrain))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
    with pytest.raises(AttributeError, match="has no attribute 'Pipelines'"):
        _ = stream_retrain.Pipelines
