"""What other programs read of a pipeline, described: each message as JSON Schema, from the types that are encoded, and each field in words.

The tests hold both to the types: a field that nobody explains, or an explanation of a field that is gone, fails there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from stream_retrain.core.path import Path, path_of
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema
from stream_retrain.facts.shard import SHARD_FACTS, ShardFact
from stream_retrain.facts.values import Predicted
from stream_retrain.lane.dead_letter import OWN_HEADERS
from stream_retrain.lane.formats.event_time import time_type
from stream_retrain.lane.formats.row import ID_TYPE, label_type, leaf_type, sparse_type

__all__ = [
    "ENVELOPE",
    "FIELDS",
    "OF_PREDICTION",
    "PUBLISHED",
    "decision_schemas",
    "decision_type",
    "field_of",
    "label_schema",
    "letter_headers_schema",
    "prediction_schema",
    "source_schema",
]

REF: Final = "#/components/schemas/{name}"
PUBLISHED: Final[tuple[type[ShardFact], ...]] = tuple(kind for kind in SHARD_FACTS if kind.published)
"""The facts that are decisions."""
OF_PREDICTION: Final = {
    "id": "the event's id, as it came; where the schema names none, the offset as text",
    "offset": "offset of the question in its partition of the source; the prediction stands in the partition of the same number",
    "time_s": "event time of the question, in seconds since the epoch (UTC)",
    "prediction": "the label or number; null: the model could not predict yet, or what it answered was none",
    "probability": "of the positive class (binary) or of the predicted one (multiclass); null for regression, or where there is none",
    "generation": "number of the model that made it: each change of the champion begins one; it counts from 0 in each partition",
    "model": "version of the model: a digest of task, schema, declared model and threshold, a hyphen, and the generation",
    "probabilities": "probability of each class, by its text; at most 100 classes, the most probable ones. Only with `probabilities=True`",
}
"""The fields of a prediction."""
ENVELOPE: Final = {
    "specversion": "version of CloudEvents: 1.0",
    "id": "source topic, partition, offset, number among the decisions of that offset, kind: the same decision always has the same id",
    "source": "the pipeline, as `/pipelines/NAME`",
    "type": "`io.streamretrain.`, the kind, and `.v1`",
    "subject": "source topic and partition",
    "time": "event time of the event at which it was decided (RFC 3339)",
    "datacontenttype": "application/json",
    "data": "the fields of its kind",
}
"""The attributes of a decision, a CloudEvent in structured mode."""
FIELDS: Final = {
    "offset": "offset of the record at which it happened",
    "time_s": "event time of that record, in seconds since the epoch",
    "model_bytes": "about how much memory the largest model of the shard takes",
    "shard_bytes": "about what all models of the shard take",
    "bytes_before": "about what they took before",
    "bytes_after": "about what they take now",
    "rejected": "how many of the last records were refused",
    "over_records": "of how many records (`rejects_over_records`)",
    "reason": "what the person or program that asked said; empty where nobody asked",
    "by": "who asked, and by which door: `cli:USER`, `http:ADDRESS`, `topic:KEY` or `schedule`; empty: nobody, or it is not known",
    "do": "what was asked for: `retrain`, `reset`, `promote`, `rollback`, `pause` or `resume`",
    "version": "id of the version that serves from here on: `2-g14` is generation 14 of partition 2, `2-t3` its training 3",
    "family": "the challenger that the model came as; empty: it is the pipeline's own model",
    "rule": "the rule whose schedule asked; null: a person or a program did",
    "signal": "the signal that is watched: `error`, `loss`, `feature:NAME` and so on",
    "detector": "class of the detector",
    "direction": "`up` or `down`",
    "value": "the signal's value at this event; null for a category, or where values are missing",
    "generation": "number of the model that serves, after what is told here",
    "detail": "what foreign code raised, cut to 2,000 bytes",
    "token": "the request's own, which `stream-retrain retrain --json` prints",
    "trigger": "what the rule was triggered by",
    "reaction": "class of the rule's reaction",
    "outcome": "`done`; or why it was not: `ignored`, `cooldown`, `in_duel`, `in_training`",
    "events_seen": "labelled events that the shard had learned by then",
    "cause": "the trigger that led to it",
    "training": "number of the training, in this shard",
    "challenger": "name of the challenger",
    "duel": "number of the duel, in this shard",
    "lessons": "rows learned times passes",
    "learned_through": "last offset that the trainer taught it",
    "caught_up": "rows it was taught after that, before it joined",
    "gap": "whether rows between are missing in it, because the window was trimmed",
    "digest": "of the model as it came back: names what is kept for `verify`",
    "error": "why it failed",
    "member": "name of the member",
    "restarts": "how often this member has restarted, this time included",
    "before": "who led or served before",
    "now": "who leads or serves now",
    "weights": "share of each member in the prediction",
    "contestants": "names, the champion first",
    "trained_on": "rows each challenger had learned when the duel began",
    "loss": "by which loss it is decided: `log`, `brier`, `miss`, `cost` or `relative`",
    "events": "events of the duel that were scored",
    "standings": "each contestant: `name`, `loss_mean` (0 to 1), `events`, `e_value` (evidence that it is better), `e_value_against`",
    "name": "name of the contestant",
    "result": "`promoted`, `kept`, `undecided`, or `superseded`: somebody asked for another champion",
    "winner": "name of the champion from now on; empty where it was superseded",
    "changes": "how often the lead changed",
    "held_by": "the metric of labels that held a change of the lead up; null: none did",
    "how": "what it was restored from: `checkpoint`, `previous`, `window`, `earliest`, `latest`, `new` or `warm`",
    "from_offset": "where its state begins",
    "request": "token of the last request it had had",
    "differs": "parts of the pipeline that are others than when its checkpoint was written",
    "model": "of a warm start: the name of the artifact it begins with; empty: none",
    "origin": "of a warm start: the shard whose model that is, and its offset; empty: none",
}
"""The fields of decisions by name; `OF_KIND` has those that mean something else in one kind."""
OF_KIND: Final = {
    ("intake.paused", "time_s"): "timestamp of that record, in seconds since the epoch: a refused one may have no event time",
    ("intake.paused", "reason"): "why the last of them was refused",
    ("model.promoted", "how"): "`promote`, or `rollback`: to what had served before",
    ("model.promoted", "digest"): "of the model as it began to serve: names what is kept for `verify`",
    ("model.reset", "token"): "of the request that asked for it; empty: a rule did",
    ("request.refused", "detail"): "why it could not be done, and what to do",
    ("duel.ended", "generation"): "number of the winner; of who led, where it was superseded",
    ("policy.decided", "generation"): "number of the model that served when it was decided",
    ("duel.lead_changed", "cause"): "`evidence`, or `failure`: who served raised, or took too much memory",
    ("shard.restored", "training"): "the training it waits for; null: none",
}


def field_of(kind: type[ShardFact], name: str) -> str:
    """A field of a kind of decision, in words."""
    return OF_KIND.get((kind.kind, name), FIELDS[name])


def decision_type(kind: type[ShardFact]) -> str:
    """Its type as a CloudEvent."""
    return f"io.streamretrain.{kind.kind}.v1"


def source_schema(pipeline: Pipeline) -> dict[str, Any]:
    """The value of a record, as the decoder checks it: what is absent is null."""
    schema = pipeline.schema
    event: dict[str, Any] = {"title": "Event", "type": "object", "properties": {}}
    for text, kind, words in _leaves(schema, pipeline.task):
        leaf = msgspec.json.schema(kind)
        _put(event, path_of(text), leaf if words is None else leaf | {"description": words})
    if schema.sparse is not None and schema.sparse.path is None:
        event["additionalProperties"] = {"type": ["number", "null"], "description": "a feature"}
    needed = "A question needs " + ", ".join([*filter(None, [schema.id]), *schema.required])
    passed = "Other fields are refused." if schema.unknown == "refuse" else "Fields that are not named here are passed over."
    made = "" if schema.decode is None else " This is what `decode` makes of a record."
    return event | {"description": f"{needed}. {passed}{made}"}


def label_schema(pipeline: Pipeline) -> dict[str, Any]:
    """The value of a record of the labels topic, as the relay checks it."""
    schema, labels = pipeline.schema, pipeline.labels
    assert schema.id is not None, "a pipeline whose labels come in a topic of their own has an id"
    id_, label = labels.id or schema.id, labels.label or schema.label_name
    leaves: list[tuple[str, Any, str]] = [
        (id_, ID_TYPE, "that of the question"),
        (label, label_type(schema, pipeline.task), "the label"),
    ]
    if schema.time is not None:
        leaves.append((labels.time or schema.time, time_type(schema), "when it is of; absent: the timestamp of the record"))
    if labels.route == "key" and labels.key is not None:
        leaves.append((labels.key, Any, "the key of the question: text as it is, anything else as JSON writes it"))
    value: dict[str, Any] = {"title": "Label", "type": "object", "properties": {}}
    for text, kind, words in leaves:
        _put(value, path_of(text), msgspec.json.schema(kind) | {"description": words})
    return value | {"description": f"A label needs {id_} and {label}. Other fields are passed over."}


def _leaves(schema: Schema, task: str) -> Iterator[tuple[str, Any, str | None]]:
    """Where each declared value stands, its type, and what it is, unless it is a feature."""
    required = schema.required
    for name, field in schema.fields.items():
        yield field.path or name, leaf_type(field, optional=name not in required), None
    if schema.sparse is not None and schema.sparse.path is not None:
        yield schema.sparse.path, sparse_type(schema.sparse) | None, "features by name"
    yield schema.label_name, label_type(schema, task) | None, "the label; absent or null: the record is a question"
    if schema.id is not None:
        yield schema.id, ID_TYPE, "names the event; an answer has that of its question"
    if schema.time is not None:
        yield schema.time, time_type(schema), "event time; absent: the timestamp of the record"


def _put(event: dict[str, Any], path: Path, leaf: dict[str, Any]) -> None:
    """Put a leaf where it stands, with the objects and lists on the way."""
    node = event
    for part, inner in zip(path, [*path[1:], None], strict=True):
        below = (
            leaf
            if inner is None
            else {"type": "array", "prefixItems": []}
            if isinstance(inner, int)
            else {"type": "object", "properties": {}}
        )
        if isinstance(part, int):
            items = node["prefixItems"]
            items += [{} for _ in range(part + 1 - len(items))]
            items[part] = items[part] or below
            node = items[part]
        else:
            node = node["properties"].setdefault(part, below)


def prediction_schema(pipeline: Pipeline) -> dict[str, Any]:
    """The value of a prediction of this pipeline."""
    schema = _plain(msgspec.json.schema(Predicted))
    properties = {name: {**held, "description": OF_PREDICTION[name]} for name, held in schema["properties"].items()}
    match pipeline.task:
        case "binary":
            label: dict[str, Any] = {"type": ["boolean", "null"]}
        case "regression":
            label = {"type": ["number", "null"]}
        case _:
            classes = pipeline.schema.classes
            label = {"type": ["string", "integer", "null"]} if classes is None else {"enum": [*classes, None]}
    properties["prediction"] = label | {"description": OF_PREDICTION["prediction"]}
    required = list(schema["required"])
    if pipeline.probabilities:
        required.append("probabilities")
    else:
        del properties["probabilities"]
    return {"title": "Prediction", "type": "object", "properties": properties, "required": required}


def decision_schemas() -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The value of each kind of decision, by kind; and the schemas of data that they refer to, by name."""
    refs, data = msgspec.json.schema_components(PUBLISHED, ref_template=REF)
    by_kind = {}
    for kind, ref in zip(PUBLISHED, refs, strict=True):
        shown = data[kind.__name__]
        shown["description"] = _sentence(kind)
        for name in (field.name for field in dataclasses.fields(kind)):
            shown["properties"][name] = {**shown["properties"][name], "description": field_of(kind, name)}
        by_kind[kind.kind] = _envelope(decision_type(kind), ref)
    return by_kind, data


def _envelope(type_: str, data: dict[str, Any]) -> dict[str, Any]:
    fixed = {"specversion": "1.0", "type": type_, "datacontenttype": "application/json"}
    properties: dict[str, Any] = {}
    for name, words in ENVELOPE.items():
        held: dict[str, Any] = {"const": fixed[name]} if name in fixed else {"type": "string"}
        properties[name] = data if name == "data" else held | {"description": words}
    properties["time"]["format"] = "date-time"
    return {"type": "object", "properties": properties, "required": list(ENVELOPE)}


def letter_headers_schema() -> dict[str, Any]:
    """The headers of a dead letter, beside those of its record."""
    properties = {name: {"type": "string", "description": words} for name, words in OWN_HEADERS.items()}
    required = [name for name in OWN_HEADERS if name != "sr_replayed"]
    return {"type": "object", "properties": properties, "required": required}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the one type that another one holds."""
    [held] = schema["$defs"].values()
    return dict(held)


def _sentence(kind: type[ShardFact]) -> str:
    """What its docstring says first."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())
