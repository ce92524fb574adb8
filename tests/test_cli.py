"""The command line as a person or a script uses it: output, exit codes, and errors without a traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import types
import urllib.request
from pathlib import Path
from typing import cast

import pytest

from stream_retrain.cli import COMMANDS, main
from stream_retrain.cli.local import hold
from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.settings import load_settings
from tests import warm
from tests.conftest import Services

pytestmark = pytest.mark.slow

GOOD = """
from river import drift, linear_model, preprocessing
from stream_retrain import On, Pipeline, Reset, Schema, Watch
orders = Pipeline(
    name="orders", task="binary", source="orders",
    schema=Schema(id="id", label="y", features={"a": float}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", Reset())],
)
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")}
    return warm.run(arguments, {**clean, **environment, "COLUMNS": "160"})


def run_anew(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In an interpreter that is started for it: where this is what a test looks at."""
    command = [sys.executable, "-m", "stream_retrain", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120)


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    file = tmp_path / "shop.py"
    file.write_text(GOOD)
    return file


def test_version() -> None:
    ran = run_anew("--version")
    assert (ran.returncode, ran.stdout.split()[0]) == (0, "stream_retrain")


def test_help_names_every_command() -> None:
    shown = run_anew("--help", COLUMNS="160").stdout
    assert [name for name in COMMANDS if f" {name} " not in shown] == []


def test_check_says_where_the_models_compute_and_warns_where_that_is_slow(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    file.write_text(GOOD.replace("linear_model.LogisticRegression()", "adaptive_classifier()"))
    file.write_text("from stream_retrain.models import adaptive_classifier\n" + file.read_text())
    slow = run("check", str(file), STREAM_RETRAIN_NATIVE="off")
    assert slow.returncode == 0, slow.stderr
    assert "warning: the models compute in Python" in slow.stdout
    described = json.loads(run("check", str(file), "--json", STREAM_RETRAIN_NATIVE="off").stdout)
    assert described["pipeline"]["models_compute"] == "Python"


def test_check_prints_one_json_object_with_the_resolved_settings_and_no_secret(pipeline: Path) -> None:
    ran = run(
        "check", str(pipeline), "--json", STREAM_RETRAIN_KAFKA_SASL_PASSWORD="hunter2", STREAM_RETRAIN_REDIS_URL="redis://:hunter3@h:1/0"
    )
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["pipeline"]["name"] == "orders"
    assert shown["settings"]["poll_records_max"] == 500
    assert "hunter" not in ran.stdout + ran.stderr


def test_check_for_a_person_ends_with_ok(pipeline: Path) -> None:
    ran = run("check", f"{pipeline}:orders")
    assert ran.returncode == 0
    assert ran.stdout.rstrip().endswith("ok")


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_faulty_pipeline_is_refused_with_every_fault(tmp_path: Path, command: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(GOOD.replace('name="orders"', 'name="or ders"').replace('"error", drift', '"eror", drift'))
    ran = run(command, str(file))
    assert ran.returncode == 2
    assert "3 faults" in ran.stderr
    assert all(words in ran.stderr for words in ("name 'or ders'", "watch 'eror'", "nothing watches 'error'", str(file)))
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_a_wrong_setting_is_refused_with_its_name(pipeline: Path) -> None:
    ran = run("run", str(pipeline), STREAM_RETRAIN_HTTP_PORT="many", STREAM_RETRAIN_POLL_RECORD_MAX="3")
    assert ran.returncode == 2
    assert "STREAM_RETRAIN_HTTP_PORT" in ran.stderr
    assert "did you mean STREAM_RETRAIN_POLL_RECORDS_MAX" in ran.stderr


def test_run_without_a_signing_key_says_how_to_make_one(pipeline: Path) -> None:
    ran = run("run", str(pipeline))
    assert ran.returncode == 2
    assert "signing_key_file" in ran.stderr
    assert "--allow-unsigned" in ran.stderr


def test_status_of_nobody_is_unhealthy() -> None:
    ran = run("status", "--url", "http://127.0.0.1:1")
    assert ran.returncode == 3
    assert ran.stderr.startswith("no worker answers at http://127.0.0.1:1: ")
    assert "urlopen" not in ran.stderr, "what is said is why, and not the name of a function"


def test_status_asks_only_what_can_be_a_worker() -> None:
    ran = run("status", "--url", "file:///etc")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--url is the address of a worker" in ran.stderr


def test_status_of_a_store_that_does_not_answer_is_a_failure_and_says_so(pipeline: Path) -> None:
    ran = run("status", str(pipeline), STREAM_RETRAIN_REDIS_URL="redis://127.0.0.1:1/0")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "127.0.0.1:1" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_status_asks_one_worker_or_a_group_and_not_both(pipeline: Path) -> None:
    ran = run("status", str(pipeline), "--url", "http://127.0.0.1:1")
    assert ran.returncode == 2
    assert "--url asks one worker" in ran.stderr


def test_a_missing_option_is_usage(tmp_path: Path) -> None:
    assert run("publish", str(tmp_path / "x.csv")).returncode == 2


def test_a_file_that_is_no_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.txt").touch()
    ran = run("publish", str(tmp_path / "x.txt"), "--topic", "t")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "x.txt: cannot tell its format" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.services
def test_a_line_that_is_no_row_is_named(services: Services, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}\n[1]\n")
    ran = run(
        "publish",
        str(tmp_path / "x.jsonl"),
        "--topic",
        services.name("t"),
        STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS=services.bootstrap_servers,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "x.jsonl: line 2" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_broker_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In this process, where nobody waits for as long as a person is let wait."""
    monkeypatch.setattr("stream_retrain.engines.kafka.publish.REACHED_WITHIN_S", 0.5)
    monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit) as ended:
        main(["publish", str(tmp_path / "x.jsonl"), "--topic", "t"])
    assert ended.value.code == 1
    assert "127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.services
def test_publish_puts_a_file_into_a_topic_in_order(services: Services, tmp_path: Path) -> None:
    from stream_retrain.engines.kafka.read import read_topic

    file = tmp_path / "rows.csv"
    file.write_text("id,a,word,ok\n1,0.5,x,true\n2,,y,false\n3,7,z,true\n")
    topic = services.name("published")
    ran = run(
        "publish", str(file), "--topic", topic, "--key", "word", "--json", STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS=services.bootstrap_servers
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"topic": topic, "published": 3}
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    stored = read_topic(settings, topic)[0]
    assert [json.loads(record.value or b"") for record in stored] == [
        {"id": 1, "a": 0.5, "word": "x", "ok": True},
        {"id": 2, "a": None, "word": "y", "ok": False},
        {"id": 3, "a": 7, "word": "z", "ok": True},
    ]
    assert [record.key for record in stored] == [b"x", b"y", b"z"]


def test_local_up_names_a_server_that_ends_once(capsys: pytest.CaptureFixture[str]) -> None:
    servers = {"Valkey": types.SimpleNamespace(alive=True), "Kafka's node 1": types.SimpleNamespace(alive=False)}
    told = iter([False, False, True])
    hold(servers, cast(threading.Event, types.SimpleNamespace(wait=lambda _: next(told))))
    assert capsys.readouterr().err == "Kafka's node 1 has ended; Ctrl-C, and local up again\n"


@pytest.mark.services
def test_local_up_holds_services_open_until_told() -> None:
    from stream_retrain.stores import connect

    command = [sys.executable, "-m", "stream_retrain", "local", "up", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as held:
        assert held.stdout
        places = json.loads(held.stdout.readline())
        connect(places["redis_url"]).ping()
        held.send_signal(signal.SIGTERM)
        assert held.wait(20) == 0
    assert not Path(places["directory"]).exists()


@pytest.mark.services
def test_the_demo_proves_itself_and_holds_its_page_until_it_is_told_to_go(services: Services, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stream_retrain", "demo", "--events", "30000", "--json", "--hold"]
    report = tmp_path / "flights.html"
    with subprocess.Popen([*command, "--report", str(report)], env=services.environment, stdout=-1, stderr=-1, text=True) as demo:
        assert demo.stdout
        assert demo.stderr
        said = iter(demo.stderr.readline, "")
        page = next(found[1] for line in said if (found := re.search(r"watch it in a browser, until the demo ends: (\S+)", line)))
        rest = threading.Thread(target=lambda: list(said))
        rest.start()
        line = demo.stdout.readline()
        assert line, "it has ended without a result"
        shown = json.loads(line)
        assert shown["places"]["page"] == page
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert b"<title>stream_retrain</title>" in answer.read()
        with urllib.request.urlopen(f"{page}status", timeout=10) as answer:
            assert sum(shard["records"] for shard in json.load(answer)["shards"].values()) == 30_000
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0
        rest.join(10)
    assert (shown["events"], shown["predictions"], shown["lost"], shown["duplicated"]) == (30_000, 30_000, 0, 0)
    assert shown["quality_after_incident"] > shown["quality_after_incident_without_reaction"] + 0.01
    assert shown["drifts"] >= 3
    assert all(generation >= 1 for generation in shown["generations"])
    assert shown["quality_backtest"] == shown["quality"]
    assert shown["report"] == str(report)
    assert "two columns swapped" in report.read_text()


@pytest.mark.parametrize("seed", ["", "7"])
def test_a_pipeline_is_loaded_under_one_hash_seed(tmp_path: Path, seed: str) -> None:
    file = tmp_path / "shop.py"
    file.write_text(GOOD + f"open({str(tmp_path / 'hash')!r}, 'w').write(str(hash('text')))\n")
    hashes = set()
    for _ in range(2):
        ran = run_anew("check", str(file), "--json", PYTHONHASHSEED=seed)
        assert (ran.returncode, json.loads(ran.stdout)["pipeline"]["name"]) == (0, "orders"), ran.stderr
        hashes.add((tmp_path / "hash").read_text())
    expected = subprocess.run([sys.executable, "-c", "print(hash('text'))"], env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True)
    assert hashes == {expected.stdout.strip()}


@pytest.mark.services
def test_published_values_arrive_as_the_file_says_them(services: Services, tmp_path: Path) -> None:
    places = {"kafka_bootstrap_servers": services.bootstrap_servers}
    given = {f"STREAM_RETRAIN_{name.upper()}": value for name, value in places.items()}
    file, topic = tmp_path / "a.jsonl", services.name("values")
    file.write_bytes(b'\xef\xbb\xbf{"id":"00042","c":null}\n{"id":"x","c":7}\n')
    ran = run("publish", str(file), "--topic", topic, "--key", "c", **given)
    assert ran.returncode == 0, ran.stderr
    found = [(each.key, json.loads(each.value)) for each in read_topic(load_settings(None, {}, places), topic)[0]]
    assert found == [(None, {"id": "00042", "c": None}), (b"7", {"id": "x", "c": 7})]
    file.write_bytes(b'{"id":"x","c":1}\n{"id":"x"}\n')
    ran = run("publish", str(file), "--topic", topic, "--key", "c", **given)
    assert (ran.returncode, ran.stderr) == (2, f"error: {file}: line 2: it has no field 'c', the key\n")


PRINTS = "print('from the module')\n" + GOOD


@pytest.mark.parametrize(("before", "json_alone"), [(PRINTS, True), (GOOD, True)])
def test_standard_output_is_for_the_result_alone(tmp_path: Path, before: str, json_alone: bool) -> None:
    (tmp_path / "shop.py").write_text(before)
    ran = run("check", str(tmp_path / "shop.py"), "--json")
    assert json.loads(ran.stdout)["pipeline"]["name"] == "orders"
    assert ("from the module" in ran.stderr) == (before is PRINTS)


@pytest.mark.parametrize("arguments", [["check", "FILE"], ["check", "FILE", "--json"], ["--version"], ["--help"]])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(pipeline: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "stream_retrain", *(str(pipeline) if each == "FILE" else each for each in arguments)]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (ran.returncode, ran.stderr.count("\n")) == (1, 1), ran.stderr
    assert "No space left on device" in ran.stderr


def test_a_fault_that_cannot_be_told_keeps_its_exit_code() -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "stream_retrain", "check", "/nope.py"], stdout=subprocess.PIPE, stderr=full, timeout=120
        )
    assert (ran.returncode, ran.stdout) == (2, b"")


def test_a_stream_that_holds_ascii_alone_gets_escapes(pipeline: Path) -> None:
    ran = run_anew("check", str(pipeline), PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise type('Odd', (BaseException,), {})('thing')", "Odd: thing"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("class E(Exception):\n    def __str__(self): raise ValueError('no')\nraise E", "E: (its text raised ValueError)"),
    ],
)
def test_whatever_a_module_raises_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "bad.py").write_text(text + "\n")
    ran = run("check", str(tmp_path / "bad.py"))
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("SECURTY_PROTOCOL", "SSL", "securty.protocol"),
        ("FETCH_WAIT_MAX_MS", "soon", "fetch.wait.max.ms"),
        ("SSL_CA_LOCATION", "/no/such/ca.pem", "ssl.ca.location"),
        ("GROUP_PROTOCOL", "consumer", "KAFKA_GROUP_PROTOCOL"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_librdkafka_refuses_is_a_fault_of_the_settings(pipeline: Path, command: str, variable: str, value: str, named: str) -> None:
    tls = {"STREAM_RETRAIN_KAFKA_SECURITY_PROTOCOL": "SSL"} if "SSL" in variable else {}
    ran = run(command, str(pipeline), STREAM_RETRAIN_ALLOW_UNSIGNED="true", **{f"STREAM_RETRAIN_KAFKA_{variable}": value}, **tls)
    assert ran.returncode == 2
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr
