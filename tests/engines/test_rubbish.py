"""A topic with 5 % rubbish of twenty kinds: every good event is learned, and every bad one is a dead letter that says why."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import read_topic, worker

pytestmark = pytest.mark.services

PIPELINE = """
from river import linear_model, preprocessing
from stream_retrain import Field, Label, Pipeline, Schema

schema = Schema(
    id="meta.id", time="meta.at", time_unit="ms", unknown="refuse", time_features=("hour",),
    label=Label("outcome", positive="sold", negative="kept"),
    features={{
        "amount": Field(float, "txn.amount", text=True, minimum=0, unit="EUR"),
        "items.0.price": float,
        "items": Field(int, "txn.items", allowed=(1, 2, 3)),
        "new": Field(bool, "txn.new", text=True, default=False),
    }},
)
pipeline = Pipeline(name="{name}", task="binary", source="{source}", schema=schema,
                    model=preprocessing.StandardScaler() | linear_model.LogisticRegression())
"""
GOOD: Final = 1_900
BAD_OF_EACH: Final = 5
AT_MS: Final = 1_760_000_000_000
TRACE: Final = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def row(number: int, **changes: Any) -> dict[str, Any]:
    made = {
        "meta": {"id": number, "at": AT_MS + 1000 * number},
        "txn": {"amount": f"{number % 90}.5" if number % 2 else number % 90, "items": number % 3 + 1},
        "items": [{"price": float(number % 7)}],
        "outcome": "sold" if number % 7 > 3 else "kept",
    }
    return made | changes


def written(number: int, **changes: Any) -> bytes:
    return json.dumps(row(number, **changes)).encode()


RUBBISH: Final[dict[str, tuple[bytes | None, str, str]]] = {
    "a tombstone": (None, "empty", ""),
    "no bytes": (b"", "empty", ""),
    "too large": (b'{"meta": "' + b"x" * 30_000 + b'"}', "too_large", ""),
    "no JSON": (b"<order/>", "decode", ""),
    "cut off": (written(1)[:-2], "decode", ""),
    "another encoding": (written(1).decode().encode("utf-16"), "decode", ""),
    "text that is no UTF-8": (written(1, outcome="@").replace(b"@", b"\xff"), "decode", ""),
    "brackets without an end": (b"[" * 10_000, "schema", ""),
    "NaN": (written(1, items=[{"price": float("nan")}]), "decode", ""),
    "beyond a double": (written(1).replace(b'"price": 1.0', b'"price": 1e999'), "schema", "items.0.price"),
    "a list of events": (json.dumps([row(1)]).encode(), "schema", ""),
    "an object in place of a number": (written(1, items=[{"price": {}}]), "schema", "items.0.price"),
    "a price that is missing": (written(1, items=[]), "schema", "items.0.price"),
    "no number in the text": (written(1, txn={"amount": "1,5", "items": 1}), "schema", "txn.amount"),
    "below the minimum": (written(1, txn={"amount": "-1", "items": 1}), "schema", "txn.amount"),
    "a value that is not allowed": (written(1, txn={"amount": 1, "items": 4}), "schema", "txn.items"),
    "no truth": (written(1, txn={"amount": 1, "items": 1, "new": "perhaps"}), "schema", "txn.new"),
    "another label": (written(1, outcome="lost"), "schema", "outcome"),
    "no id": (written(1, meta={"at": AT_MS}), "schema", "meta.id"),
    "a time in seconds of the year 58,000": (written(1, meta={"id": 1, "at": AT_MS * 1000}), "schema", "meta.at"),
    "a field that nobody knows": (written(1, coupon="x"), "schema", "coupon"),
}


def test_every_good_event_is_learned_and_every_bad_one_is_a_dead_letter(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE.format(name=services.name("orders"), source=services.name("orders")))
    pipeline = load_pipeline(str(file))
    create_topic(load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), pipeline.source, 1, {})
    coming: list[tuple[str | int, bytes | None]] = [(number, written(number)) for number in range(GOOD)]
    coming += [(kind, value) for kind, (value, _, _) in RUBBISH.items() for _ in range(BAD_OF_EACH)]
    random.Random(7).shuffle(coming)
    assert 0.05 <= len(RUBBISH) * BAD_OF_EACH / len(coming) < 0.06
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})
    for number, (_, value) in enumerate(coming):
        producer.produce(pipeline.source, value, headers=[("traceparent", TRACE), ("other", b"x")] if number % 2 else None)
    assert producer.flush(30) == 0
    with worker(services, file, trainer="off", record_bytes_max=20_000) as running:
        running.wait_for(lambda: running.records() == len(coming))
        shard = next(iter(running.status()["shards"].values()))
        assert (shard["learned"], shard["rejected"]) == (GOOD, len(coming) - GOOD)
        running.stop()
    wanted = {offset: kind for offset, (kind, _) in enumerate(coming)}
    predictions = read_topic(services, f"{pipeline.name}.predictions")[0]
    found = [json.loads(each.value or b"") for each in predictions]
    assert {each["offset"]: each["id"] for each in found} == {offset: kind for offset, kind in wanted.items() if isinstance(kind, int)}
    assert [each.headers for each in predictions] == [{"traceparent": TRACE} if each["offset"] % 2 else {} for each in found]
    letters = read_topic(services, f"{pipeline.name}.dead_letters")[0]
    told = {int(each.headers["sr_offset"]): (each.headers["sr_reason"].decode(), each.headers["sr_field"].decode()) for each in letters}
    assert told == {offset: RUBBISH[kind][1:] for offset, kind in wanted.items() if isinstance(kind, str)}
    assert "Traceback" not in running.log
