"""Signatures of webhooks: the vector of the Standard Webhooks libraries, and everything that must not pass."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from stream_retrain import Secret, verify_webhook
from stream_retrain.codec.webhook import read_secret, signing_keys, webhook_headers, webhook_id
from stream_retrain.errors import SettingsError, WebhookError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = b'{"test": 2432232314}'
AT_S = 1_614_265_330
KNOWN = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(AT_S),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""What the specification's own libraries are tested with."""


def test_the_known_vector_is_made_and_verified() -> None:
    assert webhook_headers(KNOWN["webhook-id"], BODY, signing_keys(SECRET), AT_S + 0.9) == KNOWN
    assert verify_webhook(BODY, KNOWN, SECRET, now_s=AT_S) == {"test": 2432232314}


def test_names_of_headers_may_be_in_any_case() -> None:
    assert verify_webhook(BODY, {name.title(): value for name, value in KNOWN.items()}, SECRET, now_s=AT_S)


@pytest.mark.parametrize("secret", [f"{OTHER} {SECRET}", f"{SECRET},{OTHER}", SECRET.removeprefix("whsec_"), [OTHER, SECRET]])
def test_a_secret_may_be_one_of_several_so_that_it_can_be_changed(secret: str | list[str]) -> None:
    assert verify_webhook(BODY, KNOWN, secret, now_s=AT_S)
    both = webhook_headers("msg_1", BODY, signing_keys(f"{OTHER}\n{SECRET}"), AT_S)
    assert both["webhook-signature"].count("v1,") == 2
    assert verify_webhook(BODY, both, OTHER, now_s=AT_S)
    assert verify_webhook(BODY, both, SECRET, now_s=AT_S)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook-id": "msg_other"}, "signature"),
        ({"webhook-timestamp": str(AT_S + 1)}, "signature"),
        ({"webhook-signature": ""}, "signature"),
        ({"webhook-signature": KNOWN["webhook-signature"].replace("v1,", "v2,")}, "signature"),
        ({"webhook-signature": "v1,é"}, "signature"),
        ({"webhook-timestamp": "now"}, "whole number"),
        ({"webhook-timestamp": "-5"}, "whole number"),
        ({"webhook-timestamp": str(AT_S - 301)}, "301 s ago"),
        ({"webhook-timestamp": str(AT_S + 301)}, "-301 s ago"),
    ],
)
def test_what_was_tampered_with_or_is_old_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(WebhookError, match=words):
        verify_webhook(BODY, KNOWN | change, SECRET, now_s=AT_S)


def test_another_body_another_secret_and_a_missing_header_are_refused() -> None:
    with pytest.raises(WebhookError, match="signature"):
        verify_webhook(BODY + b" ", KNOWN, SECRET, now_s=AT_S)
    with pytest.raises(WebhookError, match="signature"):
        verify_webhook(BODY, KNOWN, OTHER, now_s=AT_S)
    for name in KNOWN:
        with pytest.raises(WebhookError, match="no header"):
            verify_webhook(BODY, {key: value for key, value in KNOWN.items() if key != name}, SECRET, now_s=AT_S)


def test_a_body_that_is_no_object_is_refused_also_where_it_is_signed() -> None:
    for body in (b"[1]", b"", b"{", b"\xff"):
        headers = webhook_headers("msg_1", body, signing_keys(SECRET), AT_S)
        with pytest.raises(WebhookError, match="no JSON object"):
            verify_webhook(body, headers, SECRET, now_s=AT_S)


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!!", "whsec_" + "QUJD", "whsec_" + base64.b64encode(bytes(65)).decode(), "a " * 11]
)
def test_what_is_no_secret_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as raised:
        signing_keys(secret)
    assert not secret.strip() or secret not in str(raised.value)


def test_the_id_is_always_the_same_has_no_full_stop_and_is_each_pipeline_s_own() -> None:
    first = webhook_id("shop", "shop.orders/0/7/0/drift.detected")
    assert first == webhook_id("shop", "shop.orders/0/7/0/drift.detected")
    assert first != webhook_id("shop2", "shop.orders/0/7/0/drift.detected")
    assert "." not in first


def test_a_secret_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOOK", f" {SECRET}\n")
    assert read_secret(Secret(env="HOOK")) == SECRET
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    assert read_secret(Secret(file=str(file))) == SECRET
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="open to others"):
        read_secret(Secret(file=str(file)))
    monkeypatch.delenv("HOOK")
    with pytest.raises(SettingsError, match="HOOK"):
        read_secret(Secret(env="HOOK"))
    with pytest.raises(SettingsError, match="cannot be read"):
        read_secret(Secret(file=str(tmp_path / "none")))
