"""Facts to records: predictions, decisions and dead letters, as other programs read them.

- A prediction is one JSON object: `{"id", "offset", "time_s", "prediction", "probability", "generation", "model"}`, with `probabilities`
  where the pipeline asks for them; `offset` is that of the question in the source partition, `time_s` its event time, `generation` the
  number of the model that made it and `model` its version.
- A decision is a CloudEvent (1.0, structured JSON); its `id` is made of pipeline, partition, offset and kind, so that the same
  decision has the same id however often it is sent. The headers of its record say by what it was made (`Stamp`).
- A dead letter is the record as it came, with its origin and the reason in the headers (`lane.dead_letter`).
- Making outputs is total (law 10): texts of input and of foreign code, such as what a model raised, are made UTF-8 and cut, so that no
  output is more than 10,000 bytes larger than `record_bytes_max`, by which key and value of the record were judged; an event time that no
  calendar has is the nearest that one has.

- Predictions and decisions have those headers of their record that the pipeline carries (`Pipeline.carry_headers`), as far as there is
  room: so a trace goes on through them.

An output stands in the partition of the record that caused it, under that record's key. Bytes are a function of the fact: no clock and
no randomness, so that two runs over one log give equal topics.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final, TypeAlias

import msgspec

from stream_retrain.facts.shard import Rejected, ShardFact, ShardRestored
from stream_retrain.facts.telling import TEXT_BYTES_MAX, cut
from stream_retrain.facts.values import Predicted, ShardId
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.dead_letter import dead_letter
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS, Output

__all__ = ["Stamp", "carried", "encode", "encode_decided", "encode_decisions", "encode_nothing", "encode_predictions"]

Stamp: TypeAlias = "list[tuple[str, str | bytes | None]]"
"""The headers of every decision of a lane: release, pipeline, versions (`codec.stamp`)."""

ADDED_BYTES_MAX: Final = 10_000
"""How much larger than its record an output may be: its own fields, or a dead letter's headers."""
STAMP_BYTES_MAX: Final = 2_000
"""Of these, what is kept free for the headers of a decision, whether it has any or not."""
CARRIED_BYTES_MAX: Final = 1_000
"""Of these, what is kept free for the headers that are carried; those that find no room are left out."""
SHORT_BYTES: Final = 100
ITEMS_MAX: Final = 20
# Of the years 1 to 9999, which RFC 3339 can write; an event time may be any finite number.
TIME_MIN_S: Final = -62_135_596_800.0
TIME_MAX_S: Final = 253_402_300_799.0


_encode = msgspec.json.Encoder().encode


def encode(
    shard: ShardId,
    batch: Batch,
    predicted: list[Predicted],
    facts: list[ShardFact],
    live_from: int,
    *,
    stamp: Stamp | None = None,
    carry: Collection[str] = (),
) -> list[Output]:
    """The outputs of a batch, without those of offsets below `live_from`: predictions, decisions, dead letters, each in order of offset.

    `stamp` are the headers of decisions; `carry` names those of a record that its predictions and decisions have too.
    """
    records, partition = batch.records.since(live_from), shard.partition
    if len(records) != len(batch.records):
        predicted = [fact for fact in predicted if fact.offset >= live_from]
        facts = [fact for fact in facts if fact.offset >= live_from]
    values, carries = encode_predictions(predicted), bool(carry) and any(records.headers)
    outputs: list[Output]
    if carries:
        asked = map(records.at, [fact.offset for fact in predicted])
        outputs = [(PREDICTIONS, partition, each.key, value, carried(each, carry)) for each, value in zip(asked, values, strict=True)]
    else:
        keys = records.keys if len(predicted) == len(records) else _keys_of(predicted, records)
        outputs = [(PREDICTIONS, partition, key, value, None) for key, value in zip(keys, values, strict=True)]
    if not facts:
        return outputs
    for offset, value in encode_decisions(shard, facts):
        record = records.at(offset)
        more = carried(record, carry) if carries else None
        outputs.append((DECISIONS, partition, record.key, value, [*(stamp or ()), *more] if more else stamp))
    for fact in facts:
        if isinstance(fact, Rejected):
            letter = dead_letter(shard, records.at(fact.offset), fact)
            outputs.append((DEAD_LETTERS, partition, letter.key, letter.value, letter.headers))
    return outputs


