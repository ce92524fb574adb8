"""A record of the decisions topic is read as what was written; anything else is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.facts.occasions import OCCASIONS
from stream_retrain.facts.shard import SHARD_FACTS, ShardFact
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.decision import read_decision
from stream_retrain.lane.decision_examples import EXTENSION, example_decisions, example_fact
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.messages import PUBLISHED
from tests.facts.examples import EXAMPLES

SHARD = ShardId("shop", "shop.orders/eu", 3)


@pytest.mark.parametrize("kind", PUBLISHED, ids=[kind.kind for kind in PUBLISHED])
def test_what_the_encoder_wrote_is_read(kind: type[ShardFact]) -> None:
    fact = EXAMPLES[kind]
    [(_, value)] = encode_decisions(SHARD, [fact])
    found = read_decision(value)
    assert found is not None
    assert (found.kind, found.pipeline, found.topic, found.partition) == (kind.kind, "shop", "shop.orders/eu", 3)
    assert (found.offset, found.text) == (fact.offset, fact.sentence)
    assert found.event == json.loads(value)
    assert found.id == found.event["id"]


def test_a_kind_that_is_newer_than_this_release_is_taken_as_it_is() -> None:
    [(_, value)] = encode_decisions(SHARD, [EXAMPLES[PUBLISHED[1]]])
    newer = json.loads(value) | {"type": "io.streamretrain.model.cloned.v1"}
    found = read_decision(json.dumps(newer).encode())
    assert found is not None
    assert (found.kind, found.text) == ("model.cloned", "model.cloned")


@pytest.mark.parametrize(
    "change",
    [
        {"type": "com.example.order"},
        {"source": "/elsewhere"},
        {"subject": "no partition"},
        {"subject": "topic/-1"},
        {"subject": "topic/99999999999"},
        {"data": {"offset": "7"}},
        {"data": None},
        {"id": 7},
    ],
)
def test_what_is_no_decision_is_none(change: dict[str, object]) -> None:
    [(_, value)] = encode_decisions(SHARD, [EXAMPLES[PUBLISHED[1]]])
    assert read_decision(json.dumps(json.loads(value) | change).encode()) is None


@given(st.none() | st.binary(max_size=60) | st.from_regex(r"[\[{\"]{0,3000}", fullmatch=True).map(str.encode))
def test_bytes_of_any_kind_raise_nothing(value: bytes | None) -> None:
    assert read_decision(value) is None


def test_there_is_an_example_of_each_kind_and_of_each_value_that_the_table_tells_apart() -> None:
    found = [read_decision(value) for value in example_decisions(SHARD)]
    assert {each.kind for each in found if each} == {kind.kind for kind in SHARD_FACTS if kind.published}
    assert all(each is not None and each.event[EXTENSION] is True for each in found)
    kinds = {kind.kind for kind in PUBLISHED}
    for occasion, rows in OCCASIONS.items():
        for row in rows:
            if row.kind in kinds:
                assert any(each is not None and row.holds(each.kind, each.data) for each in found), (occasion, row)


@pytest.mark.parametrize("kind", SHARD_FACTS, ids=[kind.kind for kind in SHARD_FACTS])
def test_every_type_of_fact_has_an_example_that_can_be_told(kind: type[ShardFact]) -> None:
    assert isinstance(example_fact(kind).sentence, str)
