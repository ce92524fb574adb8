"""A model from history: what it has learned, its file, and what a worker, a verifier and a backtest make of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from river import linear_model
from typer.testing import CliRunner

from stream_retrain import Pipeline, Schema, backtest, load_model
from stream_retrain.backtesting.open_source import open_source
from stream_retrain.backtesting.training import Taught, train
from stream_retrain.cli import app
from stream_retrain.codec.exported import trained
from stream_retrain.core.digest import digest
from stream_retrain.errors import PipelineError, SettingsError
from stream_retrain.facts.version import imports_of
from stream_retrain.settings import load_settings
from stream_retrain.stores.bringing_in import bring_in, checked
from tests.core import streams
from tests.engines.past_support import COUNT, KEYRING, PLAIN, LiveRun, declared, log_of, verified
from tests.engines.test_keeper import ALL, shard_of

HISTORY = [{"id": f"h{number}", **x, "y": y} for number, (x, y) in enumerate(streams.rows(1_500))]


@pytest.fixture(scope="module")
def taught() -> Taught:
    told: list[int] = []
    found = train(PLAIN, open_source(HISTORY, PLAIN, settings=load_settings(None, {})), lambda records, _: told.append(records))
    assert told == [0, 1_500]
    return found


@pytest.fixture(scope="module")
def file(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("trained") / "plain.model"
    path.write_bytes(trained(taught.model, taught.family, taught.history, PLAIN, KEYRING))
    return path


def beginning(start: Any, **changes: Any) -> Pipeline:
    return declared(react=PLAIN.react, start=str(start), **changes)


@pytest.fixture(scope="module")
def run(file: Path) -> LiveRun:
    """Killed before a checkpoint of its own, and after one; then its store loses the checkpoints."""
    run, pipeline = LiveRun(log_of(seed=5)), beginning(file)
    run.work(300, pipeline, checkpoint_events=10_000, keeps=ALL)
    run.work(COUNT, pipeline, keeps=ALL, stop=True)
    return run


def faults_of(pipeline: Pipeline, run: LiveRun | None = None) -> str:
    with pytest.raises(PipelineError) as raised:
        (run or LiveRun()).work(90, pipeline)
    return str(raised.value)


class TestTraining:
    def test_it_has_learned_all_of_it_with_the_rules_of_the_pipeline_at_work(self, taught: Taught, file: Path) -> None:
        history = taught.history
        assert (history.source, history.records, history.events) == ("rows of the program", 1_500, 1_500)
        assert list(history.score) == ["Accuracy"]
        assert digest(load_model(file, key=KEYRING)) == digest(taught.model)

    def test_its_score_is_that_of_a_live_run_over_the_same(self, taught: Taught) -> None:
        result = backtest(PLAIN, HISTORY, variants=[], processes=1, progress=False)
        assert taught.history.score["Accuracy"] == pytest.approx(result.summary.variants[0].metrics["Accuracy"])

    def test_what_has_no_event_of_the_schema_makes_no_model(self) -> None:
        unlabelled = [{name: value for name, value in row.items() if name != "y"} | {"y": None} for row in HISTORY[:3]]
        source = open_source(unlabelled, PLAIN, settings=load_settings(None, {}))
        with pytest.raises(SettingsError, match="none of its 3 records has a label"):
            train(PLAIN, source)


class TestBeginning:
    def test_the_first_predictions_are_those_of_the_trained_model(self, run: LiveRun, file: Path) -> None:
        fresh = LiveRun(log_of(seed=5))
        fresh.work(300, PLAIN)
        ours = [each.put.value for each in run.topics["predictions"]][:200]
        theirs = [each.put.value for each in fresh.topics["predictions"]][:200]
        assert sum(one != other for one, other in zip(ours, theirs, strict=True)) > 50
        told = [each["data"] for each in run.of("shard.restored")]
        assert [each["how"] for each in told] == ["warm"]
        assert {each["origin"].partition(" ")[0] for each in told} == {file.name}
        assert len({each["model"] for each in told}) == 1

    def test_a_replay_comes_to_every_byte_of_it_without_the_file(self, run: LiveRun, file: Path) -> None:
        away = file.rename(file.with_suffix(".away"))
        report = verified(run, pipeline=beginning(file))
        away.rename(file)
        assert (report.tally.wrong, report.impossible) == (0, ())
        assert report.tally.compared == {kind: len(run.topics[kind]) for kind in report.tally.compared}
        assert report.began[0] == "with the model of a warm start at offset 0"

    def test_the_version_says_from_where_it_is(self, run: LiveRun, file: Path) -> None:
        first = run.stores.versions.all(shard_of(PLAIN))[0]
        assert (first.id, first.came, first.artifact.state) == ("0-g0", "warm", "kept")
        assert first.reason.startswith(f"from {file.name} (")

    def test_a_store_that_lost_all_begins_with_it_again_and_never_untrained(self, file: Path) -> None:
        lost, pipeline = LiveRun(log_of(seed=5)), beginning(file)
        lost.committed = 500
        lost.work(1_000, pipeline, checkpoint_missing="latest")
        [told] = [each["data"] for each in lost.of("shard.restored")]
        assert (told["how"], told["from_offset"], bool(told["model"])) == ("latest", 500, True)
        report = verified(lost, pipeline=pipeline, from_offset=500)
        assert (report.tally.wrong, report.impossible) == (0, ())

    def test_an_import_is_a_start_too_and_the_parent_of_what_serves(self, taught: Taught, file: Path) -> None:
        run = LiveRun(log_of(seed=5))
        brought = checked(file.read_bytes(), str(file), PLAIN, KEYRING)
        version = bring_in(brought, PLAIN, run.stores, KEYRING, by="cli:ann", source=taught.history.source)
        assert (version.trained_on and version.trained_on.source, version.quality.since) == ("rows of the program", taught.history.rolling)
        pipeline = beginning(version.id)
        run.work(700, pipeline, keeps=ALL, stop=True)
        report = verified(run, pipeline=pipeline)
        assert (report.tally.wrong, report.impossible) == (0, ())
        assert run.stores.versions.all(shard_of(PLAIN))[0].parent == version.id
        [name] = run.stores.models.names(imports_of(PLAIN.name))
        sealed = bytearray(run.stores.models.load(imports_of(PLAIN.name), name) or b"")
        sealed[-9] ^= 1
        other = LiveRun()
        other.stores.versions.put(imports_of(PLAIN.name), 0, [version])
        other.stores.models.keep(imports_of(PLAIN.name), 0, name, bytes(sealed))
        assert "was changed or damaged after it was sealed" in faults_of(pipeline, other)

    def test_what_cannot_be_had_or_does_not_fit_is_never_begun_without(self, file: Path, taught: Taught, tmp_path: Path) -> None:
        damaged, foreign, other = (tmp_path / name for name in ("damaged.model", "foreign.pickle", "other.model"))
        data = bytearray(file.read_bytes())
        data[-9] ^= 1
        damaged.write_bytes(data)
        foreign.write_bytes(b"not one of ours")
        elsewhere = declared(schema=Schema(id="id", label="y", features={"another": float}))
        other.write_bytes(trained(taught.model, "", taught.history, elsewhere, KEYRING))
        regression = streams.pipeline(task="regression", model=linear_model.LinearRegression(), watch=[], react=[], start=str(file))
        for pipeline, said in (
            (beginning(tmp_path / "nothing"), "the file cannot be read: No such file"),
            (beginning(damaged), "was changed or damaged after it was sealed"),
            (beginning(foreign), "it is no file of stream-retrain train or models export"),
            (beginning(other), "it is of a pipeline with another schema"),
            (regression, "a regression task needs a River regressor, not HoeffdingTreeClassifier"),
            (beginning("import-0123456789ab"), "no such model was brought into pipeline 'test'"),
            (beginning("0-g3"), "is of one shard: export it to a file"),
        ):
            assert f"start={pipeline.start!r}: " in faults_of(pipeline)
            assert said in faults_of(pipeline)
        with pytest.raises(PipelineError, match="start is 7; use the path of a file"):
            declared(start=7)


def test_a_pipeline_without_a_start_keeps_its_digest(file: Path) -> None:
    assert dataclasses.replace(PLAIN, start=None).digest() == PLAIN.digest() != beginning(file).digest()
    assert beginning(file).parts() == PLAIN.parts(), "a running shard goes on when a start is added"


PIPELINE_FILE = """
from river import linear_model
from stream_retrain import Pipeline, Schema
parts = dict(name="cliff", task="binary", source="cliff.events", model=linear_model.LogisticRegression(),
             schema=Schema(id="id", label="y", features={"a": float}))
