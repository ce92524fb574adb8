"""What the encoder writes can be told apart again, and what it did not write is nothing."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.facts.records import Rejected
from stream_retrain.facts.shard import SHARD_FACTS, ShardFact, TrainingFailed
from stream_retrain.facts.values import Predicted, ShardId
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.encoder import ADDED_BYTES_MAX, STAMP_BYTES_MAX, encode
from stream_retrain.lane.put import Found, Identity, Put, identity_of, put_of, refused_bytes
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from tests.facts.examples import EXAMPLES

SHARD = ShardId("flights", "flights.events", 3)
PUBLISHED = [kind for kind in SHARD_FACTS if kind.published]


def batch(*offsets: int) -> Batch:
    return Batch(Records.of(Record(offset, b"key", b"value", 0) for offset in offsets), [], [])


@given(st.text(max_size=30), st.integers(0, 2**62), st.text(max_size=10) | st.booleans() | st.floats(allow_nan=False))
def test_a_prediction_is_known_whatever_its_id_says(id_: str, offset: int, prediction: str | bool | float) -> None:
    [output] = encode(SHARD, batch(offset), [Predicted(id_, offset, 0.5, prediction, None, 1, "m-1")], [], 0)
    assert identity_of(put_of(output)) == Identity(PREDICTIONS, offset)


def test_an_id_that_looks_like_a_field_is_no_offset() -> None:
    [output] = encode(SHARD, batch(7), [Predicted('","offset":99,"x":"', 7, 0.5, '"offset":98', None, 1, '"offset":97')], [], 0)
    assert identity_of(put_of(output)).offset == 7


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.__name__)
def test_a_decision_is_known_by_offset_number_and_fact(kind: type[ShardFact]) -> None:
    fact = EXAMPLES[kind]
    [output] = encode(SHARD, batch(fact.offset), [], [fact], 0)
    assert identity_of(put_of(output)) == Identity(DECISIONS, fact.offset, 0, kind.kind)


def test_decisions_of_one_offset_have_numbers() -> None:
    facts = [EXAMPLES[kind] for kind in PUBLISHED if EXAMPLES[kind].offset == 10]
    outputs = encode(SHARD, batch(10), [], facts, 0)
    assert [identity_of(put_of(output)).number for output in outputs] == list(range(len(facts)))


def test_a_dead_letter_is_known_by_its_header() -> None:
    outputs = encode(SHARD, batch(3), [], [EXAMPLES[Rejected]], 0)
    [letter] = [put_of(output) for output in outputs if output[0] == DEAD_LETTERS]
    assert identity_of(letter) == Identity(DEAD_LETTERS, 3)
    assert dict(letter.headers)["sr_reason"] == b"schema"


@pytest.mark.parametrize(
    "put",
    [
        Put(PREDICTIONS, None, None),
        Put(PREDICTIONS, None, b'{"offset":-1}'),
        Put(PREDICTIONS, None, b'{"offset":"7"}'),
        Put(DECISIONS, None, b'{"id":"t/0/1"}'),
        Put(DECISIONS, None, b""),
        Put(DEAD_LETTERS, None, b"x"),
        Put(DEAD_LETTERS, None, b"x", (("sr_offset", b"7.5"),)),
    ],
)
def test_what_nobody_wrote_has_no_place(put: Put) -> None:
    assert identity_of(put).offset == -1
    assert Found.of(5, put).identity.offset == -1


def test_headers_are_as_they_are_read() -> None:
    assert put_of((DEAD_LETTERS, 0, b"k", b"v", [("a", "text"), ("b", b"bytes"), ("c", None)])).headers == (
        ("a", b"text"),
        ("b", b"bytes"),
        ("c", b""),
    )
    assert put_of((PREDICTIONS, 0, b"k", b"v", None)).headers == ()


@pytest.mark.parametrize(
    ("put", "size"),
    [
        (Put(PREDICTIONS, None, None, (("sr_refused", b"x"), ("sr_refused_bytes", b"17"))), 17),
        (Put(PREDICTIONS, None, b"v", (("sr_refused", b"x"), ("sr_refused_bytes", b"17"))), None),
        (Put(PREDICTIONS, None, None, (("sr_refused_bytes", b"17"),)), None),
        (Put(PREDICTIONS, None, None, (("sr_refused", b"x"), ("sr_refused_bytes", b"many"))), None),
        (Put(PREDICTIONS, None, None), None),
    ],
)
def test_a_stub_says_what_it_stands_for(put: Put, size: int | None) -> None:
    assert refused_bytes(put) == size


def test_every_decision_has_the_stamp_and_nothing_else_has() -> None:
    stamp: list[tuple[str, str | bytes | None]] = [("sr_release", b"1.2"), ("sr_river", b"0.9")]
    facts = [EXAMPLES[kind] for kind in PUBLISHED if EXAMPLES[kind].offset == 10]
    rejected = Rejected(offset=10, reason="decode", detail="no")
    outputs = encode(SHARD, batch(10), [Predicted("a", 10, 0.5, True, 0.5, 0, "m-0")], [*facts, rejected], 0, stamp=stamp)
    assert {kind: headers == stamp for kind, *_, headers in outputs} == {PREDICTIONS: False, DECISIONS: True, DEAD_LETTERS: False}
    assert sum(headers == stamp for *_, headers in outputs) == len(facts)


def test_there_is_room_for_a_stamp_whether_there_is_one_or_not() -> None:
    """So that a decision has the same bytes for whoever encodes it."""
    fact = EXAMPLES[TrainingFailed]
    stamp: list[tuple[str, str | bytes | None]] = [("sr_parts", b"x" * (STAMP_BYTES_MAX - 8))]
    for length in (0, 500, 1_000, 1_300, 1_500, 5_000):
        long = dataclasses.replace(fact, error="\x01" * length)
        [(*_, alone, _)] = encode(SHARD, batch(fact.offset), [], [long], 0)
        [(*_, stamped, headers)] = encode(SHARD, batch(fact.offset), [], [long], 0, stamp=stamp)
        assert alone == stamped
        assert headers is stamp
        assert len(stamped or b"") + STAMP_BYTES_MAX <= ADDED_BYTES_MAX
        assert json.loads(stamped or b"")["data"]["training"] == 5
