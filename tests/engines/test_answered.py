"""How far a partition was answered, as its outputs say."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.answered import TAIL, answered_through
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, OUTPUT_KINDS, PREDICTIONS, OutputKind
from stream_retrain.settings import load_settings
from tests.conftest import Services

OUTPUTS = {
    PREDICTIONS: (json.dumps({"id": "e", "offset": 5, "prediction": True}).encode(), []),
    DECISIONS: (json.dumps({"specversion": "1.0", "data": {"offset": 8}}).encode(), []),
    DEAD_LETTERS: (b'{"id": 1, "data": 3}', [("sr_topic", b"events"), ("sr_offset", b"6")]),
}
SOURCE = "events"
OF_A_LABEL = [("sr_topic", b"labels"), ("sr_offset", b"900")]


@pytest.mark.services
def test_the_last_output_of_any_kind_counts_in_each_partition(services: Services) -> None:
    """A label alone has no prediction, and a drift that it shows is a decision."""
    settings, pipeline = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), services.name("answers")
    kinds: list[list[OutputKind]] = [[], [PREDICTIONS], [PREDICTIONS, DEAD_LETTERS], list(OUTPUT_KINDS), [DEAD_LETTERS]]
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})
    for kind, (value, headers) in OUTPUTS.items():
        create_topic(settings, f"{pipeline}.{kind}", len(kinds), {})
        for partition, given in enumerate(kinds):
            if kind in given:
                producer.produce(f"{pipeline}.{kind}", value, headers=headers, partition=partition)
        if kind == DEAD_LETTERS:
            producer.produce(f"{pipeline}.{kind}", b"{}", headers=OF_A_LABEL, partition=3)  # the relay's is of no offset of the source
    assert producer.flush(20) == 0
    found = answered_through(settings, pipeline, SOURCE, range(len(kinds)))
    assert [found.get(partition, 0) for partition in range(len(kinds))] == [0, 6, 7, 9, 7]
    assert answered_through(settings, pipeline, SOURCE, [2]) == {2: 7}


@pytest.mark.services
def test_an_answer_is_found_below_any_number_of_aborted_ones(services: Services) -> None:
    settings, pipeline = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), services.name("answers")
    for kind in OUTPUT_KINDS:
        create_topic(settings, f"{pipeline}.{kind}", 1, {})
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "transactional.id": pipeline})
    producer.init_transactions(20)
    for offset, commits in ((4, True), (5, False)):
        producer.begin_transaction()
        for _ in range(1 if commits else 2 * TAIL):
            producer.produce(f"{pipeline}.{PREDICTIONS}", json.dumps({"offset": offset}).encode(), partition=0)
        producer.flush(20)
        producer.commit_transaction(20) if commits else producer.abort_transaction(20)
    assert answered_through(settings, pipeline, SOURCE, [0]) == {0: 5}
