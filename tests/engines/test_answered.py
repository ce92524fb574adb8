"""How far a partition was answered, as its outputs say."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.answered import answered_through
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, OUTPUT_KINDS, PREDICTIONS
from stream_retrain.settings import load_settings
from tests.conftest import Services

OUTPUTS = {
    PREDICTIONS: (json.dumps({"id": "e", "offset": 5, "prediction": True}).encode(), []),
    DECISIONS: (json.dumps({"specversion": "1.0", "data": {"offset": 8}}).encode(), []),
    DEAD_LETTERS: (b'{"id": 1, "data": 3}', [("sr_offset", b"6")]),
}


@pytest.mark.services
@pytest.mark.parametrize(("kinds", "through"), [([], 0), ([PREDICTIONS], 6), ([PREDICTIONS, DEAD_LETTERS], 7), (list(OUTPUT_KINDS), 9)])
def test_the_last_output_of_any_kind_counts(services: Services, kinds: list[str], through: int) -> None:
    """A label alone has no prediction, and a drift that it shows is a decision."""
    settings, pipeline = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), services.name("answers")
    producer = Producer({"bootstrap.servers": services.bootstrap_servers})
    for kind, (value, headers) in OUTPUTS.items():
        create_topic(settings, f"{pipeline}.{kind}", 1, {})
        if kind in kinds:
            producer.produce(f"{pipeline}.{kind}", value, headers=headers, partition=0)
    assert producer.flush(20) == 0
    assert answered_through(settings, pipeline, 0) == through
