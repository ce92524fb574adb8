"""A log record as a line: with date and zone to read, or as a JSON object; secrets are masked in both.

To read: `2026-01-05 10:00:00+01:00 WARNING host-0 shop/shop.orders/0 offset 17: ...`. A control character of a text of input or of foreign
code is written as an escape, so that a record is one line and no terminal obeys it; only a traceback has lines of its own.

As JSON: `timestamp` (RFC 3339, UTC), `level`, `event` (the sentence), `logger`, `instance`, `pipeline`, and the fields of the record.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

from stream_retrain.logs.fields import fields_of
from stream_retrain.redaction import Redactor

__all__ = ["COUNTED", "formatter"]

COUNTED: Final = "stream_retrain_counted"
"""The attribute of a record that stands for others: how many, in how many seconds."""
_WHO: Final = ("instance", "pipeline")
_Line = MutableMapping[str, Any]
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def formatter(*, as_json: bool, coloured: bool, identity: Mapping[str, str], redactor: Redactor) -> logging.Formatter:
    """Makes lines of records. `identity` is looked at for each line: who logs becomes known only later."""

    def about(_logger: Any, _method: str, line: _Line) -> _Line:
        record: logging.LogRecord = line["_record"]
        counted = getattr(record, COUNTED, None)
        if counted is not None:
            line["event"] = f"and {counted[0]:,} more of the kind in {counted[1]:.0f} s; the last: {line['event']}"
            line["repeated"] = counted[0]
        first = {"timestamp": record.created, "level": record.levelname.lower(), "event": line.pop("event"), "logger": record.name}
        who = {name: identity[name] for name in _WHO if name in identity}
        return {**first, **who, **fields_of(record), **line}

    def redacted(_logger: Any, _method: str, line: _Line) -> _Line:
        return {name: value if name == "timestamp" else redactor.value(name, value) for name, value in line.items()}

    meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    traceback = structlog.processors.format_exc_info
    shown: list[Any] = [_in_utc, structlog.processors.JSONRenderer(_json)] if as_json else [_Text(coloured=coloured)]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=[about, traceback], processors=[meta, redacted, *shown])


def _in_utc(_logger: Any, _method: str, line: _Line) -> _Line:
    at = datetime.datetime.fromtimestamp(line["timestamp"], datetime.UTC)
    line["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return line


def _json(line: Any, **_: Any) -> str:
    return json.dumps(line, default=str, ensure_ascii=False)


class _Text:
    """To read: date, zone, level, instance, sentence; a traceback below."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured

    def __call__(self, _logger: Any, _method: str, line: _Line) -> str:
        at = datetime.datetime.fromtimestamp(line["timestamp"]).astimezone().isoformat(sep=" ", timespec="seconds")
        level, who = line["level"], line.get("instance", "")
        parts = [self._in_colour("2", at), self._in_colour(_COLOURS.get(level, "0"), f"{level.upper():<8}")]
        parts += [self._in_colour("36", _escaped(who))] if who else []
        said = " ".join([*parts, _escaped(str(line["event"]))])
        return "\n".join([said, *(str(line[name]) for name in ("exception", "stack") if line.get(name))])

    def _in_colour(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


def _escaped(text: str) -> str:
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
