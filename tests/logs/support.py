"""Lines of a logger under a handler of its own, with a clock that is given."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

from stream_retrain.facts.worker import WorkerFact
from stream_retrain.logs.handler import LineHandler
from stream_retrain.logs.lines import formatter
from stream_retrain.redaction import Redactor
from stream_retrain.views.log import LOG, log_fact

__all__ = ["Lines"]


class Lines:
    """A logger whose lines can be read; other handlers have nothing of it."""

    def __init__(self, *secrets: str, as_json: bool = True, coloured: bool = False, **identity: str) -> None:
        self.now_s = 0.0
        self.stream = io.StringIO()
        self.handler = LineHandler(self.stream, clock_s=lambda: self.now_s, timed=False)
        self.handler.setFormatter(formatter(as_json=as_json, coloured=coloured, identity=identity, redactor=Redactor(secrets)))
        self.log = logging.Logger("tests.lines", logging.DEBUG)
        self.log.addHandler(self.handler)

    def of_facts(self, *facts: WorkerFact) -> None:
        """Have these facts logged."""
        level = LOG.level
        LOG.addHandler(self.handler)
        LOG.setLevel(logging.INFO)
        try:
            for fact in facts:
                log_fact(fact)
        finally:
            LOG.removeHandler(self.handler)
            LOG.setLevel(level)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def events(self) -> list[str]:
        return [each["event"] for each in self.objects]
