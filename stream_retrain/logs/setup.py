"""Logging of this process, set up: once by a command, and once in each process that it starts.

What is not caught, in the main thread or in another, is a line as well, and so are Python's own warnings. librdkafka's lines are warnings
at most: it tries again by itself, and what comes of that is told by the worker.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, Final, Literal, TextIO

from stream_retrain.logs.handler import LineHandler
from stream_retrain.logs.lines import formatter
from stream_retrain.redaction import Redactor

__all__ = ["LogSetup", "current_setup", "identify", "logs_json", "redacted", "set_up_logging"]

LOG: Final = logging.getLogger("stream_retrain")
KAFKA: Final = "stream_retrain.kafka"
Format = Literal["auto", "text", "json"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LogSetup:
    """How a process logs: what its child processes are given, too. `secrets` are masked wherever they stand."""

    level: str = "info"
    format: Format = "auto"
    instance: str = ""
    pipeline: str = ""
    secrets: tuple[str, ...] = dataclasses.field(default=(), repr=False)


class _Installed(LineHandler):
    """The handler of this process, with what it was set up with."""

    def __init__(self, setup: LogSetup, stream: TextIO) -> None:
        super().__init__(stream)
        terminal = stream.isatty()
        self.setup = setup
        self.as_json = setup.format == "json" or (setup.format == "auto" and not terminal)
        self.identity: dict[str, str] = {}
        self.redactor = Redactor(setup.secrets)
        coloured = terminal and not self.as_json and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.setFormatter(formatter(as_json=self.as_json, coloured=coloured, identity=self.identity, redactor=self.redactor))


def set_up_logging(setup: LogSetup, stream: TextIO | None = None) -> LineHandler:
    """Log to `stream` (standard error) as `setup` says, in place of what was set up before."""
    root = logging.getLogger()
    if (before := _installed()) is not None:
        root.removeHandler(before)
        before.close()
    handler = _Installed(setup, stream or sys.stderr)
    root.addHandler(handler)
    root.setLevel(setup.level.upper())
    identify(instance=setup.instance, pipeline=setup.pipeline)
    logging.raiseExceptions = False  # a line that cannot be written is lost; it must not become a traceback
    logging.captureWarnings(True)
    kafka = logging.getLogger(KAFKA)
    kafka.setLevel(logging.NOTSET if setup.level == "debug" else logging.WARNING)
    kafka.filters[:] = [_warning_at_most]
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    return handler


def _installed() -> _Installed | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, _Installed)), None)


def identify(*, instance: str = "", pipeline: str = "") -> None:
    """Say with every line from now on who logs it; what is empty stays as it is. Does nothing where logging is not set up here."""
    if (handler := _installed()) is not None:
        now = handler.setup
        now = dataclasses.replace(now, instance=instance or now.instance, pipeline=pipeline or now.pipeline)
        handler.setup = now
        handler.identity.update({name: value for name, value in (("instance", now.instance), ("pipeline", now.pipeline)) if value})


def current_setup() -> LogSetup | None:
    """How this process logs, for a process it starts; None where it was not set up here."""
    return None if (handler := _installed()) is None else handler.setup


def redacted(text: str) -> str:
    """A text that goes elsewhere than into the log, with its secrets masked."""
    return (Redactor() if (handler := _installed()) is None else handler.redactor).text(text)


def logs_json() -> bool:
    """Whether standard error is to hold JSON lines and nothing else."""
    return (handler := _installed()) is not None and handler.as_json


def _warning_at_most(record: logging.LogRecord) -> bool:
    if record.levelno > logging.WARNING:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    LOG.critical("the process ends: %s was not caught", kind.__name__, exc_info=(kind, error, trace))


def _uncaught_in_thread(told: Any) -> None:
    if told.exc_type is not SystemExit:
        name = "" if told.thread is None else told.thread.name
        LOG.critical("thread %s ends: %s was not caught", name, told.exc_type.__name__, exc_info=told[:3])


def _unraisable(told: Any) -> None:
    LOG.warning("%s could not be raised", told.exc_type.__name__, exc_info=(told.exc_type, told.exc_value, told.exc_traceback))
