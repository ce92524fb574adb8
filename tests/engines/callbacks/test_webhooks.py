"""Webhooks against a real server: what is sent, what is tried again, what is final."""

from __future__ import annotations

import base64
import email.utils
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain import Secret, Webhook, verify_webhook
from stream_retrain.engines.callbacks import deliver
from stream_retrain.engines.callbacks.child import Call, Done, Failed
from stream_retrain.engines.callbacks.deliver import Delivery
from stream_retrain.errors import SettingsError
from tests.engines.callbacks.support import Answer, Receiver, hook, place_of, receiving, runner_of, until, value_of

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def sent(webhook: Webhook, value: bytes | None = None) -> Done | Failed:
    place = place_of(value or value_of())
    return Delivery(webhook)(Call(place.decision, place.value))


def test_a_decision_is_posted_as_it_stands_in_the_topic_signed_and_with_an_id_that_stays(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", KEY)
    monkeypatch.setenv("TOKEN", "Bearer abc")
    webhook = Webhook(
        url=receiver.url + "?team=ml", secret=Secret(env="HOOK"), headers={"X-Team": "ml", "Authorization": Secret(env="TOKEN")}
    )
    value = value_of()
    assert [sent(webhook, value), sent(webhook, value)] == [Done(), Done()]
    [first, second] = receiver.came
    assert (first.body, first.path) == (value, "/hook?team=ml")
    assert first.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert (first.headers["x-team"], first.headers["authorization"]) == ("ml", "Bearer abc")
    assert verify_webhook(first.body, first.headers, KEY) == json.loads(value)
    assert first.headers["webhook-id"] == second.headers["webhook-id"], "the idempotency key of a decision"


def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    assert sent(Webhook(url=receiver.url)) == Done()
    assert "webhook-signature" not in receiver.came[0].headers
    assert "webhook-id" in receiver.came[0].headers


@pytest.mark.parametrize(
    ("answer", "again", "after_s", "words"),
    [
        (Answer(204, body=b""), None, 0.0, ""),
        (Answer(500, body=b"database\x1b[31m away\n"), True, 0.0, "it answered 500: database [31m away"),
        (Answer(503, {"Retry-After": "7"}), True, 7.0, "503"),
        (Answer(429, {"Retry-After": "100000"}), True, 300.0, "429"),
        (Answer(429, {"Retry-After": "soon"}), True, 0.0, "429"),
        (Answer(408), True, 0.0, "408"),
        (Answer(400, {"Retry-After": "7"}, body=b"no"), False, 0.0, "it answered 400: no"),
        (Answer(410), False, 0.0, "410"),
        (Answer(307, {"Location": "https://elsewhere.example/"}), False, 0.0, "declare https://elsewhere.example/"),
        (Answer(301), False, 0.0, "redirects are not followed"),
    ],
)
def test_what_an_answer_means(receiver: Receiver, answer: Answer, again: bool | None, after_s: float, words: str) -> None:
    receiver.answers.append(answer)
    result = sent(Webhook(url=receiver.url))
    if again is None:
        assert result == Done()
        return
    assert isinstance(result, Failed)
    assert (result.again, result.after_s) == (again, after_s)
    assert words in result.error
    assert len(receiver.came) == 1


def test_a_date_of_retry_after_is_obeyed() -> None:
    assert deliver._retry_after_s(email.utils.formatdate(1_000_030, usegmt=True), 1_000_000.0) == 30.0
    assert deliver._retry_after_s(email.utils.formatdate(999_000, usegmt=True), 1_000_000.0) == 0.0


def test_what_cannot_be_reached_and_what_is_no_http_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    refused = sent(Webhook(url=f"http://127.0.0.1:{port}/"))
    assert isinstance(refused, Failed)
    assert (refused.again, "refused" in refused.error) == (True, True)
    unknown = sent(Webhook(url="http://nowhere.invalid/"))
    assert isinstance(unknown, Failed)
    assert unknown.again


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -days 2"
    subprocess.run([*made.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    with receiving(context) as receiver:
        refused = sent(Webhook(url=receiver.url))
        assert isinstance(refused, Failed)
        assert "not trusted" in refused.error
        assert sent(Webhook(url=receiver.url, ca_file=str(tmp_path / "c.pem"))) == Done()
    with pytest.raises(SettingsError, match="ca_file"):
        Delivery(Webhook(url=receiver.url, ca_file=str(tmp_path / "none.pem")))


@pytest.mark.slow
def test_attempts_go_on_until_one_is_taken_and_the_next_decision_waits_for_that(receiver: Receiver) -> None:
    receiver.answers += [Answer(500), Answer(429, {"Retry-After": "0"}), Answer(), Answer()]
    runner = runner_of(hook(receiver.url))
    values = [value_of(offset=offset) for offset in (1, 2)]
    for offset, value in enumerate(values):
        runner.add(place_of(value, offset=offset))
    over: list[Any] = []
    until(lambda: len(over) == 2, lambda: over.extend(filter(None, [runner.turn()])))
    told = runner.told()
    runner.close()
    assert [came.body for came in receiver.came] == [values[0]] * 3 + [values[1]]
    assert [(each.place.offset, each.dead) for each in over] == [(0, None), (1, None)]
    assert (told.called, told.failed, told.retried, told.dead, told.waiting, told.error) == (4, 2, 2, 0, 0, "")
    assert len(told.seconds) == 4
    assert len({came.headers["webhook-id"] for came in receiver.came[:3]}) == 1


@pytest.mark.slow
def test_an_answer_that_never_ends_is_cut_off_and_the_last_attempt_is_a_dead_letter(receiver: Receiver) -> None:
    receiver.always = lambda _: Answer(slow_s=0.2, body=b"x" * 200)
    runner = runner_of(hook(receiver.url, timeout_s=0.5, attempts_max=2))
    runner.add(place_of(value_of()))
    began_s, over = time.monotonic(), []
    until(lambda: bool(over), lambda: over.extend(filter(None, [runner.turn()])))
    runner.close()
    assert over[0].dead is not None
    assert (over[0].dead.attempts, "took longer than" in over[0].dead.error) == (2, True)
    assert time.monotonic() - began_s < 30
    assert len(receiver.came) == 2
