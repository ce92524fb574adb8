"""An example of each kind of decision, made from its type: to try callbacks and webhooks with before anything has happened.

A value is chosen by the field's name where that says what it is, or else by its type; so a new kind has its example by itself. Every
example has the attribute `streamretraintest`, a CloudEvents extension, by which a receiver can tell it from what has happened.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from stream_retrain.facts.occasions import OCCASIONS
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.messages import PUBLISHED

__all__ = ["EXTENSION", "example_decisions", "example_fact"]

EXTENSION: Final = "streamretraintest"
TIME_S: Final = 1_767_225_600.0
_NAMED: Final[Mapping[str, Any]] = {
    "offset": 41,
    "time_s": TIME_S,
    "signal": "error",
    "detector": "ADWIN",
    "value": 1.0,
    "trigger": "drift:error",
    "cause": "drift:error",
    "reaction": "Challenge",
    "challenger": "retrained",
    "before": "fresh",
    "now": "retrained",
    "winner": "retrained",
    "name": "retrained",
    "contestants": ("champion", "retrained"),
    "trained_on": (0, 9_000),
    "weights": {"champion": 0.25, "retrained": 0.75},
    "detail": "ValueError: this is an example",
    "error": "this is an example",
    "reason": "this is an example",
    "loss_mean": 0.25,
    "e_value": 64.0,
    "e_value_against": 0.5,
}


def example_fact(kind: type[ShardFact], **given: Any) -> ShardFact:
    """A fact of a kind, with these fields."""
    return typing.cast(ShardFact, _example_of(kind, given))


def example_decisions(shard: ShardId) -> Iterator[bytes]:
    """The records of a decisions topic: one of each kind, and one more for each value by which a row of `OCCASIONS` tells kinds apart."""
    for kind in PUBLISHED:
        told_apart = [(row.field, value) for rows in OCCASIONS.values() for row in rows if row.kind == kind.kind for value in row.values]
        for given in [{field: value} for field, value in dict.fromkeys(told_apart) if field is not None] or [{}]:
            for _, value in encode_decisions(shard, [example_fact(kind, **given)]):
                yield msgspec.json.encode(msgspec.json.decode(value, type=dict[str, Any]) | {EXTENSION: True})


def _example_of(kind: type[Any], given: Mapping[str, Any]) -> Any:
    hints = typing.get_type_hints(kind)
    values = {field.name: given.get(field.name, _value(field.name, hints[field.name])) for field in dataclasses.fields(kind)}
    return kind(**values)


def _value(name: str, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return arguments[0]
    if name in _NAMED:
        return _NAMED[name]
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in arguments else _value(name, arguments[0])
    if dataclasses.is_dataclass(hint):
        return _example_of(typing.cast("type[Any]", hint), {})
    if origin is tuple:
        return tuple(_value(name, each) for each in arguments if each is not Ellipsis)
    if origin is not None:
        return {} if issubclass(origin, Mapping) else ()
    return hint() if hint in (str, bool, float) else 3
