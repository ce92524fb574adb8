"""Secrets in names, addresses and text."""

from __future__ import annotations

import json
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.redaction import KNOWN_CHARS_MIN, MASK, Redactor, is_secret_name, url_redacted

SECRET = 'it\'s; a "passé"/\\@:secret'


@pytest.mark.parametrize(
    "name", ["sasl.password", "ssl.key.pem", "http_token", "STREAM_RETRAIN_API_KEY", "sasl.oauthbearer.config", "signing_key", "PASSWD"]
)
def test_a_name_may_sound_like_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert Redactor().value(name, "x") == MASK
    assert Redactor().value("settings", {name: "x", "level": "info"}) == {name: MASK, "level": "info"}


@pytest.mark.parametrize("name", ["partition", "topic", "kind", "cause", "event", "instance"])
def test_the_names_of_our_fields_do_not(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Error 111 connecting to redis://u:p:w@h:1/0.", "Error 111 connecting to redis://u:***@h:1/0."),
        ("two: redis://:pw@h/0, rediss://pw@h2", "two: redis://:***@h/0, rediss://***@h2"),
        ("at https://h/x?token=abc&y=1", "at https://h/x?token=***&y=1"),
        ("sasl.password=abc def", "sasl.password=*** def"),
        ("{'sasl.password': 'a b', 'n': 1}", "{'sasl.password': ***, 'n': 1}"),
        ('{"token": "a\\"b", "n": 1}', '{"token": ***, "n": 1}'),
        ("Authorization: Bearer abcdef.ghi", "Authorization: Bearer ***"),
        ("-----BEGIN PRIVATE KEY-----\nMII\n-----END PRIVATE KEY-----\nand more", "***\nand more"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "shop/shop.token.events/0 offset 17: ADWIN detected that error went up",
        "ssl.ca.location: /etc/ca.pem: no such file",
        "the token of the training is gone",
        "training 3 of shop/shop.orders/0: 4,300 rows in 0.1 s",
        "serving http://127.0.0.1:9464: /metrics /healthz /readyz /status",
        "SASL authentication error: Authentication failed",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert Redactor(["hunter22"]).text(text) == text


@pytest.mark.parametrize(
    "written", [SECRET, urllib.parse.quote(SECRET, safe=""), urllib.parse.quote_plus(SECRET), repr(SECRET), json.dumps(SECRET)]
)
def test_a_known_secret_is_masked_however_it_is_written(written: str) -> None:
    shown = Redactor([SECRET]).text(f"before {written} after")
    assert shown.replace("'", "").replace('"', "") == f"before {MASK} after"


def test_a_secret_within_another_leaves_nothing_of_the_longer_one() -> None:
    assert Redactor(["hunter", "hunter22"]).text("hunter22") == MASK


def test_lists_and_objects_are_looked_into() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd hunter22"

    redactor = Redactor(["hunter22"])
    assert redactor.value("x", ["a", ("hunter22", 1), {"b": Odd()}]) == ["a", [MASK, 1], {"b": f"odd {MASK}"}]
    assert redactor.value("x", [True, None, 1.5]) == [True, None, 1.5]


def test_a_password_of_one_letter_does_not_eat_the_text() -> None:
    assert Redactor(["a"]).text("a b") == "a b"
    assert url_redacted("redis://:a@h/0") == "redis://:***@h/0"


@given(st.text(min_size=KNOWN_CHARS_MIN), st.text(), st.text())
def test_no_known_secret_is_left_anywhere(secret: str, before: str, after: str) -> None:
    shown = Redactor([secret]).text(before + secret + after)
    assert secret not in shown.replace(MASK, "\0") or MASK in secret or secret in MASK
