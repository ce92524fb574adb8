"""Which models serve is told, and wheels with and without the compiled ones work."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from river import tree

import hatch_build
from stream_retrain import Pipeline, Schema, native
from stream_retrain.compose import _models_of
from stream_retrain.core.inside import computing_in
from stream_retrain.models import FastHDDMA, FixedShareClassifier, QuickTree, Restarting, adaptive_classifier, adaptive_regressor
from tests.models.twins import computing, needs_extension

ROOT = Path(__file__).parent.parent
PROGRAM = """
from stream_retrain import native
from stream_retrain.models import QuickTree
model = QuickTree()
for number in range(300):
    model.learn_one({"a": float(number % 7), "s": "ab"[number % 2]}, number % 7 > 3)
print(native.in_use(), round(model.predict_proba_one({"a": 6.0})[True], 3), native.__file__)
"""


def pipeline(model: object) -> Pipeline:
    return Pipeline(name="p", task="binary", source="t", schema=Schema(id="id", label="y", features={"a": float}), model=model)


def test_a_worker_whose_models_compute_in_python_warns_with_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with computing("Python"), caplog.at_level(logging.WARNING):
        assert _models_of(pipeline(adaptive_classifier())) == "Python"
    assert native.REMEDY in caplog.text


@needs_extension
def test_compiled_models_need_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    with computing("compiled"), caplog.at_level(logging.WARNING):
        assert _models_of(pipeline(adaptive_classifier())) == "compiled"
        assert native.in_use() == "compiled"
    assert caplog.text == ""


def test_where_rivers_models_compute_is_not_told() -> None:
    assert computing_in(tree.HoeffdingTreeClassifier()) == ""


@needs_extension
def test_one_model_in_python_makes_the_whole_slow() -> None:
    with computing("compiled"):
        fast = QuickTree()
    with computing("Python"):
        slow = QuickTree()
    assert (computing_in([fast]), computing_in([slow]), computing_in([fast, slow])) == ("compiled", "Python", "Python")


@needs_extension
def test_what_is_made_of_others_computes_where_they_do() -> None:
    with computing("compiled"):
        mixture = FixedShareClassifier([QuickTree(), tree.HoeffdingTreeClassifier()])
        watched = [adaptive_classifier(), adaptive_regressor(), Restarting(QuickTree()), mixture]
    with computing("Python"):
        slow, detector = adaptive_classifier(), FastHDDMA()
    assert [computing_in(each) for each in watched] == ["compiled"] * 4
    assert (computing_in(slow), computing_in(detector)) == ("Python", "")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a person gets who clones the repository."""
    folder = tmp_path_factory.mktemp("sources")
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        if name.startswith(("stream_retrain/", "native/")) or "/" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def wheel(sources: Path, to: Path, **environment: str) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(to), str(sources)]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    (made,) = to.glob("*.whl")
    return made


def tried(made: Path, folder: Path) -> list[str]:
    """What the program prints where nothing is installed but this wheel; what it needs is lent."""
    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(made) as archive:
        archive.extractall(site)
    command = [str(folder / "bin" / "python"), "-c", PROGRAM]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(site), sysconfig.get_path("purelib")])}
    said, chance, where = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, cwd=folder).stdout.split()
    assert Path(where).is_relative_to(folder)
    return [said, chance]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_without_the_compiled_models_serves_those_in_python(sources: Path, tmp_path: Path) -> None:
    without_cargo = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if not (Path(part) / "cargo").exists())
    made = wheel(sources, tmp_path / "wheels", PATH=without_cargo)
    assert made.name.endswith("-py3-none-any.whl")
    assert tried(made, tmp_path / "empty")[0] == "Python"


@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_where_the_crates_cannot_be_had_nothing_is_built_and_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("CARGO_HOME", tmp_path / "home"), ("CARGO_TARGET_DIR", tmp_path / "target"), ("CARGO_NET_OFFLINE", "true")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv(native.NATIVE_SETTING, raising=False)
    built, why = hatch_build.build()
    assert built is None
    assert why.startswith("cargo failed: ")
    monkeypatch.setenv(native.NATIVE_SETTING, "on")
    with pytest.raises(SystemExit, match="cargo failed"):
        hatch_build.build()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
def test_a_wheel_with_the_compiled_models_serves_them_on_every_python_from_3_11(sources: Path, tmp_path: Path) -> None:
    shared = {"CARGO_TARGET_DIR": str(ROOT / "native" / "target")}  # what is compiled already need not be compiled again
    made = wheel(sources, tmp_path / "wheels", STREAM_RETRAIN_NATIVE="on", **shared)
    assert "-cp311-abi3-" in made.name
    with zipfile.ZipFile(made) as archive:
        assert [name for name in archive.namelist() if name.endswith(".so")] == ["stream_retrain/_native.abi3.so"]
    assert tried(made, tmp_path / "empty")[0] == "compiled"
