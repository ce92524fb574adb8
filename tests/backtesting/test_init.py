"""A pipeline file to begin with: it passes `check` as it stands, takes the records it was made from, and replaces nothing."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stream_retrain.backtesting.starter import name_of
from stream_retrain.cli import app
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.schema import TASKS
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.errors import PipelineError, SettingsError
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services

ROWS: list[dict[str, Any]] = [
    {"order_id": f"o{number}", "placed_at": "2026-01-05T10:00:00Z", "price": number / 2, "note": None, "returned": number % 3 == 0}
    for number in range(30)
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("STREAM_RETRAIN_SIGNING_KEY_FILE", "STREAM_RETRAIN_ALLOW_UNSIGNED"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def init(*arguments: str) -> str:
    done = CliRunner().invoke(app(["init"]), ["init", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def written(*rows: Any, name: str = "orders.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def rows(label: str, values: list[Any]) -> list[dict[str, Any]]:
    return [{"id": number, "amount": 1.5 * number, label: value} for number, value in enumerate(values)]


@pytest.mark.parametrize("task", TASKS)
def test_without_a_sample_it_is_an_example_of_its_task(task: str) -> None:
    out = init("shop.py", "--task", task)
    pipeline = load_pipeline("shop.py")
    assert (pipeline.name, pipeline.task, pipeline.source) == ("shop", task, "shop.events")
    assert (len(pipeline.watch), len(pipeline.react)) == (1, 1)
    assert f"shop.py: pipeline shop, task {task}, 3 features, source shop.events" in out
    assert "stream-retrain publish" not in out


def test_from_a_sample_it_takes_all_of_its_records() -> None:
    found = json.loads(init("orders.py", "--sample", written(*ROWS), "--json"))
    assert found == {
        "file": "orders.py",
        "pipeline": "orders",
        "task": "binary",
        "source": "orders.events",
        "features": ["price"],
        "notes": [],
    }
    schema = load_pipeline("orders.py").schema
    assert (schema.id, schema.time, schema.label_name) == ("order_id", "placed_at", "returned")


@pytest.mark.parametrize(
    ("label", "values", "task", "declared"),
    [
        ("target", [1, 2] * 5, "binary", "label='target', positive=2,"),
        ("target", [0, 1] * 5, "binary", "label='target',  # "),
        ("target", ["no", "yes"] * 5, "binary", "label='target', positive='yes',"),
        ("target", ["a", "b", "c"] * 5, "multiclass", "label='target',  # task='multiclass': it is a, b, c"),
        ("target", [0.5 * number for number in range(30)], "regression", "label='target',  # task='regression': it is 0 to 14.5"),
    ],
)
def test_the_task_and_the_label_s_words_are_guessed(label: str, values: list[Any], task: str, declared: str) -> None:
    found = json.loads(init("p.py", "--sample", written(*rows(label, values)), "--json"))
    assert (found["task"], found["notes"]) == (task, [])
    assert declared in Path("p.py").read_text()


def test_a_task_that_is_given_is_not_guessed() -> None:
    found = json.loads(init("p.py", "--sample", written(*rows("target", [1, 2] * 5)), "--task", "regression", "--json"))
    assert (found["task"], found["notes"]) == ("regression", [])
    with pytest.raises(SettingsError, match="none of binary, multiclass, regression"):
        init("q.py", "--task", "clustering")


def test_what_does_not_fit_and_what_was_not_found_are_told() -> None:
    odd = [*rows("target", [True, False] * 5), {"id": "late", "amount": 2.0, "target": [1]}]
    assert "note: 1 x schema, field 'target'" in init("p.py", "--sample", written(*odd))
    out = init("q.py", "--sample", written(*rows("kind", [1, 2] * 5)))
    assert "note: no field looks like a label: name it in the file" in out
    assert out.count("note:") == 1


def test_what_is_a_value_here_and_an_object_there_is_one_feature_at_most() -> None:
    mixed = [*rows("target", [True, False] * 5), {"id": 11, "amount": {"net": 1.0, "tax": 0.5}, "target": False}]
    assert json.loads(init("p.py", "--sample", written(*mixed), "--json"))["features"] in (["amount"], ["amount.net", "amount.tax"])


def test_a_label_s_text_cannot_become_code() -> None:
    init("p.py", "--sample", written(*rows("target", ["a", "b\nraise SystemExit(7)\n", "c"] * 3)))
    assert load_pipeline("p.py").task == "multiclass"


def test_no_file_is_replaced() -> None:
    Path("mine.py").write_text("# mine")
    with pytest.raises(SettingsError, match=r"mine\.py is there already, and is left as it is"):
        init("mine.py")
    assert Path("mine.py").read_text() == "# mine"


def test_what_no_pipeline_can_be_made_of_writes_nothing(here: Path) -> None:
    with pytest.raises(SettingsError, match=r"no field of bare\.jsonl can be a feature"):
        init("p.py", "--sample", written({"id": 1, "target": True}, name="bare.jsonl"))
    with pytest.raises(PipelineError, match=r"^p\.py has 1 fault"):
        init("p.py", "--sample", written({"id": 1, "a" * 2_000: 1.0, "target": True}))
    assert not (here / "p.py").exists()


@pytest.mark.parametrize(("file", "name"), [("shop.py", "shop"), ("a/my shop.py", "my-shop"), ("2.py", "2"), ("x.y.py", "x-y")])
def test_the_pipeline_has_the_name_of_its_file(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


@pytest.mark.parametrize("file", ["orders", "orders.txt", ".py", "--.py", "a" * 101 + ".py"])
def test_a_file_that_cannot_be_one_is_refused(file: str) -> None:
    with pytest.raises(SettingsError, match=r"name it like orders\.py"):
        name_of(Path(file))


def test_the_next_steps_make_a_key_that_is_taken_before_anything_runs(here: Path) -> None:
    steps = [line.strip() for line in init("orders.py", "--sample", written(*ROWS)).partition("next:\n")[2].splitlines()]
    assert [step.split()[1] for step in steps[2:]] == ["check", "publish", "run", "topics"]
    subprocess.run(["bash", "-ec", "\n".join(steps[:2])], check=True)
    found = load_settings(None, {})
    assert found.signing_key_file == Path("signing.key") or found.signing_key_file == here / "signing.key"
    assert stat.S_IMODE((here / "signing.key").stat().st_mode) == 0o600
    assert Keyring.from_file(here / "signing.key")
    assert "signing.key" not in init("again.py"), "it is in the settings"


def test_a_key_and_settings_that_are_there_are_not_written_over(here: Path) -> None:
    (here / "signing.key").write_text("k1:" + "a" * 64)
    assert "name the file of your signing key in the settings" in init("orders.py")


@pytest.mark.services
@pytest.mark.slow
def test_from_a_topic_its_name_is_the_source(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = services.name("shop.orders")
    monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", services.bootstrap_servers)
    publish_rows(iter(ROWS), Settings(kafka_bootstrap_servers=services.bootstrap_servers), topic=topic)
    for number, sample in enumerate((topic, f"kafka://{topic}?from=offset:3")):
        found = json.loads(init(f"p{number}.py", "--sample", sample, "--json"))
        assert (found["source"], found["features"]) == (topic, ["price"])
        assert [note.partition(":")[2].strip()[:11] for note in found["notes"]] == ["event times"]