def encode_decided(shard: ShardId, batch: Batch, predicted: list[Predicted], facts: list[ShardFact], live_from: int) -> list[Output]:  # noqa: ARG001
    """The decisions of a batch and no other outputs, for a lane that is live from its beginning."""
    if not facts:
        return []
    keys, decided = batch.records, encode_decisions(shard, facts)
    return [(DECISIONS, shard.partition, keys.at(offset).key, value, None) for offset, value in decided]


def encode_nothing(shard: ShardId, batch: Batch, predicted: list[Predicted], facts: list[ShardFact], live_from: int) -> list[Output]:  # noqa: ARG001
    """No outputs: for those who read the steps only."""
    return []


def encode_predictions(predicted: Iterable[Predicted]) -> list[bytes]:
    """The JSON of each prediction."""
    return list(map(_encode, predicted))


def encode_decisions(shard: ShardId, facts: Iterable[ShardFact]) -> Iterator[tuple[int, bytes]]:
    """The offset and CloudEvent of each fact that is published; the others are passed over."""
    published = [fact for fact in facts if fact.published]
    for offset, group in itertools.groupby(published, key=lambda fact: fact.offset):
        number = 0
        for fact in group:
            yield offset, _encode_decision(shard, fact, number)
            number += not isinstance(fact, ShardRestored)  # so that the others have the same id, whether or not there was a restore


def carried(record: Record, names: Collection[str]) -> Stamp | None:
    """The headers of a record that have these names, while there is room; None where there are none."""
    kept: Stamp = []
    room = CARRIED_BYTES_MAX
    for name, value in record.headers or ():
        if name in names and (size := len(name) + len(value or b"")) <= room:
            kept.append((name, value))
            room -= size
    return kept or None


def _keys_of(predicted: list[Predicted], records: Records) -> Iterator[bytes | None]:
    """The keys of the questions among records; both are in order of offset, so one walk finds them all."""
    rows = zip(records.offsets, records.keys, strict=True)
    for fact in predicted:
        yield next(key for offset, key in rows if offset == fact.offset)


def _encode_decision(shard: ShardId, fact: Any, number: int) -> bytes:
    """The CloudEvent of a fact; one that would be too large has its texts and lists cut shorter."""
    for text_bytes_max, items_max in ((TEXT_BYTES_MAX, ADDED_BYTES_MAX), (SHORT_BYTES, ITEMS_MAX)):
        event = _cloud_event(shard, fact, number)
        event["data"] = _readable(msgspec.to_builtins(fact), text_bytes_max, items_max)
        if len(encoded := _encode(event)) <= ADDED_BYTES_MAX - STAMP_BYTES_MAX - CARRIED_BYTES_MAX:
            return encoded
    event["data"] = {"offset": fact.offset, "time_s": fact.time_s}
    return _encode(event)


def _cloud_event(shard: ShardId, fact: Any, number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{shard.topic}/{shard.partition}/{fact.offset}/{number}/{fact.kind}",
        "source": f"/pipelines/{shard.pipeline}",
        "type": f"io.streamretrain.{fact.kind}.v1",
        "subject": f"{shard.topic}/{shard.partition}",
        "time": _time(fact.time_s),
        "datacontenttype": "application/json",
        "data": None,
    }


def _time(time_s: float) -> str:
    """A time in RFC 3339 form."""
    return dt.datetime.fromtimestamp(min(max(time_s, TIME_MIN_S), TIME_MAX_S), dt.UTC).isoformat().replace("+00:00", "Z")


def _readable(value: Any, text_bytes_max: int, items_max: int) -> Any:
    """The same with its texts and lists no longer than they may be, the texts UTF-8, and integers that JSON readers take."""
    match value:
        case str():
            return cut(value, text_bytes_max)
        case dict():
            items = list(value.items())[:items_max]
            return {cut(name, text_bytes_max): _readable(held, text_bytes_max, items_max) for name, held in items}
        case list() | tuple():
            return [_readable(held, text_bytes_max, items_max) for held in value[:items_max]]
        case int() if not -(1 << 63) <= value < 1 << 64:
            return float(value) if abs(value) < 1 << 1000 else None
        case _:
            return value
