"""The composition root: which keys, which trainer, which labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_retrain import compose
from stream_retrain.compose.doors import requests_read
from stream_retrain.compose.serving import pages_of, served_by
from stream_retrain.engines.trainer import ProcessTrainer
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import SettingsError
from stream_retrain.facts.worker import Retrying, WorkerFact, WorkerStateChanged
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from stream_retrain.views.history import History
from stream_retrain.views.http import Health, Pages
from stream_retrain.views.metrics import Metrics
from stream_retrain.views.models import Models
from stream_retrain.views.status import Status
from tests.core import streams
from tests.views.test_access import certificate

__all__ = ["certificate"]

PIPELINE = streams.pipeline()


def settings(**changes: Any) -> Settings:
    return load_settings(None, {}, changes)


def test_a_key_file_signs(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    file.touch(mode=0o600)
    file.write_text(f"k1:{'ab' * 16}\n")
    keyring = compose.keyring_of(settings(signing_key_file=str(file), allow_unsigned=True))
    assert keyring.signing_key is not None
    assert keyring.signing_key.id == "k1"


def test_without_a_key_unsigned_must_be_allowed() -> None:
    assert compose.keyring_of(settings(allow_unsigned=True)).signs is False
    with pytest.raises(SettingsError, match=r"(?s)signing_key_file.*--allow-unsigned"):
        compose.keyring_of(settings())


@pytest.mark.parametrize(("wanted", "kind"), [("process", ProcessTrainer), ("off", type(None))])
def test_the_trainer_is_the_one_of_the_setting(wanted: str, kind: type) -> None:
    stores, unsigned = connect("memory://"), compose.keyring_of(settings(allow_unsigned=True))
    with compose.trainer_of(PIPELINE, settings(trainer=wanted), stores, unsigned, None) as trainer:
        assert isinstance(trainer, kind)


def test_the_metrics_know_watches_and_reactions_beforehand() -> None:
    labels = compose._labels(PIPELINE)
    assert (labels.name, labels.topic, labels.task) == ("test", "events", "binary")
    assert labels.watches == (("ADWIN", "error"),)
    assert labels.reactions == ("Reset",)
    assert labels.metrics == (("Accuracy", True),)


def test_a_model_is_named_by_its_steps() -> None:
    from river import linear_model, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    assert compose._labels(streams.pipeline(model=model)).model == "StandardScaler | LogisticRegression"
    assert compose._labels(streams.pipeline(model=linear_model.Perceptron())).model == "Perceptron"


def test_every_view_is_told_every_fact_in_order() -> None:
    told: list[tuple[str, float]] = []
    tell = compose.all_of(lambda fact: told.append(("a", fact.wait_s)), lambda fact: told.append(("b", fact.wait_s)))  # type: ignore[union-attr]
    tell(Retrying(error="x", wait_s=1.0))
    tell(Retrying(error="x", wait_s=2.0))
    assert told == [("a", 1.0), ("b", 1.0), ("a", 2.0), ("b", 2.0)]


def test_the_group_is_made_of_the_pipeline_unless_it_is_set() -> None:
    assert settings().group_of("orders") == "stream_retrain.orders"
    assert settings(group="mine").group_of("orders") == "mine"


class TestServing:
    @pytest.fixture
    def token(self, tmp_path: Path) -> Path:
        file = tmp_path / "http.token"
        file.touch(mode=0o600)
        file.write_text("0123456789abcdef\n")
        return file

    def serve(self, **given: Any) -> None:
        health = Health(ok=True)
        pages = Pages(metrics=lambda _: ("text/plain", b""), healthy=lambda: health, ready=lambda: health, status=dict)
        with served_by(settings(http_port=0, **given), pages, PIPELINE) as server:
            assert server.url.startswith("https://" if "http_tls_cert_file" in given else "http://")

    def test_warns_where_others_can_read_without_a_token(self, caplog: pytest.LogCaptureFixture, token: Path) -> None:
        self.serve()
        self.serve(http_token_file=str(token))
        assert [record for record in caplog.records if record.levelname == "WARNING"] == []
        self.serve(http_host="0.0.0.0")
        assert "http_host is 0.0.0.0, and there is no http_token_file" in caplog.text

    def test_warns_where_a_token_can_be_read_on_its_way(
        self, caplog: pytest.LogCaptureFixture, token: Path, certificate: tuple[Path, Path]
    ) -> None:
        cert, key = map(str, certificate)
        self.serve(http_host="0.0.0.0", http_token_file=str(token), http_tls_cert_file=cert, http_tls_key_file=key)
        assert "WARNING" not in caplog.text
        self.serve(http_host="0.0.0.0", http_token_file=str(token))
        assert "there is no http_tls_cert_file: the token can be read on its way" in caplog.text
        assert "0123456789abcdef" not in caplog.text

    def test_two_tokens_that_are_the_same_are_refused_and_one_that_asks_is_warned_of(
        self, caplog: pytest.LogCaptureFixture, token: Path
    ) -> None:
        with pytest.raises(SettingsError, match="hold the same token"):
            self.serve(http_token_file=str(token), http_write_token_file=str(token))
        self.serve(http_host="0.0.0.0", http_write_token_file=str(token))
        assert "who reads the write token on its way may ask for anything" in caplog.text
        assert settings(http_write_token_file=str(token)).secrets() == ["0123456789abcdef"]

    def test_the_topic_of_requests_is_not_read_without_being_asked_to_and_is_warned_of_without_keys(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        facts: list[WorkerFact] = []
        away = {"kafka_bootstrap_servers": "127.0.0.1:1"}

        def read(**given: object) -> None:
            watchdog = Watchdog(lambda: True, loop_timeout_s=60, shutdown_timeout_s=1)
            assert watchdog(), "it is to stop, so no attempt is made"
            with requests_read(PIPELINE, settings(**away | given), "i", watchdog, facts.append) as look:
                look(1.0)

        read()
        assert (facts, caplog.text) == ([], "")
        open_to_all = tmp_path / "requests.key"
        open_to_all.write_text("k1:0123456789abcdef0123456789abcdef")
        open_to_all.chmod(0o644)
        with pytest.raises(SettingsError, match="is open to others"):
            read(requests_key_file=str(open_to_all))
        read(requests_unsigned=True)
        assert "requests_unsigned is set: whoever can write to the topic of requests may ask for anything" in caplog.text

    def test_refuses_a_key_without_its_certificate_or_one_that_others_can_read(
        self, tmp_path: Path, certificate: tuple[Path, Path]
    ) -> None:
        with pytest.raises(SettingsError, match="http_tls_key_file is given, and http_tls_cert_file is not"):
            self.serve(http_tls_key_file=str(certificate[1]))
        read = tmp_path / "key.pem"
        read.write_bytes(certificate[1].read_bytes())
        read.chmod(0o644)
        with pytest.raises(SettingsError, match=r"TLS key file .* is open to others"):
            self.serve(http_tls_cert_file=str(certificate[0]), http_tls_key_file=str(read))

    def test_refuses_a_file_of_certificate_and_key_that_others_can_read(self, tmp_path: Path, certificate: tuple[Path, Path]) -> None:
        both = tmp_path / "both.pem"
        both.touch(mode=0o600)
        both.write_bytes(b"".join(file.read_bytes() for file in certificate))
        self.serve(http_tls_cert_file=str(both))
        both.chmod(0o644)
        with pytest.raises(SettingsError, match=r"certificate and TLS key file .* is open to others"):
            self.serve(http_tls_cert_file=str(both))


def test_readiness_tells_what_is_missing_and_health_does_not_care() -> None:
    status = Status("p", "i")
    watchdog = Watchdog(lambda: False, loop_timeout_s=60, shutdown_timeout_s=5)
    pages = pages_of(settings(), status, History(), Metrics(compose._labels(PIPELINE), "1"), Models(PIPELINE.name), watchdog)
    assert pages.healthy().ok
    ready = pages.ready()
    assert (ready.ok, ready.detail["assigned"], ready.detail["restored"], ready.detail["committing"]) == (False, False, False, False)
    status(WorkerStateChanged(state="running"))
    assert pages.ready().ok
    watchdog.look(61)
    assert (pages.ready().ok, pages.healthy().ok) == (False, False)
