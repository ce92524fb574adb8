"""Facts to records: predictions, decisions and dead letters, as other programs read them.

- A prediction is one JSON object: `{"id", "offset", "prediction", "probability", "generation"}`; `offset` is that of the question in the
  source partition, `generation` the number of the model that answered.
- A decision is a CloudEvent (1.0, structured JSON); its `id` is made of pipeline, partition, offset and kind, so that the same
  decision has the same id however often it is sent.
- A dead letter is the record as it came, with its origin and the reason in the headers. A record that was too large travels
  without its value: the headers say where it stands.

Bytes are a function of the fact: no clock and no randomness, so that two runs over one log give equal topics.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from stream_retrain.codec.records import Record
from stream_retrain.core.duel import ContestantFailed, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.core.messages import (
    ChallengerJoined,
    Decided,
    DriftDetected,
    Fact,
    Label,
    LeaderChanged,
    MemberRestarted,
    ModelReset,
    Predicted,
    Rejected,
    Requested,
    ShardId,
    TrainingFailed,
    TrainingRequested,
    WarningRaised,
)

__all__ = ["DeadLetter", "Prediction", "dead_letter", "encode_decisions", "encode_predictions"]

KINDS: dict[type, str] = {
    WarningRaised: "drift.warned",
    DriftDetected: "drift.detected",
    Requested: "policy.requested",
    Decided: "policy.decided",
    ModelReset: "model.reset",
    TrainingRequested: "training.requested",
    TrainingFailed: "training.failed",
    ChallengerJoined: "training.joined",
    MemberRestarted: "member.restarted",
    LeaderChanged: "member.leads",
    DuelStarted: "duel.started",
    LeadChanged: "duel.lead_changed",
    ContestantFailed: "duel.contestant_failed",
    DuelEnded: "duel.ended",
}


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """A prediction on the wire."""

    id: str
    offset: int
    prediction: Label | None
    probability: float | None
    generation: int


class DeadLetter(NamedTuple):
    """A dead letter, ready to be produced."""

    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


_encode = msgspec.json.Encoder().encode


def encode_predictions(predicted: Iterable[Predicted]) -> list[bytes]:
    """The JSON of each prediction."""
    return [_encode(Prediction(id_, offset, y_pred, probability, generation)) for offset, id_, y_pred, probability, generation in predicted]


def encode_decisions(shard: ShardId, facts: Iterable[Fact]) -> Iterator[tuple[int, bytes]]:
    """The offset and CloudEvent of each fact that is a decision or led to one; the other facts are passed over."""
    kept = [fact for fact in facts if type(fact) in KINDS]
    for offset, group in itertools.groupby(kept, key=lambda fact: fact.offset):
        for number, fact in enumerate(group):
            yield offset, _encode(_cloud_event(shard, fact, number))


def dead_letter(shard: ShardId, record: Record, rejected: Rejected) -> DeadLetter:
    """The dead letter of a rejected record."""
    headers = {
        "sr_reason": rejected.reason,
        "sr_detail": rejected.detail,
        "sr_field": rejected.field or "",
        "sr_pipeline": shard.pipeline,
        "sr_topic": shard.topic,
        "sr_partition": str(shard.partition),
        "sr_offset": str(rejected.offset),
        "sr_bytes": str(len(record.value or b"")),
    }
    value = None if rejected.reason == "too_large" else record.value
    return DeadLetter(value, [(name, text.encode("utf-8", "replace")) for name, text in headers.items()])


def _cloud_event(shard: ShardId, fact: Any, number: int) -> dict[str, Any]:
    kind = KINDS[type(fact)]
    return {
        "specversion": "1.0",
        "id": f"{shard.topic}/{shard.partition}/{fact.offset}/{number}/{kind}",
        "source": f"/pipelines/{shard.pipeline}",
        "type": f"io.streamretrain.{kind}.v1",
        "subject": f"{shard.topic}/{shard.partition}",
        "time": dt.datetime.fromtimestamp(fact.time_s, dt.UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": msgspec.to_builtins(fact),
    }
