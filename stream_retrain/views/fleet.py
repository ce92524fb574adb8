"""What the parent of `run --workers N` serves: its worker processes as one, so that a scraper and a person need one address.

Each worker process serves the usual pages on a socket of its own in the file system. The parent asks all of them when it is asked.
One that does not answer is shown as such, and the others are there: a dead process refuses at once, one that hangs costs `ASK_TIMEOUT_S`.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from stream_retrain.views.catalogue import CATALOGUE, PREFIX
from stream_retrain.views.http import Body, Health
from stream_retrain.views.merge import merged

__all__ = ["FleetView"]

ASK_TIMEOUT_S: Final = 3.0
ASKED_AT_ONCE: Final = 16
MEANINGS: Final = {family.name: family.meaning for family in CATALOGUE}


class Answer(NamedTuple):
    """What a worker process answered."""

    status: int
    body: bytes


class FleetView:
    """The pages of several worker processes as one. `starts` says how often each was started."""

    def __init__(self, sockets: Sequence[Path], starts: Callable[[], Sequence[int]]) -> None:
        self._sockets = {str(number): path for number, path in enumerate(sockets)}
        self._starts = starts

    def metrics(self, accept: str) -> Body:
        """Every worker's families with the label `worker`, and the parent's own."""
        started_s = time.perf_counter()
        answers = self._ask("/metrics", accept)
        expositions = {name: answer.body.decode() for name, answer in answers.items() if answer is not None and answer.status == 200}
        encode, content_type = choose_encoder(accept)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Own({name: name in expositions for name in answers}, self._starts(), started_s))
        return content_type, merged("worker", expositions, [encode(registry).decode()]).encode()

    def healthy(self) -> Health:
        """Whether the parent has a worker to look after: those that ended are started again, which another parent would do no better."""
        return self._health("/healthz", any)

    def ready(self) -> Health:
        """Whether every worker serves."""
        return self._health("/readyz", all)

    def status(self) -> dict[str, Any]:
        """Every worker's status; null for one that does not answer."""
        found = {
            name: json.loads(answer.body) if answer and answer.status == 200 else None for name, answer in self._ask("/status").items()
        }
        return {"ready": all(each is not None and each["ready"] for each in found.values()), "workers": found}

    def history(self) -> dict[str, Any]:
        """The shards of all workers, with their past; each is of the worker that has it now."""
        answers = [answer for answer in self._ask("/history").values() if answer is not None and answer.status == 200]
        return {"shards": {name: past for answer in answers for name, past in json.loads(answer.body)["shards"].items()}}

    def models(self) -> dict[str, Any]:
        """The versions of the shards of all workers."""
        whole: dict[str, Any] = {"pipeline": None, "versions_max": 0, "known": {}, "unwritten": {}, "shards": {}}
        for found in (json.loads(answer.body) for answer in self._ask("/models").values() if answer is not None and answer.status == 200):
            whole["pipeline"], whole["versions_max"] = found["pipeline"], max(whole["versions_max"], found["versions_max"])
            for part in ("known", "unwritten", "shards"):
                whole[part] |= found[part]
        return whole

    def _health(self, path: str, judge: Callable[[list[bool]], bool]) -> Health:
        answers = self._ask(path)
        detail = {name: _told(answer) for name, answer in answers.items()}
        return Health(ok=judge([bool(each["ok"]) for each in detail.values()]), detail=detail)

    def _ask(self, path: str, accept: str = "") -> dict[str, Answer | None]:
        with ThreadPoolExecutor(min(len(self._sockets), ASKED_AT_ONCE)) as pool:
            return dict(zip(self._sockets, pool.map(lambda socket: _asked(socket, path, accept), self._sockets.values()), strict=True))


def _told(answer: Answer | None) -> dict[str, Any]:
    """What a worker says of its health; one whose view raised says it in a line that is no JSON."""
    if answer is None or answer.status not in (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE):
        return {"ok": False, "detail": "no answer" if answer is None else f"HTTP {answer.status}"}
    told: dict[str, Any] = json.loads(answer.body)
    return told


def _asked(path: Path, page: str, accept: str) -> Answer | None:
    connection = _Connection(path)
    try:
        connection.request("GET", page, headers={"Accept": accept})
        answer = connection.getresponse()
        return Answer(answer.status, answer.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    """A connection to a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ASK_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Own(Collector):
    """The families of the parent itself."""

    def __init__(self, up: dict[str, bool], starts: Sequence[int], started_s: float) -> None:
        self._up = up
        self._starts = starts
        self._started_s = started_s

    def collect(self) -> Iterator[Any]:
        up = GaugeMetricFamily(f"{PREFIX}worker_up", MEANINGS["worker_up"], labels=["worker"])
        for name, answered in self._up.items():
            up.add_metric([name], float(answered))
        yield up
        starts = CounterMetricFamily(f"{PREFIX}worker_starts", MEANINGS["worker_starts"], labels=["worker"])
        for number, count in enumerate(self._starts):
            starts.add_metric([str(number)], count)
        yield starts
        yield GaugeMetricFamily(f"{PREFIX}merge_seconds", MEANINGS["merge_seconds"], value=time.perf_counter() - self._started_s)
