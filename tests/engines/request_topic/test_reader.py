"""A record of the topic of requests as a request: tables of records, and what is said of each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.signed_request import SIGNATURE, sign
from stream_retrain.engines.kafka.request_topic.reader import RequestReader
from stream_retrain.errors import EventError
from stream_retrain.facts.request import TOKEN, Asked
from stream_retrain.facts.sent import SENT_BYTES_MAX
from stream_retrain.lane.batch import Record

KEY = Key(id="airflow", secret=b"0123456789abcdef")
NOW_S = 1_000_000.0
SIGNED = RequestReader("p", "p.requests", Keyring(keys=(KEY,)), 3_600.0)
UNSIGNED = RequestReader("p", "p.requests", None, 3_600.0)
OF_SIGNED = {"pipeline": "p", "at": NOW_S - 5}


def record(value: bytes | None, *, key: Key | None = None, offset: int = 7, at_s: float = NOW_S) -> Record:
    headers = [(SIGNATURE, sign(value or b"", key).encode())] if key is not None else None
    return Record(offset, None, value, int(at_s * 1000), headers)  # type: ignore[arg-type] # as the client has them


def signed(**fields: Any) -> tuple[Asked, list[int] | None]:
    return SIGNED.read(0, record(json.dumps(OF_SIGNED | fields).encode(), key=KEY), NOW_S)


def test_a_signed_one_says_who_asks_and_its_copy_is_the_same_request() -> None:
    asked, partitions = signed(do="promote", version="1-g2", reason="better", partition=1)
    assert (asked.do, asked.version, asked.reason, asked.by, partitions) == ("promote", "1-g2", "better", "topic:airflow", [1])
    assert TOKEN.fullmatch(asked.token)
    value = json.dumps(OF_SIGNED | {"do": "reset"}).encode()
    first, copy = (SIGNED.read(0, record(value, key=KEY, offset=offset), NOW_S)[0] for offset in (7, 8))
    assert first == copy
    later = json.dumps(OF_SIGNED | {"do": "reset", "at": NOW_S}).encode()
    assert SIGNED.read(0, record(later, key=KEY), NOW_S)[0].token != first.token
    assert signed(do="reset", token="mine")[0] == Asked(token="mine", do="reset", reason="asked in topic p.requests", by="topic:airflow")


def test_an_unsigned_one_has_the_token_of_its_place() -> None:
    asked, partitions = UNSIGNED.read(0, record(b'{"do": "rollback"}'), NOW_S)
    assert (asked.token, asked.by, partitions) == ("p.requests-0-7-1000000000", "topic:unsigned", None)
    assert UNSIGNED.read(0, record(b'{"do": "rollback"}', key=KEY), NOW_S)[0] == asked, "a signature is not looked at"
    others = [record(b'{"do": "rollback"}', offset=8), record(b'{"do": "rollback"}', at_s=NOW_S - 1)]
    assert asked.token not in {UNSIGNED.read(0, other, NOW_S)[0].token for other in others}, "also of a topic that was made anew"
    long = RequestReader("p", "p" * 200, None, 60.0).read(0, record(b'{"do": "reset"}'), NOW_S)[0]
    assert TOKEN.fullmatch(long.token)


@pytest.mark.parametrize(
    ("found", "reason", "field", "words"),
    [
        (record(None), "empty", None, "no value"),
        (record(b" " * (SENT_BYTES_MAX + 1), key=KEY), "too_large", None, "16,384 bytes at most, and this 16,385"),
        (record(b'{"do": "reset"}'), "signature", SIGNATURE, "there is none"),
        (record(b"rubbish"), "signature", SIGNATURE, "there is none"),
        (record(b"rubbish", key=KEY), "decode", None, "it is no JSON object"),
        (record(b'{"do": "reset", "verson": 1}', key=KEY), "schema", None, "unknown field `verson`"),
        (record(b'{"do": "reset", "at": 999999}', key=KEY), "request", "pipeline", "names its pipeline, and this none"),
        (
            record(b'{"do": "reset", "at": 999999, "pipeline": "q"}', key=KEY),
            "request",
            "pipeline",
            "for pipeline 'q'; this topic is of 'p'",
        ),
        (record(b'{"pipeline": "p", "at": 999999}', key=KEY), "request", "do", "'' is no request; ask for one of retrain, reset"),
        (record(b'{"pipeline": "p", "do": "destroy", "at": 999999}', key=KEY), "request", "do", "'destroy' is no request"),
        (record(b'{"pipeline": "p", "do": "reset"}', key=KEY), "request", "at", "says when it was made"),
        (
            record(b'{"pipeline": "p", "do": "reset", "at": 996399}', key=KEY),
            "request",
            "at",
            "3,601 s old, and requests_age_max_s is 3600",
        ),
        (record(b'{"pipeline": "p", "do": "reset", "at": 1000301}', key=KEY), "request", "at", "301 s from now"),
    ],
)
def test_what_is_none_is_refused_with_what_to_change(found: Record, reason: str, field: str | None, words: str) -> None:
    with pytest.raises(EventError) as raised:
        SIGNED.read(0, found, NOW_S)
    assert (raised.value.reason, raised.value.field) == (reason, field)
    assert words in str(raised.value)


def test_an_unsigned_one_is_as_old_as_its_record_and_may_leave_out_its_pipeline() -> None:
    for at_s, words in ((NOW_S - 3_601, "3,601 s old"), (NOW_S + 400, "from now")):
        with pytest.raises(EventError, match=words):
            UNSIGNED.read(0, record(b'{"do": "reset"}', at_s=at_s), NOW_S)
    with pytest.raises(EventError, match="for pipeline 'q'"):
        UNSIGNED.read(0, record(b'{"do": "reset", "pipeline": "q"}'), NOW_S)
