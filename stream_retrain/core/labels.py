"""How labels find their questions: what is kept, what is remembered, and from where labels come that do not come with the events.

What is declared here is about answers, the records that have a label and no features. Whatever becomes of one is counted, and where it is
dropped it is told (`lane.answers`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from stream_retrain.core.path import path_of
from stream_retrain.core.schema import Schema

__all__ = ["Corrections", "Labels", "Route"]

Corrections: TypeAlias = Literal["ignore", "dead_letter"]
Route: TypeAlias = Literal["id", "key", "partition"]
TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
EARLY_AGE_S: Final = 3_600.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """How the answers of a pipeline are taken.

    early_age_max_s
        How long an answer is kept that comes before its question: in a shard in event time, in the relay of a labels topic in seconds since
        it was first read. 0: not at all. None: 0 where labels come in the source topic, an hour where they come in a topic of their own.
    early_rows_max, early_bytes_max
        How many such answers are kept, and about how much memory they may take: of each shard, and in the relay of each partition of the
        labels topic. The oldest are given up.
    remembered_rows_max
        How many questions that were answered, or expired, are remembered: so that a second answer is told from one without a question.
    corrections
        A second answer with another label: "ignore" counts it, "dead_letter" also keeps its record. No model can unlearn the first label,
        so a correction is never learned.
    topic
        The topic of the labels, where it is another one than the source. A relay brings each into the partition of its question.
    id, label, time
        Where they stand in a record of that topic, which is JSON (`core.path`); None: where the schema has them. Without a time an answer
        has its record's timestamp.
    route
        How the partition of a question is found. "id": from the predictions, for labels under any key. "key": the label's key, or its
        field `key`, is that of the question. "partition": the labels topic is partitioned as the source is.
    key
        With route "key": the field that holds the question's key; None: the key of the record.
    index_rows_max, index_bytes_max
        With route "id": how many questions the relay knows the partition of, and about how much memory that may take; the oldest are
        forgotten. `index_age_max_s` forgets them by the timestamps of their predictions; None: as long as questions may wait.
    """

    early_age_max_s: float | None = None
    early_rows_max: int = 10_000
    early_bytes_max: int = 8_000_000
    remembered_rows_max: int = 10_000
    corrections: Corrections = "ignore"
    topic: str | None = None
    id: str | None = None
    label: str | None = None
    time: str | None = None
    route: Route = "id"
    key: str | None = None
    index_rows_max: int = 1_000_000
    index_bytes_max: int = 256_000_000
    index_age_max_s: float | None = None

    @property
    def early_s(self) -> float:
        """How long an answer is kept that comes before its question."""
        if self.early_age_max_s is not None:
            return self.early_age_max_s
        return 0.0 if self.topic is None else EARLY_AGE_S

    def faults(self, source: str, schema: Schema) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        for name, least in (("early_rows_max", 1), ("early_bytes_max", 1), ("remembered_rows_max", 0)):
            yield from self._number_fault(name, least)
        for name in ("index_rows_max", "index_bytes_max"):
            yield from self._number_fault(name, 1)
        if not _is_seconds(self.early_age_max_s, least=0.0):
            yield f"labels: early_age_max_s is {self.early_age_max_s!r}; use seconds, 0 for not at all"
        if not _is_seconds(self.index_age_max_s, least=1e-9):
            yield f"labels: index_age_max_s is {self.index_age_max_s!r}; use seconds above 0, or None"
        corrections: str = self.corrections
        if corrections == "learn":
            yield 'labels: corrections="learn" cannot be done: no model unlearns a label that it learned; use "ignore" or "dead_letter"'
        elif corrections not in ("ignore", "dead_letter"):
            yield f'labels: corrections is {corrections!r}; use "ignore" or "dead_letter"'
        if self.topic is not None and self.route == "id" and not self.early_s:
            yield "labels: early_age_max_s is 0, and a label may be read a moment before its question is known; use some seconds"
        if self.time is not None and schema.time is None:
            yield "labels: time is given, and the schema names no field of time that could bring it into the source; name one"
        if schema.id is None and (self.topic is not None or self.early_s):
            yield "labels: an answer finds its question by its id, and the schema names none: give it one"
        yield from self._topic_faults(source)
        if self.topic is not None:
            yield from self._source_faults(schema)

    def _number_fault(self, name: str, least: int) -> Iterator[str]:
        value = getattr(self, name)
        if not isinstance(value, int) or value < least:
            yield f"labels: {name} is {value!r}; use a whole number of at least {least}"

    def _source_faults(self, schema: Schema) -> Iterator[str]:
        """Whether the relay can write an answer as the source's records are written."""
        if schema.format != "json" or schema.decode is not None:
            yield 'labels: a relay writes answers in JSON: the schema\'s format must be "json", and it must have no decode'
        places = [("id", schema.id), ("label", schema.label_name), ("time", schema.time)]
        for name, text in [*places, *((name, getattr(self, name)) for name in ("id", "label", "time", "key"))]:
            try:
                path = path_of(text) if isinstance(text, str) and text else ()
            except ValueError as error:
                yield f"labels: the path {text!r} of {name} cannot be read: {error}"
                continue
            if (name, text) in places and any(isinstance(part, int) for part in path):
                yield f"labels: a relay cannot write an answer whose {name} stands in a list, {text!r}"

    def _topic_faults(self, source: str) -> Iterator[str]:
        if self.topic is None:
            for name in ("id", "label", "time", "key"):
                if getattr(self, name) is not None:
                    yield f"labels: {name} is a field of the labels topic, and no topic is named; fields of the source stand in the schema"
            return
        if not isinstance(self.topic, str) or not TOPIC.fullmatch(self.topic):
            yield f"labels: topic {self.topic!r} is not a topic name: use letters, digits, '.', '_' and '-'"
        elif self.topic == source:
            yield "labels: topic is the source itself, from which answers are taken anyway; leave it out"
        for name in ("id", "label", "time", "key"):
            field = getattr(self, name)
            if field is not None and (not isinstance(field, str) or not field):
                yield f"labels: {name} must be the name of a field, not {field!r}"
        if self.route not in ("id", "key", "partition"):
            yield f'labels: route is {self.route!r}; use "id", "key" or "partition"'
        elif self.key is not None and self.route != "key":
            yield f'labels: key is the question\'s key for route "key", and the route is {self.route!r}'


def _is_seconds(value: object, *, least: float) -> bool:
    return value is None or (isinstance(value, int | float) and least <= value < math.inf)
