"""A request as it is sent: what is taken, what is refused in words, and its JSON Schema."""

from __future__ import annotations

import json

import pytest

from stream_retrain.errors import RequestError
from stream_retrain.facts.sent import PARTITIONS_MAX, Sent, read_sent, sent_schema


def test_what_is_sent_is_read() -> None:
    told = {"pipeline": "p", "do": "promote", "version": "0-g1", "reason": "r", "token": "t", "at": 5.5, "partitions": [2, 0]}
    sent = read_sent(json.dumps(told).encode())
    assert (sent.pipeline, sent.do, sent.version, sent.reason, sent.token, sent.at) == ("p", "promote", "0-g1", "r", "t", 5.5)
    assert sent.named == [2, 0]
    assert read_sent(b'{"partition": 1}').named == [1]
    assert read_sent(b"{}") == Sent()
    assert Sent().named is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"rubbish", "it is no JSON object of these fields: pipeline, do, partition"),
        (b"\xff", "it is no JSON object"),
        (b"[]", "Expected `object`"),
        (b"[" * 100_000, "it is no JSON object"),
        (b'{"verson": "0-g1"}', "unknown field `verson`"),
        (b'{"partition": "1"}', "$.partition"),
        (b'{"partitions": []}', "length >= 1"),
        (json.dumps({"partitions": [0] * (PARTITIONS_MAX + 1)}).encode(), "length <= 2000"),
        (b'{"partition": 1, "partitions": [2]}', "give partition or partitions, not both"),
        (b'{"at": "2026-01-05"}', "$.at"),
        (b'{"token": 7}', "$.token"),
    ],
)
def test_what_is_none_is_refused(value: bytes, words: str) -> None:
    with pytest.raises(RequestError) as raised:
        read_sent(value)
    assert raised.value.problem == "invalid"
    assert words in str(raised.value)


def test_its_schema_has_every_field_and_allows_no_other() -> None:
    schema = sent_schema()
    assert list(schema["properties"]) == list(Sent.__struct_fields__)  # type: ignore[call-overload]
    assert schema["additionalProperties"] is False
    assert all(each["description"] for each in schema["properties"].values())  # type: ignore[attr-defined]
