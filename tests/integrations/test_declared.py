"""An integration as it is declared, checked, tried and called; `MlflowTracking` without MLflow, and one of the test's own."""

from __future__ import annotations

import contextlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from river import linear_model
from typer.testing import CliRunner

from stream_retrain import Pipeline, PipelineError, Schema, load_model
from stream_retrain.cli import app
from stream_retrain.codec.exported import opened
from stream_retrain.core.callbacks import Integration, handlers_of
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.callbacks.runner import Runner
from stream_retrain.engines.callbacks.trial import try_handlers
from stream_retrain.errors import SettingsError, StateError
from stream_retrain.integrations.mlflow import MlflowTracking
from stream_retrain.loading import load_pipeline
from stream_retrain.stores.versions_told import PipelineVersions, RegistryAccess
from tests.engines.callbacks.support import place_of, until, value_of
from tests.engines.past_support import COUNT, KEYRING, LiveRun
from tests.engines.test_keeper import ALL, RACING, shard_of
from tests.integrations.tools import ROOT

FILE = """
import dataclasses
from pathlib import Path
from river import linear_model
from stream_retrain import Pipeline, Schema
{imports}

@dataclasses.dataclass(frozen=True, kw_only=True)
class Noting:
    called: str = "noting"
    on: tuple[str, ...] = ("training.failed", "model.promoted")
    timeout_s: float = 30.0
    attempts_max: int = 1
    pause_s: float = 0.05

    def faults(self):
        return iter(())

    def missing(self):
        return ""

    def build(self, versions):
        return lambda decision: note(f"{{versions.pipeline}} {{versions.source}} {{decision.kind}} {{versions.of(decision.partition)}}")

    def trial(self):
        return lambda decision: note("tried")

def note(text):
    with Path({took!r}).open("a") as out:
        out.write(text + chr(10))

shop = Pipeline(name="shop", task="binary", source="shop.orders", schema=Schema(id="id", label="y", features={{"a": float}}),
                model=linear_model.LogisticRegression(), integrations=[{declared}])
"""


@pytest.fixture
def took(tmp_path: Path) -> Path:
    found = tmp_path / "took"
    found.touch()
    return found


@pytest.fixture(scope="module")
def past() -> LiveRun:
    found = LiveRun()
    found.work(COUNT, RACING, keeps=ALL, stop=True)
    return found


def written(folder: Path, declared: str, imports: str = "") -> Path:
    file = folder / "told_shop.py"
    file.write_text(FILE.format(took=str(folder / "took"), declared=declared, imports=imports))
    return file


def test_an_integration_is_built_with_the_registry_in_a_process_of_its_own(tmp_path: Path, took: Path) -> None:
    file = written(tmp_path, "Noting()")
    [handler] = handlers_of(load_pipeline(str(file)))
    assert isinstance(handler.declared, Integration)
    with contextlib.closing(Forker()) as forker:
        with contextlib.closing(Runner(handler, str(file), forker, RegistryAccess(redis_url="memory://"))) as runner:
            runner.add(place_of(value_of("training.failed")))
            until(lambda: not runner.waiting, runner.turn)
            assert runner.told().error == ""
    assert took.read_text().splitlines() == ["shop shop.orders training.failed []"]


def test_it_is_tried_once_by_what_changes_nothing(tmp_path: Path, took: Path) -> None:
    file = written(tmp_path, "Noting()")
    tried = list(try_handlers(handlers_of(load_pipeline(str(file))), str(file), [value_of("training.failed"), value_of("model.promoted")]))
    assert [(each.handler, each.error) for each in tried] == [("noting", None)]
    assert took.read_text().splitlines() == ["tried"]


