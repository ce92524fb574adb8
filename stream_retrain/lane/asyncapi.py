"""The topics of a pipeline as an AsyncAPI document (3.0): what others send to it and receive of it, each message with its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.sent import sent_schema
from stream_retrain.lane.messages import (
    PUBLISHED,
    decision_schemas,
    decision_type,
    label_schema,
    letter_headers_schema,
    prediction_schema,
    source_schema,
)
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS

__all__ = ["asyncapi_document"]

VERSION: Final = "3.0.0"
BINDING: Final = "0.5.0"
_CONTENT: Final = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "cloudevents": "application/cloudevents+json",
    "Avro": "application/vnd.apache.avro",
    "Protobuf": "application/x-protobuf",
    "JsonSchema": "application/json",
}
"""By format, as `Schema.format` has it or by its class."""
READ: Final = "Read it with isolation.level=read_committed: what an aborted transaction left is no message."


def asyncapi_document(pipeline: Pipeline, release: str, servers: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The document, as values for JSON. `servers` are its servers by name."""
    decisions, data = decision_schemas()
    names = {kind.kind: kind.__name__ for kind in PUBLISHED}
    messages = _messages(pipeline)
    for kind in PUBLISHED:
        name, summary = names[kind.kind], data[kind.__name__]["description"]
        messages[name] = _message(decision_type(kind), summary, decisions[kind.kind], "application/cloudevents+json")
    outputs = {
        PREDICTIONS: ("Predictions, each in the partition and under the key of its question.", ["prediction"]),
        DECISIONS: ("What was detected and decided, as CloudEvents.", list(names.values())),
        DEAD_LETTERS: ("Records that were refused.", ["deadLetter"]),
    }
    channels = {"source": _channel(pipeline.source, "Events that the pipeline predicts and learns from.", ["event"])}
    answers = pipeline.labels.topic
    if answers is not None:
        channels["labels"] = _channel(answers, "Labels that come later, each with the id of its question.", ["label"])
    channels["requests"] = _channel(
        f"{pipeline.name}.requests", "What programs ask of the pipeline; read where a worker has keys for it.", ["request"]
    )
    channels |= {kind: _channel(f"{pipeline.name}.{kind}", f"{words} {READ}", held) for kind, (words, held) in outputs.items()}
    return {
        "asyncapi": VERSION,
        "info": {
            "title": pipeline.name,
            "version": release,
            "description": f"A pipeline of stream_retrain: a {pipeline.task} task over topic {pipeline.source}.",
        },
        "defaultContentType": "application/json",
        **({"servers": {name: dict(server) for name, server in servers.items()}} if servers else {}),
        "channels": channels,
        "operations": {
            "receiveEvents": _operation("receive", "source", "The pipeline takes events."),
            **({} if answers is None else {"receiveLabels": _operation("receive", "labels", "The pipeline takes labels.")}),
            "receiveRequests": _operation("receive", "requests", "The pipeline takes requests."),
            **{_operation_name(kind): _operation("send", kind, words) for kind, (words, _) in outputs.items()},
        },
        "components": {
            "messages": messages,
            "schemas": {
                "Event": source_schema(pipeline),
                **({} if answers is None else {"Label": label_schema(pipeline)}),
                "Prediction": prediction_schema(pipeline),
                "Request": sent_schema(),
                **data,
            },
        },
    }


def _messages(pipeline: Pipeline) -> dict[str, Any]:
    """Those that are no decisions."""
    made: dict[str, Any] = {
        "event": _message("Event", "A question, an answer, or both in one.", {"$ref": "#/components/schemas/Event"}, _content(pipeline)),
        "prediction": _message("Prediction", "What the model said of one question.", {"$ref": "#/components/schemas/Prediction"}),
        "request": {
            **_message("Request", "What a program asks; docs/requests.md says how it is signed.", {"$ref": "#/components/schemas/Request"}),
            "headers": {
                "type": "object",
                "properties": {"request-signature": {"type": "string", "description": "v1,KEY ID,HEX: the HMAC-SHA256 of the value"}},
            },
        },
        "deadLetter": {
            "name": "DeadLetter",
            "title": "DeadLetter",
            "summary": "A record that was refused, as it came, with the reason in its headers.",
            "contentType": "application/octet-stream",
            "headers": letter_headers_schema(),
        },
    }
    if pipeline.labels.topic is not None:
        made["label"] = _message("Label", "The label of an earlier question.", {"$ref": "#/components/schemas/Label"})
    return made


def _message(name: str, summary: str, payload: dict[str, Any], content: str = "application/json") -> dict[str, Any]:
    return {"name": name, "title": name, "summary": summary, "contentType": content, "payload": payload}


def _content(pipeline: Pipeline) -> str:
    """What the bytes of a record are."""
    wire: Any = pipeline.schema.format
    if pipeline.schema.decode is not None:
        return "application/octet-stream"
    return _CONTENT[wire if isinstance(wire, str) else type(wire).__name__]


def _channel(topic: str, words: str, messages: list[str]) -> dict[str, Any]:
    return {
        "address": topic,
        "description": words,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING}},
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _operation_name(kind: str) -> str:
    return "send" + "".join(part.capitalize() for part in kind.split("_"))
