"""Logging of a process: set up in one place, and all that is logged in it goes through here, whoever logs it.

Whoever has something to say uses Python's `logging` with a logger of its own. One handler on the root logger

1. counts lines that repeat, and says the count once (`logs.repeats`);
2. makes each line: a sentence with its fields, as text or as JSON (`logs.lines`);
3. masks what is secret in it, tracebacks and other libraries' words included (`stream_retrain.redaction`).
"""

from __future__ import annotations

from stream_retrain.logs.fields import ALWAYS, fields_with
from stream_retrain.logs.setup import LogSetup, current_setup, identify, logs_json, redacted, set_up_logging

__all__ = ["ALWAYS", "LogSetup", "current_setup", "fields_with", "identify", "logs_json", "redacted", "set_up_logging"]