first = Pipeline(**parts)
trained = Pipeline(**parts, start="START")
"""


class TestCommands:
    """`train`, then `check` and `backtest` with what it wrote."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "cliff.py").write_text(PIPELINE_FILE.replace("START", str(tmp_path / "cliff.model")))
        rows = [json.dumps({"id": f"r{number}", "a": float(number % 7), "y": number % 7 > 3}) for number in range(600)]
        (tmp_path / "history.jsonl").write_text("\n".join(rows))
        (tmp_path / "signing.key").write_text(f"k:{KEYRING.keys[0].secret.hex()}")
        (tmp_path / "signing.key").chmod(0o600)
        return tmp_path

    def run(self, place: Path, command: str, *arguments: str) -> Any:
        environ = {"STREAM_RETRAIN_SIGNING_KEY_FILE": str(place / "signing.key"), "COLUMNS": "200"}
        result = CliRunner().invoke(app([command]), [command, *arguments], env=environ)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    def test_from_history_to_a_start(self, place: Path) -> None:
        of, out, rows = str(place / "cliff.py"), str(place / "cliff.model"), str(place / "history.jsonl")
        with pytest.raises(PipelineError, match=r"start='.*cliff.model': the file cannot be read"):
            self.run(place, "check", f"{of}:trained")
        with pytest.raises(SettingsError, match="there is no such folder"):
            self.run(place, "train", f"{of}:first", "--source", rows, "--out", str(place / "no" / "x"))
        told = self.run(place, "train", f"{of}:trained", "--source", rows, "--out", out, "--json")
        assert (told["file"], told["records"], told["events"], told["version"], told["source"]) == (out, 600, 600, None, "history.jsonl")
        assert told["score"]["Accuracy"] > 0.65
        assert load_model(out, key=place / "signing.key").predict_one({"a": 6.0}) is True
        assert f'Pipeline(..., start="{out}")' in self.run(place, "train", f"{of}:first", "--source", rows, "--out", out)
        shown = self.run(place, "check", f"{of}:trained", "--json")
        assert shown["pipeline"]["start"].startswith("cliff.model (")
        result = self.run(place, "backtest", f"{of}:trained", "--source", rows, "--variant", "first", "--processes", "1", "--json")
        better = {each["name"]: each["metrics"]["Accuracy"] for each in result["variants"]}
        assert better["trained"] > better["first"]
        assert any("'trained', 'blind reset' begin with the model of cliff.model" in note for note in result["notes"])
