"""What the operator sets: where Kafka and Redis are, how often to commit, what to keep.

A field of `Settings` is a setting, and its one source of truth: default, range and meaning stand there, and the checks, the
words of a fault, `describe` and the table of docs/settings.md are read from it. What belongs to the model (features, windows,
reactions) is the pipeline's, not the operator's, and is not here.

A secret is never in a message, a `repr` or `Settings.redacted()`. How values are read and checked: `settings.sources`.
"""

import contextlib
import dataclasses
import os
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from stream_retrain.redaction import MASK, is_secret_name, url_redacted
from stream_retrain.settings.sources import PATH_WORDS, checked, from_environment, from_file, from_mapping

__all__ = ["FIELDS", "Settings", "load_settings"]

_RETENTION = {"low": 60_000, "high": 3_650 * 86_400_000, "also": -1}
_NAME = {"pattern": r"[A-Za-z0-9._-]{1,200}", "words": "at most 200 letters, digits, dots, dashes and underscores"}
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s,:/?@\[\]]+)(:\d{1,5})?"
_SERVERS = {"pattern": rf"([A-Za-z_]+://)?{_HOST}(, *([A-Za-z_]+://)?{_HOST})*", "words": "host:port, with commas between"}
_REDIS = {"pattern": rf"rediss?://(\S*@)?{_HOST}(/\d*)?(\?\S*)?|unix://\S+", "words": "a redis://, rediss:// or unix:// address"}

_PATH = {"words": PATH_WORDS}
_URL = "an address such as s3://bucket/models"

# Kafka settings that are named like secrets, but have values such as "true" or "kafka": masking those would hide other text.
_OPEN = (".method", ".url", ".scope", ".jwt")


