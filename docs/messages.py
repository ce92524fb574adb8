"""The page docs/messages.md, made from the types and by the encoder of the code: `make docs` writes it, a test compares it."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from river import linear_model

from stream_retrain import Pipeline, Schema, Shard
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.dead_letter import HEADERS_BYTES_MAX, HEADERS_MAX, OWN_HEADERS
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.messages import ENVELOPE, OF_PREDICTION, PUBLISHED, decision_type, field_of
from stream_retrain.lane.step import DEAD_LETTERS, PREDICTIONS, Output
from tests.facts.examples import EXAMPLES

PAGE: Final = Path(__file__).parent / "messages.md"
SHARD: Final = ShardId("orders", "shop.orders", 0)
CONSUMER: Final = """\
import json

from confluent_kafka import Consumer

config = {"bootstrap.servers": "127.0.0.1:9092", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
consumer = Consumer(config | {"group.id": "readers-of-orders"})
consumer.subscribe(["orders.predictions"])
while True:
    message = consumer.poll(1.0)
    if message is not None and message.error() is None:
        prediction = json.loads(message.value())
        print(prediction["id"], prediction["prediction"], prediction["probability"], flush=True)
"""
CONSOLE: Final = """\
kafka-console-consumer.sh --bootstrap-server 127.0.0.1:9092 --topic orders.dead_letters --from-beginning \\
    --isolation-level read_committed --formatter-property print.key=true --formatter-property print.headers=true
"""
REASONS: Final[dict[str, str]] = {
    "empty": "the record has no value, as a tombstone has none",
    "too_large": "key and value together are more than the setting `record_bytes_max`; the letter has no value",
    "decode": "the value is not JSON, or not of the pipeline's format",
    "schema": "a field is missing or does not fit; `sr_field` names it",
    "duplicate": "a question with its id waits already",
    "model": "the model raised on it",
    "correction": 'a second answer with another label, where `Labels(corrections="dead_letter")` says so',
    "signature": "a request of `orders.requests` that is not signed by one of its keys",
    "request": "a request of `orders.requests` that is too old, of another pipeline, or asks what this one cannot do",
    "no_question": "a label of a topic of its own whose question never came, or had no place; `sr_topic` is that topic",
}
CARRIED: Final = """\
A prediction, and the decisions at its event, have those headers of the record that `Pipeline(carry_headers=...)` names: `traceparent` and
`tracestate`, unless told otherwise.
"""
OF_HEADERS: Final = """\
Of the record's own headers at most {count}, with {size} bytes of names and values, are kept; the others are counted. No header of a letter
is made by a clock: its times are those of the record.
"""
OF_REPLAYS: Final = """\
An output that its topic does not take for its size goes out without a value, with the headers `sr_refused` and `sr_refused_bytes`.

After a fix, `stream-retrain dead-letters replay shop.py:orders` sends letters back to the source (labels to the topic they came from),
each exactly once; what was sent is noted in `orders.dead_letters_replayed`. They come as new records, at the end of their partition, with
the timestamp they had and two headers more: `sr_replayed` names the letter, `sr_replays` counts. One that is refused again is a dead
letter again, with both of them. A share of refused records from which on a partition [pauses](runbooks/StreamRetrainIntakePaused.md) can
be declared: `Pipeline(rejects_share_max=0.5)`. There is none by default: what is refused is kept and can be sent back, and the good
records beside it are predicted.
"""
HEAD: Final = """\
# Messages

<!-- made by `make docs` from the types and by the encoder of stream_retrain/lane -->

What a pipeline named `orders` over topic `shop.orders` puts out, byte for byte, and how to read it.

| topic | what | value |
|---|---|---|
| `orders.predictions` | one for each question, in order | [JSON](#prediction) |
| `orders.decisions` | what was detected and decided: drifts, resets, trainings, duels | [CloudEvents 1.0, structured JSON](#decision) |
| `orders.dead_letters` | one for each record that was refused | [the record as it came](#dead-letter) |

An output stands in the partition of the record that caused it, under that record's key; so the three topics have the partitions of the
source. Offsets differ: each output names that of its record.

**Read them with `isolation.level=read_committed`.** Outputs and the offsets of their records are committed in one Kafka transaction. A
worker that dies may leave outputs of a transaction that was aborted; its successor sends them again. A reader of committed records sees
each output exactly once. One that reads everything sees some twice: `read_uncommitted` is the default of Kafka's Java client and of its
console tools; that of librdkafka, and so of confluent-kafka, is `read_committed`.

Bytes are a function of the log: no clock and no randomness is in them, so a [replay](verifying.md) and a [backtest](backtesting.md) make
the same ones. Texts are UTF-8. Later releases may add fields: pass over those you do not know.

## Read them
In Python:
```python
{consumer}```
With Kafka's console tools (before Kafka 4.2, `--property` in place of `--formatter-property`):
```bash
{console}```
Without a client of your own:
```bash
stream-retrain topics peek shop.py:orders -n 20                   # the last predictions, decoded, one line each
stream-retrain topics peek shop.py:orders --kind decisions --follow
stream-retrain topics peek orders.dead_letters --from 2026-01-05T00:00Z --json
stream-retrain asyncapi shop.py:orders --out orders.asyncapi.json  # AsyncAPI 3.0, with a JSON Schema of every message
```
`stream-retrain topics create shop.py:orders --partitions 3` makes the topics before any worker runs.
"""


def page() -> str:
    """The page as it should be."""
    parts = [HEAD.format(consumer=CONSUMER, console=CONSOLE), *_prediction(), *_decision(), *_dead_letter()]
    return "\n".join(parts)


def outputs(pipeline: Pipeline, records: list[Record], record_bytes_max: int = 1_000) -> list[Output]:
    """What a lane of the pipeline puts out for these records."""
    step = Lane(SHARD, Shard(pipeline), EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)).take(Records.of(records))
    return step.outputs if step is not None else []


def orders(**fields: Any) -> Pipeline:
    """The pipeline of the examples."""
    schema = Schema(id="order_id", time="placed_at", label="returned", features={"price": float, "items": int})
    model = linear_model.LogisticRegression()
    return Pipeline(name="orders", task="binary", source="shop.orders", schema=schema, model=model, **fields)


def _question(offset: int, headers: list[tuple[str, bytes | None]] | None = None, **changed: Any) -> Record:
    row = {"order_id": f"o{offset}", "placed_at": "2026-01-05T10:00:00Z", "price": 20.0, "items": 2} | changed
    return Record(offset, b"c7", json.dumps(row).encode(), 1_767_607_200_500, headers)


def _prediction() -> Iterator[str]:
    yield "## Prediction"
    yield "Of a question; asked for nothing more:"
    yield from _fence(_of_kind(outputs(orders(), [_question(1717)]), PREDICTIONS), orders().model_digest())
    yield "With `Pipeline(probabilities=True, threshold=0.3)`: the probability of each class, and `prediction` is true from 0.3 on:"
    asked = orders(probabilities=True, threshold=0.3)
    yield from _fence(_of_kind(outputs(asked, [_question(1717)]), PREDICTIONS), asked.model_digest())
    yield from _table("field", OF_PREDICTION)
    yield CARRIED
    yield "An event without a label is predicted once, when it comes; its answer has no prediction of its own.\n"


def _decision() -> Iterator[str]:
    yield "## Decision"
    yield "Attributes of every decision:\n"
    yield from _table("attribute", ENVELOPE)
    yield "The headers of its record say what made it: `sr_release`, `sr_river`, `sr_python`, `sr_numpy`, `sr_arithmetic` (versions),"
    yield "`sr_pipeline_digest`, `sr_parts`, `sr_sources` (the user's own code) and `sr_record_bytes_max`; `verify` compares them.\n"
    for kind in PUBLISHED:
        yield f"### {kind.kind}"
        yield f"{_first_sentence(kind)}\n"
        [(_, value)] = encode_decisions(SHARD, [EXAMPLES[kind]])
        yield from _fence(value)
        yield from _table("data", {field.name: field_of(kind, field.name) for field in dataclasses.fields(kind)})
        assert json.loads(value)["type"] == decision_type(kind)


def _dead_letter() -> Iterator[str]:
    refused = _question(1718, [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")], price="free")
    [letter] = [output for output in outputs(orders(), [refused]) if output[0] == DEAD_LETTERS]
    yield "## Dead letter"
    yield "The record as it came: key, value and headers. Its value here:"
    yield from _fence(letter[3] or b"")
    yield "and its headers, the record's own first:"
    lines = [f"{name}: {text.decode() if isinstance(text, bytes) else text}" for name, text in letter[4] or ()]
    yield from _fence("\n".join(lines).encode(), language="text")
    yield from _table("header", OWN_HEADERS)
    yield OF_HEADERS.format(count=HEADERS_MAX, size=f"{HEADERS_BYTES_MAX:,}")
    yield from _table("reason", {name: REASONS[name] for name in typing.get_args(RejectReason)})
    yield OF_REPLAYS


def _of_kind(made: list[Output], kind: str) -> bytes:
    [value] = [output[3] for output in made if output[0] == kind]
    return value or b""


def _fence(value: bytes, digest: str = "", language: str = "json") -> Iterator[str]:
    """The bytes as a block; the digest of a model is another one with each release of River, so it is made up."""
    yield f"```{language}"
    yield value.decode().replace(digest, "5f3c9a1e") if digest else value.decode()
    yield "```"


def _table(first: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f"| {first} | meaning |"
    yield "|---|---|"
    yield from (f"| `{name}` | {words} |" for name, words in rows.items())
    yield ""


def _first_sentence(kind: type) -> str:
    return re.sub(r"\s+", " ", (kind.__doc__ or "").split("\n\n")[0]).strip()


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
