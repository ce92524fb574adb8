"""How long after its question a label comes, where a backtest simulates that.

    events=100                                    before the 100th question of its partition after its own
    seconds=3600                                  an hour of event time later
    field=labelled_at                             at the time in a field, which is written as the schema writes event times
    seconds_field=wait_s                          so many seconds later as a field says
    exponential:mean_s=3600,seed=7                drawn, one draw a label
    uniform:min_s=60,max_s=7200,seed=7
    lognormal:median_s=3600,sigma=1.5,seed=7      sigma is that of the logarithm

A seed that is not given is 0. Each partition draws from a generator of its own, so its delays do not depend on what else is read.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np

from stream_retrain.core.schema import Schema
from stream_retrain.errors import SettingsError
from stream_retrain.lane.formats.event_time import seconds_of, time_type

__all__ = ["Due", "LabelDelay", "parse_label_delay"]

Due: TypeAlias = "Callable[[float, int, Mapping[str, Any]], float | None]"
"""From a question's event time, its number in its partition and its fields as JSON to when its label comes: a number or a time, as
`LabelDelay.counts_events` says; None where the field does not tell."""

DRAWN_AT_ONCE: Final = 1_000
_WHOLE: Final = re.compile(r"[0-9]{1,12}")


@dataclasses.dataclass(frozen=True, slots=True)
class LabelDelay:
    """A delay; make it with `parse_label_delay`, which checks it. Its text is what it was made from, in full."""

    kind: str
    values: tuple[tuple[str, float | int | str], ...]

    def __str__(self) -> str:
        said = ",".join(f"{name}={value:.15g}" if isinstance(value, float) else f"{name}={value}" for name, value in self.values)
        return f"{self.kind}:{said}" if self.kind in _DRAWN else said

    @property
    def counts_events(self) -> bool:
        """Whether it is a number of questions, not a time."""
        return self.kind == "events"

    @property
    def field(self) -> str | None:
        """The field that it is read from."""
        return str(dict(self.values)[self.kind]) if self.kind in _FIELDS else None

    def build(self, schema: Schema, partition: int) -> Due:
        """When the labels of one partition come."""
        given: Any = dict(self.values)
        match self.kind:
            case "events":
                return lambda _time_s, number, _fields: number + given["events"]
            case "seconds":
                return lambda time_s, _number, _fields: time_s + given["seconds"]
            case "field":
                return _at_time(given["field"], schema)
            case "seconds_field":
                return _after_seconds(given["seconds_field"])
            case _:
                draws = _draws(self.kind, given, partition)
                return lambda time_s, _number, _fields: time_s + next(draws)


def parse_label_delay(text: str) -> LabelDelay:
    """The delay that a text says (see above). Raises `SettingsError` with every fault."""
    kind, colon, rest = text.strip().partition(":")
    if not colon:
        kind, rest = text.strip().partition("=")[0].strip(), text.strip()
    names = {**_PLAIN, **_FIELDS, **_DRAWN}.get(kind)
    if names is None or bool(colon) != (kind in _DRAWN):
        known = [*_PLAIN, *_FIELDS, *_DRAWN]
        near = difflib.get_close_matches(kind, known, n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"label delay {text!r}: use {', '.join(map(_example, known))}{meant}")
    faults: list[str] = []
    given = _given(rest, names, faults)
    values = {name: value for name in names if (value := _value(name, given, faults)) is not None}
    if not faults and kind == "uniform" and float(values["min_s"]) >= float(values["max_s"]):
        faults.append("min_s must be below max_s")
    if faults:
        raise SettingsError(f"label delay {text!r}: {'; '.join(faults)}")
    return LabelDelay(kind, tuple(values.items()))


def _given(rest: str, names: tuple[str, ...], faults: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for part in rest.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or not value:
            faults.append(f"{part.strip()!r} is no name=value")
        elif name not in names:
            faults.append(f"there is no {name!r}; there is {', '.join(names)}")
        elif name in given:
            faults.append(f"{name!r} is there twice")
        else:
            given[name] = value
    return given


def _value(name: str, given: dict[str, str], faults: list[str]) -> float | int | str | None:
    if name not in given:
        if name == "seed":
            return 0
        faults.append(f"{name} is missing")
        return None
    text = given[name]
    if name in _FIELDS:
        return text
    if name in ("seed", "events"):
        if _WHOLE.fullmatch(text) and (name == "seed" or int(text) > 0):
            return int(text)
        faults.append(f"{name} is {text!r}; use a whole number{' above 0' if name == 'events' else ''}")
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or (number == 0 and name != "min_s"):
        faults.append(f"{name} is {text!r}; use a number {'of at least 0' if name == 'min_s' else 'above 0'}")
        return None
    return number


def _example(kind: str) -> str:
    return {
        "events": "events=100",
        "seconds": "seconds=3600",
        "field": "field=NAME",
        "seconds_field": "seconds_field=NAME",
        "exponential": "exponential:mean_s=3600,seed=7",
        "uniform": "uniform:min_s=60,max_s=7200,seed=7",
        "lognormal": "lognormal:median_s=3600,sigma=1.5,seed=7",
    }[kind]


_PLAIN: Final[dict[str, tuple[str, ...]]] = {"events": ("events",), "seconds": ("seconds",)}
_FIELDS: Final[dict[str, tuple[str, ...]]] = {"field": ("field",), "seconds_field": ("seconds_field",)}
_DRAWN: Final[dict[str, tuple[str, ...]]] = {
    "exponential": ("mean_s", "seed"),
    "uniform": ("min_s", "max_s", "seed"),
    "lognormal": ("median_s", "sigma", "seed"),
}


def _at_time(field: str, schema: Schema) -> Due:
    decode = msgspec.json.Decoder(time_type(schema)).decode

    def due(_time_s: float, _number: int, fields: Mapping[str, Any]) -> float | None:
        try:
            return seconds_of(decode(fields[field]), schema)
        except (KeyError, ValueError, OverflowError):
            return None

    return due


def _after_seconds(field: str) -> Due:
    decode = msgspec.json.Decoder(float).decode

    def due(time_s: float, _number: int, fields: Mapping[str, Any]) -> float | None:
        try:
            return time_s + decode(fields[field])
        except (KeyError, ValueError):
            return None

    return due


def _draws(kind: str, given: Mapping[str, Any], partition: int) -> Iterator[float]:
    generator = np.random.default_rng([given["seed"], partition])
    while True:
        match kind:
            case "exponential":
                drawn = generator.exponential(given["mean_s"], DRAWN_AT_ONCE)
            case "uniform":
                drawn = generator.uniform(given["min_s"], given["max_s"], DRAWN_AT_ONCE)
            case _:
                drawn = generator.lognormal(math.log(given["median_s"]), given["sigma"], DRAWN_AT_ONCE)
        yield from drawn.tolist()