def _setting(default: Any, meaning: str, **limits: Any) -> Any:
    """A field. `limits` of a number: `low`, `high` and one value that is `also` allowed; of text: a `pattern`, said in `words`."""
    return dataclasses.field(default=default, metadata={"meaning": meaning, **limits})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """One worker's settings, checked: building one by hand raises `SettingsError` as `load_settings` does."""

    kafka_bootstrap_servers: str = _setting("127.0.0.1:9092", "Kafka brokers to begin with", **_SERVERS)
    kafka: dict[str, str] = dataclasses.field(default_factory=dict, metadata={"meaning": "further librdkafka keys", "words": "a table"})
    redis_url: str = _setting("redis://127.0.0.1:6379/0", "Redis or Valkey", **_REDIS)
    schema_registry_url: str | None = _setting(
        None, "Schema Registry of pipelines in Avro or JSON Schema", pattern=r"https?://\S+", words="an http:// or https:// address"
    )
    schema_registry_auth_file: Path | None = dataclasses.field(
        default=None, metadata=_PATH | {"meaning": "file with `user:password` for the Schema Registry"}
    )
    schema_registry_ca_file: Path | None = dataclasses.field(
        default=None, metadata=_PATH | {"meaning": "certificates that the Schema Registry's is checked by"}
    )
    schema_registry_timeout_s: float = _setting(5.0, "seconds to wait for the Schema Registry", low=0.1, high=60)
    group: str | None = _setting(None, "consumer group; default `stream_retrain.<pipeline>`", **_NAME)
    instance: str | None = _setting(None, "this worker's name, stable and unique in its group; default `<host>-<number>`", **_NAME)
    static_membership: bool = _setting(True, "a killed worker's shards wait for it, until `session_timeout_ms` has passed")
    group_protocol: Literal["classic", "consumer"] = _setting(
        "classic", "how workers share partitions; consumer (KIP-848, Kafka 4): the broker assigns them, and its session timeout rules"
    )
    start: Literal["earliest", "latest"] = _setting("earliest", "where a group without committed offsets begins")
    session_timeout_ms: int = _setting(45_000, "milliseconds until a silent worker's shards go to another", low=1_000, high=300_000)
    poll_records_max: int = _setting(500, "records taken from Kafka at once", low=1, high=100_000)
    record_bytes_max: int = _setting(1_000_000, "bytes of a record; a larger one is a dead letter", low=1, high=1_000_000_000)
    commit_interval_ms: int = _setting(
        150, "milliseconds between commits, so until a prediction is seen; 20 where that matters; 0: after every poll", low=0, high=30_000
    )
    commit_events_max: int = _setting(5_000, "events between commits, at most", low=1, high=1_000_000)
    checkpoint_events: int = _setting(50_000, "events of a shard between its checkpoints, at most", low=1, high=1_000_000_000)
    checkpoint_interval_s: float = _setting(60.0, "seconds between a shard's checkpoints, at most", low=0.1, high=86_400)
    shutdown_timeout_s: float = _setting(5.0, "seconds to commit and to checkpoint when told to stop", low=0.1, high=600)
    memory_bytes_max: int | None = _setting(
        None, "bytes of memory at which a process commits, saves and ends itself; a warning from 80 % on", low=64 * 1024**2, high=2**50
    )
    loop_timeout_s: float = _setting(
        60.0, "seconds without a turn of the loop after which /healthz says 503, and 10 s later the process ends itself", low=5, high=86_400
    )
    topic_replication: int = _setting(1, "replicas of a topic that is created; -1: the broker's default", low=1, high=100, also=-1)
    # Predictions and decisions prove what was predicted and why: kept until the operator says otherwise. Dead letters wait for their
    # producer to be mended: twice Kafka's default for the topic they came from. The broker counts from a record's own time.
    predictions_retention_ms: int = _setting(-1, "milliseconds predictions are kept; -1: for ever", **_RETENTION)
    decisions_retention_ms: int = _setting(-1, "milliseconds decisions are kept; -1: for ever", **_RETENTION)
    dead_letters_retention_ms: int = _setting(14 * 86_400_000, "milliseconds dead letters are kept; -1: for ever", **_RETENTION)
    # A replay of a decision needs the challenger it tells of (`stream-retrain verify`), for as long as there is the decision.
    artifacts_bytes_max: int = _setting(64_000_000, "bytes of challengers and promoted models kept for `verify`", low=0, high=10**12)
    artifacts_retention_ms: int | None = _setting(
        None, "milliseconds joined challengers are kept, at most; default `decisions_retention_ms`", **_RETENTION
    )
    versions_models_max: int = _setting(
        20, "models a shard keeps of versions that do not serve, for a promotion; 0: none, and what is known of them", low=0, high=1_000
    )
    versions_retention_ms: int = _setting(-1, "milliseconds an earlier model is kept after it stopped serving; -1: for ever", **_RETENTION)
    artifacts_url: str | None = _setting(
        None, "where those models are, in files or an object store; default: in Redis", pattern=r"[a-z0-9+.-]+://\S*", words=_URL
    )
    signing_key_file: Path | None = dataclasses.field(default=None, metadata=_PATH | {"meaning": "keys that sign checkpoints"})
    allow_unsigned: bool = _setting(False, "unpickle what nobody signed: only where none but you can write to Redis")
    checkpoint_missing: Literal["earliest", "latest", "fail"] = _setting(
        "earliest", "offsets are committed and no checkpoint is stored: learn again, begin untrained, or refuse"
    )
    checkpoint_unfit: Literal["fail", "rebuild", "window"] = _setting(
        "fail", "no checkpoint fits: refuse, learn again from what the topic retains, or from the window"
    )
    replay_debt_events_max: int = _setting(500_000, "events learned since a checkpoint while Redis is away, at most", low=1, high=10**12)
    trainer: Literal["process", "pool", "off"] = _setting(
        "process", "who trains challengers from the window: a process beside the worker, `stream-retrain trainer` processes, nobody"
    )
    trainings_partitions: int = _setting(16, "partitions of the topic that asks the pool for trainings", low=1, high=1_000)
    train_timeout_s: float = _setting(600.0, "seconds one training may take", low=1, high=86_400)
    train_memory_bytes_max: int = _setting(2 * 1024**3, "bytes of memory one training may take", low=64 * 1024**2, high=2**50)
    trainer_wait_s: float = _setting(30.0, "seconds a training waits for a trainer before the log and a metric say so", low=1, high=3_600)
    train_attempts_max: int = _setting(2, "how often a training is begun whose process dies, or whose store is away", low=1, high=100)
    callbacks: Literal["process", "off"] = _setting(
        "process",
        "who calls the pipeline's callbacks and webhooks: a process beside the worker; off: `stream-retrain callbacks`, elsewhere",
    )
    http: bool = _setting(True, "serve the page at /, and /metrics, /healthz, /readyz and /status")
    http_host: str = _setting("127.0.0.1", "address to serve on; 0.0.0.0: all", pattern=r"[^\s/@]+", words="a host name or an address")
    http_allowed_hosts: str = _setting(
        "",
        "names a request may come for, beside http_host, localhost and any address: with commas between, or `*` for all",
        pattern=r"\*|([A-Za-z0-9._-]+(, *[A-Za-z0-9._-]+)*)?",
        words="host names with commas between, or *",
    )
    http_port: int = _setting(9464, "port to serve on; 0: a free one", low=0, high=65_535)
    http_tls_cert_file: Path | None = dataclasses.field(default=None, metadata=_PATH | {"meaning": "certificate chain in PEM: serve https"})
    http_tls_key_file: Path | None = dataclasses.field(
        default=None, metadata=_PATH | {"meaning": "its key, if the certificate's file does not have it"}
    )
    http_token_file: Path | None = dataclasses.field(
        default=None, metadata=_PATH | {"meaning": "token that every request needs but those for /healthz and /readyz"}
    )
    http_write_token_file: Path | None = dataclasses.field(default=None, metadata=_PATH | {"meaning": "token that POST /v1/... needs"})
    requests_key_file: Path | None = dataclasses.field(
        default=None,
        metadata=_PATH | {"meaning": "keys that sign requests in `<pipeline>.requests`; without them it is not read"},
    )
    requests_unsigned: bool = _setting(
        False, "read `<pipeline>.requests` without keys and take what nobody signed: only where ACLs say who may write to it"
    )
    requests_age_max_s: float = _setting(
        86_400.0, "seconds after which a request of that topic is too old, and refused", low=1, high=604_800
    )
    faust_web_port: int | None = _setting(
        None, "port of Faust's own web server under `--engine faust`, on `http_host`; default: it is off", low=1, high=65_535
    )
    ready_commit_timeout_s: float = _setting(30.0, "seconds records may wait to be committed before /readyz says 503", low=1, high=86_400)
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "least severity that is logged")
    log_format: Literal["auto", "text", "json"] = _setting("auto", "lines to read, or JSON lines; auto: to read on a terminal, else JSON")
    traces: bool = _setting(False, "OpenTelemetry spans of batches, trainings, checkpoints and restores")

    def __post_init__(self) -> None:
        for name, value in checked(from_mapping({name: getattr(self, name) for name in FIELDS}), FIELDS, []).items():
            object.__setattr__(self, name, value)

    @property
    def http_hosts(self) -> frozenset[str]:
        """The host names for which requests are answered."""
        return frozenset({self.http_host.lower(), "localhost", *re.findall(r"[^, ]+", self.http_allowed_hosts.lower())})

    @property
    def http_is_loopback(self) -> bool:
        """Whether nobody but this host can connect."""
        return self.http_host.lower() == "localhost" or re.fullmatch(r"127(\.\d+){3}|::1", self.http_host) is not None

    @property
    def artifacts_age_max_s(self) -> float | None:
        """Seconds a joined challenger is kept, at most; None: for ever."""
        kept_ms = self.decisions_retention_ms if self.artifacts_retention_ms is None else self.artifacts_retention_ms
        return None if kept_ms < 0 else kept_ms / 1000

    @property
    def versions_age_max_s(self) -> float | None:
        """Seconds an earlier model is kept; None: for ever."""
        return None if self.versions_retention_ms < 0 else self.versions_retention_ms / 1000

    @property
    def requests_by_topic(self) -> bool:
        """Whether the topic of requests is read."""
        return self.requests_key_file is not None or self.requests_unsigned

    def group_of(self, pipeline: str) -> str:
        """The consumer group of a pipeline's workers."""
        return self.group or f"stream_retrain.{pipeline}"

    def redacted(self) -> dict[str, object]:
        """Every setting by name, fit for a log or a screen: secrets are masked, a path is text."""
        shown = {name: getattr(self, name) for name in FIELDS}
        shown["redis_url"] = url_redacted(self.redis_url)
        shown["artifacts_url"] = self.artifacts_url and url_redacted(self.artifacts_url)
        shown["schema_registry_url"] = self.schema_registry_url and url_redacted(self.schema_registry_url)
        shown["kafka"] = {key: MASK if is_secret_name(key) else url_redacted(value) for key, value in sorted(self.kafka.items())}
        return {name: str(value) if isinstance(value, Path) else value for name, value in shown.items()}

    def secrets(self) -> list[str]:
        """Every secret there is in them, and in the files of keys and tokens they name: what no line may show."""
        found = [value for key, value in self.kafka.items() if is_secret_name(key) and not key.endswith(_OPEN)]
        address = urllib.parse.urlsplit(self.redis_url)
        alone = address.username if address.password is None else address.password
        found += map(urllib.parse.unquote, (alone or "", urllib.parse.urlsplit(self.schema_registry_url or "").password or ""))
        found += [value for key, value in urllib.parse.parse_qsl(address.query) if is_secret_name(key)]
        for file, of_user in ((self.http_token_file, False), (self.http_write_token_file, False), (self.schema_registry_auth_file, True)):
            with contextlib.suppress(OSError, UnicodeDecodeError):  # whoever needs the file says what is wrong with it
                if file is not None:
                    text = file.read_text(encoding="utf-8-sig").strip()
                    found.append(text.partition(":")[2] if of_user else text)
        for keys in filter(None, (self.signing_key_file, self.requests_key_file)):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = [line.partition("#")[0].strip() for line in keys.read_text(encoding="utf-8-sig").splitlines()]
                found += [part.strip() for line in lines for part in (line, line.partition(":")[2])]
        return [secret for secret in found if secret]

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.redacted().items())})"


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def load_settings(
    file: Path | None = None, environ: Mapping[str, str] = os.environ, overrides: Mapping[str, object] = MappingProxyType({})
) -> Settings:
    """Read the settings; a later source wins: defaults, the TOML file, `STREAM_RETRAIN_*` variables, `overrides`.

    The file is `file`, or what `STREAM_RETRAIN_SETTINGS` names, or `stream_retrain.toml` in the working folder if there is one;
    a relative path in it is relative to its folder. Kafka keys are merged one by one: `[kafka]` in the file, in the environment
    `STREAM_RETRAIN_KAFKA_<KEY>` with `_` for a dot, `__` for an underscore and `___` for a dash. An empty variable and an
    override of None count as not given. Raises SettingsError: one for all faults, each with its source and what is allowed.
    """
    faults: list[str] = []
    asked = {name: value for name, value in overrides.items() if value is not None}
    given = [*from_file(file, environ, FIELDS, faults), *from_environment(environ, FIELDS), *from_mapping(asked)]
    return Settings(**checked(given, FIELDS, faults))
