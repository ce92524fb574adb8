"""Settings: where they come from, which win, and that a fault names its source and a secret is never shown."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings, describe, load_settings, settings_table_markdown

SECRET = "correct-horse"


@pytest.fixture(autouse=True)
def _empty_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def toml(folder: Path, text: str, name: str = "settings.toml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def faults(file: Path | None = None, environ: dict[str, str] | None = None, overrides: dict[str, object] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(file, environ or {}, overrides or {})
    head, *listed = str(caught.value).splitlines()
    assert head.startswith(f"the settings have {len(listed)} fault")
    return [line.removeprefix("  - ") for line in listed]


def test_without_a_source_every_setting_has_its_default() -> None:
    assert load_settings(environ={}) == Settings()


def test_a_later_source_wins_over_an_earlier_one(tmp_path: Path) -> None:
    file = toml(tmp_path, "http_port = 1\npoll_records_max = 2\ncommit_events_max = 3\n")
    environ = {"STREAM_RETRAIN_HTTP_PORT": "11", "STREAM_RETRAIN_POLL_RECORDS_MAX": "12"}
    found = load_settings(file, environ, {"http_port": 21})
    assert (found.http_port, found.poll_records_max, found.commit_events_max) == (21, 12, 3)


def test_the_file_is_the_one_given_else_the_one_named_else_the_one_in_the_working_folder(tmp_path: Path) -> None:
    toml(tmp_path, 'group = "working-folder"', "stream_retrain.toml")
    named = {"STREAM_RETRAIN_SETTINGS": str(toml(tmp_path, 'group = "named"', "named.toml"))}
    given = toml(tmp_path, 'group = "given"', "given.toml")
    assert load_settings(environ={}).group == "working-folder"
    assert load_settings(environ=named).group == "named"
    assert load_settings(given, named).group == "given"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("http_port", "0", 0),
        ("checkpoint_interval_s", "1.5", 1.5),
        ("checkpoint_interval_s", "2", 2.0),
        ("allow_unsigned", "true", True),
        ("http", "0", False),
        ("group", "12", "12"),
        ("signing_key_file", "/run/key", Path("/run/key")),
        ("start", "latest", "latest"),
        ("log_level", "WARNING", "warning"),
        ("predictions_retention_ms", "-1", -1),
        ("kafka_bootstrap_servers", "a:9092, SASL_SSL://b.example:9093,[::1]:9094", "a:9092, SASL_SSL://b.example:9093,[::1]:9094"),
        (
            "redis_url",
            "rediss://user:p%40ss@cache.example:6380/2?ssl_cert_reqs=none",
            "rediss://user:p%40ss@cache.example:6380/2?ssl_cert_reqs=none",
        ),
        ("redis_url", "unix:///run/valkey.sock?db=1", "unix:///run/valkey.sock?db=1"),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(name: str, text: str, value: object) -> None:
    found = getattr(load_settings(environ={f"STREAM_RETRAIN_{name.upper()}": text}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("http_port", 65_536, "a whole number from 0 to 65,535, not 65536"),
        ("http_port", "9464", "a whole number from 0 to 65,535, not '9464'"),
        ("http_port", True, "a whole number from 0 to 65,535, not True"),
        ("http", "perhaps", "true or false, not 'perhaps'"),
        ("checkpoint_interval_s", float("nan"), "a number from 0.1 to 86,400, not nan"),
        ("dead_letters_retention_ms", 0, "a whole number from 60,000 to 315,360,000,000, or -1, not 0"),
        ("start", "middle", "earliest or latest, not 'middle'"),
        ("group", "a b", "at most 200 letters, digits, dots, dashes and underscores, not 'a b'"),
        ("kafka_bootstrap_servers", "", "host:port, with commas between, not ''"),
        ("kafka_bootstrap_servers", "a:1,,b:2", "host:port, with commas between, not 'a:1,,b:2'"),
        ("signing_key_file", 3, "a path, not 3"),
        ("redis_url", f"http://:{SECRET}@host", "a redis://, rediss:// or unix:// address"),
        ("redis_url", "", "a redis://, rediss:// or unix:// address"),
        ("kafka", f"sasl.password={SECRET}", "a table"),
    ],
)
def test_a_value_that_is_not_allowed_is_a_fault_that_says_what_is(name: str, value: object, allowed: str) -> None:
    assert faults(overrides={name: value}) == [f"{name}: must be {allowed}"]


def test_a_setting_that_has_a_default_cannot_be_none() -> None:
    with pytest.raises(SettingsError, match="http_port: must be a whole number"):
        Settings(http_port=None)  # type: ignore[arg-type]


def test_all_faults_of_all_sources_are_listed_at_once_each_with_its_source(tmp_path: Path) -> None:
    file = toml(tmp_path, 'http_prot = 1\nhttp_port = "x"\n[kafka]\n"group.id" = "mine"\n')
    environ = {
        "STREAM_RETRAIN_START": "never",
        "STREAM_RETRAIN_REDIS_ULR": "redis://h",
        "STREAM_RETRAIN_KAFKA_ISOLATION_LEVEL": "read_uncommitted",
    }
    assert faults(file, environ, {"poll_records_max": 0}) == [
        f"{file}: http_prot: no such setting; did you mean http_port?",
        f"{file}: http_port: must be a whole number from 0 to 65,535, not 'x'",
        f"{file}: kafka.group.id: cannot be set here: set `group`",
        "STREAM_RETRAIN_KAFKA_ISOLATION_LEVEL: cannot be set here: only committed records may be learned",
        "STREAM_RETRAIN_REDIS_ULR: no such setting; did you mean STREAM_RETRAIN_REDIS_URL?",
        "STREAM_RETRAIN_START: must be earliest or latest, not 'never'",
        "poll_records_max: must be a whole number from 1 to 100,000, not 0",
    ]


def test_a_name_like_no_other_is_a_fault_without_a_guess() -> None:
    assert faults(environ={"STREAM_RETRAIN_XYZZY": "1"}) == ["STREAM_RETRAIN_XYZZY: no such setting"]


@pytest.mark.parametrize("name", ["settings.toml", "."])
def test_a_file_that_cannot_be_read_is_a_fault_beside_the_others(tmp_path: Path, name: str) -> None:
    found = faults(tmp_path / name, {}, {"http_port": -1})
    assert found[0].startswith(f"{tmp_path / name}: cannot be read as TOML: ")
    assert found[1].startswith("http_port: ")


def test_a_file_that_is_not_toml_is_a_fault_that_names_the_line(tmp_path: Path) -> None:
    assert "line 2" in faults(toml(tmp_path, "http_port = 1\nhttp_port 2\n"))[0]


def test_kafka_keys_of_all_sources_are_merged_one_by_one(tmp_path: Path) -> None:
    file = toml(tmp_path, '[kafka]\n"linger.ms" = 5\nsocket.keepalive.enable = true\nsasl.mechanism = "PLAIN"\n')
    found = load_settings(file, {"STREAM_RETRAIN_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512"}, {"kafka": {"client.id": "me"}})
    assert found.kafka == {
        "linger.ms": "5",
        "socket.keepalive.enable": "true",
        "sasl.mechanism": "SCRAM-SHA-512",
        "client.id": "me",
    }


@pytest.mark.parametrize(
    ("variable", "key"), [("SASL_MECHANISM", "sasl.mechanism"), ("A__B_C", "a_b.c"), ("A___B_C", "a-b.c"), ("BOOTSTRAP_SERVERS", None)]
)
def test_a_kafka_variable_is_named_by_the_rule_of_the_kafka_image(variable: str, key: str | None) -> None:
    assert load_settings(environ={f"STREAM_RETRAIN_KAFKA_{variable}": "v"}).kafka == ({key: "v"} if key else {})


RESERVED = (
    "enable.auto.commit enable.auto.offset.store isolation.level group.id transactional.id enable.idempotence auto.offset.reset "
    "partition.assignment.strategy bootstrap.servers session.timeout.ms"
)


@pytest.mark.parametrize("key", RESERVED.split())
def test_a_kafka_key_that_is_ours_is_refused_with_the_reason(key: str) -> None:
    (fault,) = faults(overrides={"kafka": {key: "x"}})
    assert fault.startswith(f"kafka.{key}: cannot be set here: ")


def test_a_relative_key_file_is_relative_to_the_settings_file_that_names_it(tmp_path: Path) -> None:
    file = toml(tmp_path / "etc", 'signing_key_file = "keys/now"')
    assert load_settings(file, {}).signing_key_file == tmp_path / "etc" / "keys" / "now"
    assert load_settings(None, {"STREAM_RETRAIN_SIGNING_KEY_FILE": "keys/now"}).signing_key_file == Path("keys/now")


@pytest.mark.parametrize("name", ["http_tls_cert_file", "http_tls_key_file", "http_token_file"])
def test_so_are_the_files_of_tls_and_token_and_all_are_shown_as_text(tmp_path: Path, name: str) -> None:
    found = load_settings(toml(tmp_path / "etc", f'{name} = "there"'), {})
    assert getattr(found, name) == tmp_path / "etc" / "there"
    assert found.redacted()[name] == str(tmp_path / "etc" / "there")
    assert Settings().redacted()[name] is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("worker", False)],
)
def test_it_is_known_whether_others_can_connect(host: str, loopback: bool) -> None:
    assert Settings(http_host=host).http_is_loopback is loopback


def test_what_kubernetes_sets_for_a_service_of_our_name_is_no_setting() -> None:
    environ = {
        "STREAM_RETRAIN_SERVICE_HOST": "10.0.0.1",
        "STREAM_RETRAIN_SERVICE_PORT_METRICS": "9464",
        "STREAM_RETRAIN_PORT": "tcp://10.0.0.1:9464",
        "STREAM_RETRAIN_PORT_9464_TCP_ADDR": "10.0.0.1",
        "STREAM_RETRAIN_HTTP_PORT": "tcp://10.0.0.2:80",
        "STREAM_RETRAIN_KAFKA_PORT_9092_TCP": "tcp://10.0.0.3:9092",
    }
    assert load_settings(environ=environ) == Settings()


def test_an_empty_variable_and_an_override_of_none_are_not_given() -> None:
    assert load_settings(environ={"STREAM_RETRAIN_GROUP": ""}, overrides={"http_port": None}) == Settings()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"redis://:{SECRET}@h:1/0", "redis://:***@h:1/0"),
        (f"redis://me:{SECRET}@h", "redis://me:***@h"),
        (f"redis://{SECRET}@h", "redis://***@h"),
        (f"redis://me:{SECRET}@{SECRET}@h", "redis://me:***@h"),
        (f"redis://h/0?db=1&password={SECRET}&x=1", "redis://h/0?db=1&password=***&x=1"),
        (f"unix://me:{SECRET}@/run/valkey.sock", "unix://me:***@/run/valkey.sock"),
        ("redis://h:6379/0", "redis://h:6379/0"),
    ],
)
def test_the_password_of_the_redis_address_is_masked(url: str, shown: str) -> None:
    assert Settings(redis_url=url).redacted()["redis_url"] == shown


@pytest.mark.parametrize(
    "key",
    ["sasl.password", "ssl.key.password", "ssl.key.pem", "ssl.keystore.password", "sasl.jaas.config", "sasl.oauthbearer.client.secret"],
)
def test_no_secret_is_in_what_is_shown(key: str) -> None:
    found = Settings(kafka={key: SECRET, "client.id": "me"}, redis_url=f"redis://:{SECRET}@h")
    for shown in (repr(found), str(found), f"{found}", repr([found]), str(found.redacted())):
        assert SECRET not in shown
        assert "'client.id': 'me'" in shown
    assert found.kafka[key] == SECRET


def test_no_secret_is_in_a_fault() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            environ={"STREAM_RETRAIN_REDIS_URL": f"redis//{SECRET}@h", "STREAM_RETRAIN_REDIS_PASSWORD": SECRET},
            overrides={"kafka": {"sasl.password": [SECRET]}},
        )
    assert SECRET not in str(caught.value)


def test_settings_are_a_value() -> None:
    given: dict[str, Any] = {"a": 1}
    found = Settings(kafka=given, log_level="INFO")  # type: ignore[arg-type]
    given["b"] = 2
    assert found.kafka == {"a": "1"}
    assert found.log_level == "info"
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.http_port = 1  # type: ignore[misc]
    with pytest.raises(SettingsError, match="http_port"):
        dataclasses.replace(found, http_port=-5)


def test_every_setting_is_described_and_in_the_table() -> None:
    rows = describe()
    assert [row.name for row in rows] == [field.name for field in dataclasses.fields(Settings)]
    assert all(row.meaning and row.allowed for row in rows)
    table = settings_table_markdown().splitlines()
    assert len(table) == len(rows) + 2
    assert all(line.count("|") == 6 for line in table)
    assert (
        "| `http_port` | `STREAM_RETRAIN_HTTP_PORT` | `9464` | a whole number from 0 to 65,535 | port to serve on; 0: a free one |" in table
    )


@pytest.mark.parametrize("name", [row.name for row in describe() if type(row.default) in (int, float)])
def test_a_number_has_its_unit_in_its_name_or_counts_what_it_names(name: str) -> None:
    counted = {"http_port", "topic_replication", "checkpoint_events", "trainings_partitions"}
    assert name in counted or name.endswith(("_ms", "_s", "_max"))


def test_every_secret_is_known_wherever_it_is(tmp_path: Path) -> None:
    keys = tmp_path / "signing.key"
    keys.write_text("\ufeffk2:bmV3  # since Monday\n\n# old ones\nk1:c0ffee00\n")
    asking = tmp_path / "requests.key"
    asking.write_text("airflow:decade01\n")
    found = Settings(
        redis_url="rediss://me:p%40ss@h/0?ssl_ca_certs=/etc/ca.pem&password=in-the-query",
        kafka={"sasl.password": "pw", "sasl.username": "u", "sasl.oauthbearer.method": "oidc", "ssl.key.pem": "PEM"},
        signing_key_file=keys,
        requests_key_file=asking,
    ).secrets()
    of_keys = {"k2:bmV3", "bmV3", "k1:c0ffee00", "c0ffee00", "airflow:decade01", "decade01"}
    assert sorted(set(found)) == sorted({"p@ss", "in-the-query", "pw", "PEM"} | of_keys)


def test_a_token_is_a_secret_as_a_whole_whatever_signs_it_has(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("#0123:4567#89abcdef\n")
    assert Settings(http_token_file=tmp_path / "token").secrets() == ["#0123:4567#89abcdef"]


def test_what_a_schema_registry_is_told_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "auth").write_text("reader:s3:cret\n")
    found = Settings(schema_registry_url="https://me:p%40ss@registry:8081/x", schema_registry_auth_file=tmp_path / "auth")
    assert found.secrets() == ["p@ss", "s3:cret"]
    assert "p%40ss" not in str(found.redacted()["schema_registry_url"])


def test_a_word_of_kafka_s_settings_is_no_secret() -> None:
    words = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.scope": "kafka", "sasl.oauthbearer.client.secret": "s3cret"}
    assert Settings(kafka=words).secrets() == ["s3cret"]


@pytest.mark.parametrize(("url", "secrets"), [("redis://alone@h", ["alone"]), ("redis://:only@h", ["only"]), ("redis://h/0", [])])
def test_what_stands_alone_before_the_host_may_be_the_password(url: str, secrets: list[str]) -> None:
    assert Settings(redis_url=url).secrets() == secrets


def test_a_key_file_that_cannot_be_read_is_no_fault_of_asking_for_secrets(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for file in (tmp_path / "missing", tmp_path / "binary", tmp_path):
        assert Settings(signing_key_file=file).secrets() == []
