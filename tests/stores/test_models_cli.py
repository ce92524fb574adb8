"""`stream-retrain models` as a person or a script uses it, on a Valkey in which workers have kept versions."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from river import compose, linear_model, preprocessing, tree
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import BernoulliNB
from typer.testing import CliRunner

from stream_retrain import load_model
from stream_retrain.cli import app
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver.promotions import OfRegistry
from stream_retrain.errors import PipelineError, SettingsError, StateError, StreamRetrainError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.version import Version, imports_of
from stream_retrain.stores import connect
from tests.core import streams
from tests.engines.past_support import COUNT, KEYRING, LiveRun
from tests.engines.test_keeper import ALL, RACING, shard_of

pytestmark = pytest.mark.services
NAME = "tests.engines.test_keeper:RACING"
SHARD = shard_of(RACING)


class Cli:
    """The command line with a store and a key of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder, self.url = folder, url
        self.key = folder / "signing.key"
        self.key.write_text(f"k:{KEYRING.keys[0].secret.hex()}")
        self.key.chmod(0o600)
        self.runner = CliRunner()

    def run(self, *arguments: str) -> str:
        """Standard output. Raises what the command raised."""
        environ = {"STREAM_RETRAIN_REDIS_URL": self.url, "STREAM_RETRAIN_SIGNING_KEY_FILE": str(self.key), "COLUMNS": "300"}
        result = self.runner.invoke(app(["models"]), ["models", *arguments], env=environ)
        if isinstance(result.exception, StreamRetrainError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def file(self, name: str, model: Any) -> str:
        path = self.folder / name
        path.write_bytes(pickle.dumps(model))
        return str(path)


@pytest.fixture(scope="module")
def kept(shared_server: Any) -> LiveRun:
    run = LiveRun()
    run.stores = connect(shared_server("valkey"), keyring=KEYRING)
    run.work(COUNT, RACING, keeps=ALL, stop=True)
    return run


@pytest.fixture
def cli(kept: LiveRun, shared_server: Any, tmp_path: Path) -> Cli:
    pool = kept.stores.versions._server.client.connection_pool  # type: ignore[attr-defined]
    made = pool.connection_kwargs
    return Cli(f"redis://{made['host']}:{made['port']}/0", tmp_path)


def known(run: LiveRun) -> list[Version]:
    return run.stores.versions.all(SHARD)


def copy_of_import(run: LiveRun, id_: str) -> tuple[str, bytes]:
    [name] = [each for each in run.stores.models.names(imports_of("test")) if each.startswith(id_)]
    sealed = run.stores.models.load(imports_of("test"), name)
    assert sealed is not None
    return name, sealed


class TestLook:
    def test_the_list_as_a_table_and_as_json(self, cli: Cli, kept: LiveRun) -> None:
        table = cli.run("list", NAME)
        lines = [line.split() for line in table.splitlines()]
        assert [line[0] for line in lines if line and line[0].startswith("0-")] == [version.id for version in known(kept)]
        assert "took the lead in a duel" in table
        assert "(another took the lead)" in table
        shown = cli.json("list", NAME, "--partition", "0")
        assert [each["id"] for each in shown["shards"]["0"]] == [version.id for version in known(kept)]
        assert [each["aliases"] for each in shown["shards"]["0"]] == [[], [], ["previous"], ["champion"]]
        assert shown["shards"]["0"][-1]["began"]["wall"].endswith("UTC")

    def test_one_by_id_and_by_alias(self, cli: Cli) -> None:
        shown = cli.json("show", NAME, "0-g2")
        assert (shown["id"], shown["came"], shown["duel"], shown["aliases"]) == ("0-g2", "lead", 0, ["previous"])
        assert shown["software"]["river"].startswith("0.26")
        assert cli.json("show", NAME, "previous")["id"] == "0-g2"
        text = cli.run("show", NAME, "0-g2")
        assert "standing of since_change" in text
        assert "pipeline_digest" in text

    def test_what_differs_between_two(self, cli: Cli) -> None:
        shown = cli.json("diff", NAME, "0-g1", "0-g2")
        assert shown["known"]["came"] == ["reset", "lead"]
        assert (shown["parameters"], shown["notes"]) == ({}, []), "the same kind of model, made alike"
        assert "parameters of the models differ" in cli.run("diff", NAME, "0-g1", "0-g2")

    def test_what_was_in_production_at_a_time(self, cli: Cli, kept: LiveRun) -> None:
        first, second, *_ = known(kept)
        assert first.began is not None
        assert second.began is not None
        between = dt.datetime.fromtimestamp(((first.began.wall_s or 0) + (second.began.wall_s or 0)) / 2, dt.UTC)
        assert cli.json("serving-at", NAME, between.isoformat())["shards"]["0"]["id"] == "0-g0"
        later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        assert cli.json("serving-at", NAME, later.isoformat())["shards"]["0"]["id"] == known(kept)[-1].id
        at_berlin = later.astimezone(dt.timezone(dt.timedelta(hours=14))).replace(tzinfo=None).isoformat()
        assert known(kept)[-1].id in cli.run("serving-at", NAME, at_berlin, "--zone", "Pacific/Kiritimati")

    def test_a_time_of_which_nothing_is_known_exits_with_1(self, cli: Cli) -> None:
        with pytest.raises(AssertionError, match="nothing is known of that time"):
            cli.run("serving-at", NAME, "2001-01-01T00:00Z")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("show", NAME, "0-g99"), r"has no version 0-g99; there are 0-g0, 0-g1"),
            (("show", NAME, "7-g1"), r"has no version 7-g1; there are no versions yet"),
            (("show", NAME, "challenger"), r"has no challenger now"),
            (("show", NAME, "the best"), r"'the best' is no version"),
            (("list", NAME, "--partition", "4"), r"no version of partition 4 is known; there are those of 0"),
            (("serving-at", NAME, "last Tuesday"), r"'last Tuesday' is no time"),
            (("serving-at", NAME, "2026-11-24T14:05"), r"has no time zone: write 2026-11-24T14:05\+01:00 or ...Z"),
            (("serving-at", NAME, "2026-11-24T14:05", "--zone", "Atlantis"), r"'Atlantis' is no time zone"),
            (("export", NAME, "0-g0", "x", "--format", "onnx"), r"'onnx' is none of pickle, model-card"),
        ],
    )
    def test_what_cannot_be_said_is_said(self, cli: Cli, arguments: tuple[str, ...], said: str) -> None:
        with pytest.raises((StateError, SettingsError), match=said):
            cli.run(*arguments)


class TestFiles:
    def test_an_exported_model_is_opened_only_with_its_key(self, cli: Cli) -> None:
        out = cli.folder / "champion.model"
        told = cli.json("export", NAME, "champion", str(out))
        assert told["learned_through"] == COUNT - 1
        model = load_model(out, key=cli.key)
        x, _ = streams.rows(1)[0]
        assert model.predict_one(x) in (True, False)
        assert digest(load_model(out, key=KEYRING)) == digest(model)
        with pytest.raises(SettingsError, match="give the signing keys"):
            load_model(out)
        with pytest.raises(StateError, match="signed with the key 'k'"):
            load_model(out, key=Keyring.unsigned())
        data = bytearray(out.read_bytes())
        data[-9] ^= 1
        out.write_bytes(data)
        with pytest.raises(StateError, match="was changed or damaged after it was sealed"):
            load_model(out, key=cli.key)
        with pytest.raises(StateError, match="cannot be read: No such file"):
            load_model(cli.folder / "nothing", key=cli.key)

    def test_a_card_says_what_is_known(self, cli: Cli) -> None:
        out = cli.folder / "card.md"
        cli.run("export", NAME, "0-g2", str(out), "--format", "model-card")
        card = out.read_text()
        assert card.startswith("# test 0-g2\n")
        assert "HoeffdingTreeClassifier" in card
        assert "| since_change |" in card
        assert "- it took the lead in a duel" in card

    def test_what_was_exported_can_be_brought_in_again(self, cli: Cli) -> None:
        out = cli.folder / "old.model"
        cli.run("export", NAME, "0-g0", str(out))
        brought = cli.json("import", NAME, str(out), "--reason", "it was good")
        assert (brought["parent"], brought["family"]) == ("0-g0", "")
        assert cli.json("import", NAME, str(out))["version"] == brought["version"], "again changes nothing"
        [shown] = [each for each in cli.json("list", NAME)["imports"] if each["id"] == brought["version"]]
        assert (shown["reason"], shown["came"], shown["by"].startswith("cli:")) == ("it was good", "imported", True)
        again = cli.folder / "again.model"
        cli.run("export", NAME, brought["version"], str(again))
        assert digest(load_model(again, key=cli.key)) == digest(load_model(out, key=cli.key))

    def test_a_model_of_river_comes_in_only_where_somebody_trusts_it_and_then_serves(self, cli: Cli, kept: LiveRun) -> None:
        model = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)
        for x, y in streams.rows(200):
            model.learn_one(x, y)
        file = cli.file("mine.pickle", model)
        with pytest.raises(SettingsError, match=r"none of this project's files.*give --trust-pickle"):
            cli.run("import", NAME, file)
        brought = cli.json("import", NAME, file, "--trust-pickle")
        assert brought["family"] == ""
        run = LiveRun()
        run.stores.models.keep(imports_of("test"), 0, *copy_of_import(kept, brought["version"]))
        run.stores.versions.put(imports_of("test"), 0, kept.stores.versions.all(imports_of("test")))
        asks = [(900, Asked(token="t", do="promote", version=brought["version"], by="cli:ann"))]
        run.work(1_000, RACING, keeps=ALL, asks=asks, versions=OfRegistry(run.stores, RACING, KEYRING))
        [promoted] = run.of("model.promoted")
        assert (promoted["data"]["version"], promoted["data"]["digest"]) == (brought["version"], digest(model))

    @pytest.mark.parametrize("how", ["pickle", "joblib"])
    def test_one_of_scikit_learn_is_wrapped_where_the_pipeline_has_such(self, cli: Cli, how: str) -> None:
        model = BernoulliNB()
        rows = streams.rows(100)
        model.partial_fit(np.array([list(x.values()) for x, _ in rows]), [y for _, y in rows], classes=[False, True])
        path = cli.folder / "sk"
        (joblib.dump(model, path) if how == "joblib" else path.write_bytes(pickle.dumps(model)))
        with pytest.raises(PipelineError, match=r"a checkpoint with it could not be opened: .*sklearn"):
            cli.run("import", NAME, str(path), "--trust-pickle")
        brought = cli.json("import", "tests.stores.test_models_cli:WRAPPING", str(path), "--trust-pickle")
        assert brought["version"].startswith("import-")

    @pytest.mark.parametrize(
        ("model", "said"),
        [
            (linear_model.LinearRegression(), "a binary task needs a River classifier, not LinearRegression"),
            (LinearRegression(), "which cannot learn one event after the other"),
            ({"a": 1}, "holds a dict, and no model"),
            (tree.HoeffdingTreeClassifier, "needs a River classifier, not EstimatorMeta"),
            (compose.Select("nobody") | preprocessing.StandardScaler(), "needs a River classifier, not Pipeline"),
        ],
    )
    def test_one_that_cannot_serve_here_is_refused(self, cli: Cli, model: Any, said: str) -> None:
        with pytest.raises((PipelineError, StateError), match=said):
            cli.run("import", NAME, cli.file("bad.pickle", model), "--trust-pickle")

    @pytest.mark.parametrize("data", [b"", b"not a pickle", b"SRS", b"SRS1" + bytes(60), pickle.dumps([1])[:-1]])
    def test_rubbish_is_refused(self, cli: Cli, data: bytes) -> None:
        path = cli.folder / "rubbish"
        path.write_bytes(data)
        with pytest.raises(StateError):
            cli.run("import", NAME, str(path), "--trust-pickle")
        with pytest.raises(SettingsError, match="cannot be read"):
            cli.run("import", NAME, str(cli.folder / "nothing"))


def _wrapping() -> Any:
    from river import compat

    model = compat.convert_sklearn_to_river(BernoulliNB(), classes=[False, True])
    return streams.pipeline(model=model, name="wrapping", watch=[], react=[])


WRAPPING = _wrapping()