class TestMlflow:
    def test_it_is_one_line_of_a_pipeline_and_no_part_of_it(self) -> None:
        plain, tracked = declared(), declared(MlflowTracking(tracking_uri="https://mlflow.example.org"))
        assert tracked.digest() == plain.digest()
        assert [each.name for each in handlers_of(tracked)] == ["mlflow"]

    @pytest.mark.parametrize(
        ("wrong", "fault"),
        [
            ({"tracking_uri": "file:///srv/mlruns"}, "tracking_uri is no http:// or https:// address"),
            ({"tracking_uri": "https://ann:secret@mlflow.example.org"}, "tracking_uri has a user or a password in it; set MLFLOW_TRACK"),
            ({"experiment": "a/b"}, "experiment is 'a/b'; use at most 200 characters"),
            ({"model_name": "it's"}, 'model_name is "it\'s"; use at most 200 characters'),
            ({"timeout_s": 0}, "timeout_s is 0; use seconds above 0"),
        ],
    )
    def test_what_is_wrong_with_it_is_said_at_load(self, wrong: dict[str, Any], fault: str) -> None:
        with pytest.raises(PipelineError) as raised:
            declared(MlflowTracking(**wrong))
        [told] = raised.value.faults
        assert told.startswith(f"integrations 0: {fault}")
        assert "secret" not in told

    def test_without_its_client_check_and_the_process_of_callbacks_name_the_extra_and_the_worker_loads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "mlflow", None)  # as where it is not installed
        file = written(tmp_path, "MlflowTracking()", "from stream_retrain.integrations.mlflow import MlflowTracking")
        load_pipeline(str(file))
        for command in (["check", str(file)], ["callbacks", str(file)], ["callbacks", str(file), "--test"]):
            raised = CliRunner().invoke(app(command[:1]), command, env={"STREAM_RETRAIN_ALLOW_UNSIGNED": "true"}).exception
            assert isinstance(raised, SettingsError), command
            assert str(raised) == "mlflow needs pip install 'stream_retrain[mlflow]'"
        elsewhere = CliRunner().invoke(app(["check"]), ["check", str(file), "--json"], env={"STREAM_RETRAIN_CALLBACKS": "off"})
        assert elsewhere.exit_code == 0
        assert "stream_retrain[mlflow]" in elsewhere.stdout

    def test_models_are_verified_so_without_a_key_nothing_begins(self, tmp_path: Path) -> None:
        raised = CliRunner().invoke(app(["callbacks"]), ["callbacks", str(written(tmp_path, "Noting()"))]).exception
        assert isinstance(raised, SettingsError)
        assert "signing_key_file" in str(raised)

    def test_the_pipeline_of_the_page_is_one(self, tmp_path: Path) -> None:
        found = re.search(r"cat > tracked.py <<'END'\n(.*?)END\n", (ROOT / "docs" / "mlflow.md").read_text(), re.DOTALL)
        assert found is not None
        (tmp_path / "tracked.py").write_text(found[1])
        assert [each.name for each in handlers_of(load_pipeline(str(tmp_path / "tracked.py")))] == ["mlflow"]

    def test_where_it_is_has_to_be_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI"):
            MlflowTracking().trial()


class TestVersions:
    def test_the_file_of_a_version_is_what_an_export_is_with_its_card(self, past: LiveRun, tmp_path: Path) -> None:
        told = PipelineVersions(past.stores, RACING, KEYRING)
        for version in told.of(0)[1:]:
            file = told.file(0, version.id)
            (tmp_path / "a.model").write_bytes(file.sealed)
            model = load_model(tmp_path / "a.model", key=KEYRING)
            assert opened(file.sealed, KEYRING, "it", RACING)[0].extra["version"] == version.id
            assert type(model) is type(RACING.model)
            assert f"# {RACING.name} {version.id}" in file.card

    def test_one_of_which_a_bit_was_changed_is_refused(self, past: LiveRun) -> None:
        told, shard = PipelineVersions(past.stores, RACING, KEYRING), shard_of(RACING)
        version = next(each for each in told.of(0) if each.artifact.name and not each.serves)
        sealed = past.stores.models.load(shard, version.artifact.name)
        assert sealed is not None
        epoch = past.stores.checkpoints.claim(shard)
        past.stores.models.drop(shard, epoch, [version.artifact.name])
        past.stores.models.keep(shard, epoch, version.artifact.name, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        with pytest.raises(StateError, match="changed or damaged after it was sealed"):
            told.file(0, version.id)


def declared(*integrations: Any) -> Pipeline:
    schema = Schema(id="id", label="y", features={"a": float})
    model = linear_model.LogisticRegression()
    return Pipeline(name="p", task="binary", source="s", model=model, schema=schema, integrations=integrations)
