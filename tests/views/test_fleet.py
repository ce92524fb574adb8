"""What a parent serves for its workers, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families

from stream_retrain.errors import SettingsError
from stream_retrain.facts.kept import VersionsKnown
from stream_retrain.facts.worker import Assigned
from stream_retrain.views import fleet as fleet_module
from stream_retrain.views.catalogue import PREFIX
from stream_retrain.views.fleet import FleetView
from stream_retrain.views.history import History
from stream_retrain.views.http import Health, Pages, serve_at
from stream_retrain.views.metrics import Metrics, PipelineLabels
from stream_retrain.views.models import Models
from stream_retrain.views.status import Status
from tests.views.support import OTHER, SHARD, observed
from tests.views.versions import generations

OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("w")


@contextlib.contextmanager
def worker(path: Path, shard: Any = SHARD, *, ok: bool = True) -> Iterator[None]:
    """A worker process's pages, without the process."""
    metrics = Metrics(PipelineLabels(name="flights", task="binary", topic="t", model="M"), "1")
    metrics(observed(shard))
    health = Health(ok=ok, detail={"state": "running"})
    status, history = Status("flights", path.name), History()
    history(Assigned(shard=shard, offset=0, live_from=0))
    history(observed(shard))
    models = Models("flights")
    models(VersionsKnown(shard=shard, versions=tuple(generations(shard, 3)), whole=True, unwritten=1))
    answers = {"healthy": lambda: health, "ready": lambda: health}
    pages = Pages(metrics=metrics.render, status=status.snapshot, history=history.snapshot, models=models.snapshot, **answers)
    with serve_at(path, pages):
        yield


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[None]:
    """A process that takes connections and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        held: list[socket.socket] = []
        threading.Thread(target=lambda: held.append(listening.accept()[0]), daemon=True).start()
        yield
        for each in held:
            each.close()


def view(folder: Path, count: int = 2, starts: tuple[int, ...] = (1, 3)) -> FleetView:
    return FleetView([folder / str(number) for number in range(count)], lambda: starts)


def samples(fleet: FleetView, name: str, accept: str = "") -> dict[frozenset[tuple[str, str]], float]:
    read = open_metrics_families if "openmetrics" in accept else text_string_to_metric_families
    kind, body = fleet.metrics(accept)
    assert kind.startswith("application/openmetrics-text" if accept else "text/plain")
    found = [each for family in read(body.decode()) for each in family.samples if each.name == PREFIX + name]
    return {frozenset(each.labels.items()): each.value for each in found}


def of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


@pytest.mark.parametrize("accept", ["", OPEN], ids=["text", "OpenMetrics"])
def test_one_scrape_has_what_all_workers_have(folder: Path, accept: str) -> None:
    with worker(folder / "0", SHARD), worker(folder / "1", OTHER):
        found = samples(view(folder), "model_generation", accept)
    assert found == {of(pipeline="flights", partition="3", worker="0"): 2.0, of(pipeline="flights", partition="4", worker="1"): 2.0}


def test_the_parent_says_who_answered_and_how_often_each_was_started(folder: Path) -> None:
    with worker(folder / "0"), worker(folder / "1"):
        fleet = view(folder)
        assert samples(fleet, "worker_up") == {of(worker="0"): 1.0, of(worker="1"): 1.0}
        assert samples(fleet, "worker_starts_total") == {of(worker="0"): 1.0, of(worker="1"): 3.0}
        [took_s] = samples(fleet, "merge_seconds").values()
        assert 0 < took_s < 5


def test_a_dead_worker_does_not_end_the_scrape(folder: Path) -> None:
    with worker(folder / "0"):
        pass  # it left its socket behind, as a process that is killed does
    (folder / "0").touch()
    with worker(folder / "1", OTHER):
        began_s = time.monotonic()
        fleet = view(folder)
        assert samples(fleet, "worker_up") == {of(worker="0"): 0.0, of(worker="1"): 1.0}
        assert list(samples(fleet, "model_generation")) == [of(pipeline="flights", partition="4", worker="1")]
        assert time.monotonic() - began_s < 1.0, "it refuses at once"


@pytest.mark.slow
def test_one_that_hangs_costs_the_time_allowed_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_module, "ASK_TIMEOUT_S", 0.5)
    with hanging(folder / "0"), worker(folder / "1", OTHER):
        began_s = time.monotonic()
        assert samples(view(folder), "worker_up") == {of(worker="0"): 0.0, of(worker="1"): 1.0}
        assert 0.4 < time.monotonic() - began_s < 3.0


def test_where_nobody_answers_the_parent_still_does(folder: Path) -> None:
    fleet = view(folder)
    assert samples(fleet, "worker_up", OPEN) == {of(worker="0"): 0.0, of(worker="1"): 0.0}
    assert fleet.status() == {"ready": False, "workers": {"0": None, "1": None}}
    assert (fleet.healthy().ok, fleet.ready().ok) == (False, False)


def test_a_fleet_is_ready_when_all_are_and_alive_while_one_is(folder: Path) -> None:
    with worker(folder / "0", ok=False), worker(folder / "1"):
        fleet = view(folder)
        assert (fleet.healthy().ok, fleet.ready().ok) == (True, False)
        assert fleet.ready().detail["0"] == {"ok": False, "detail": {"state": "running"}}
    with worker(folder / "0"), worker(folder / "1"):
        assert view(folder).ready().ok


def test_a_worker_whose_health_cannot_be_told_is_not_well_and_the_others_are_told(folder: Path) -> None:
    def broken() -> Any:
        raise RuntimeError("a view that fails")

    pages = Pages(metrics=lambda _: ("text/plain", b""), healthy=broken, ready=broken, status=dict, history=dict)
    with serve_at(folder / "0", pages), worker(folder / "1"):
        fleet = view(folder)
        assert fleet.ready().detail["0"] == {"ok": False, "detail": "HTTP 500"}
        assert (fleet.healthy().ok, fleet.ready().ok) == (True, False)


def test_the_versions_of_all_shards_stand_together(folder: Path) -> None:
    with worker(folder / "0", SHARD), worker(folder / "1", OTHER):
        found = view(folder, count=3, starts=(1, 1, 1)).models()
    assert (found["pipeline"], found["known"], found["unwritten"]) == ("flights", {"3": 3, "4": 3}, {"3": 1, "4": 1})
    assert {partition: versions[-1]["id"] for partition, versions in found["shards"].items()} == {"3": "3-g2", "4": "4-g2"}
    assert view(folder).models()["shards"] == {}, "nobody answers"


def test_the_status_is_every_worker_s(folder: Path) -> None:
    with worker(folder / "0"):
        found = view(folder).status()
    assert found["workers"]["0"]["instance"] == "0"
    assert found["workers"]["1"] is None
    assert found["ready"] is False


def test_a_worker_that_is_started_again_takes_the_socket_over(folder: Path) -> None:
    (folder / "0").touch()
    with worker(folder / "0"):
        assert samples(view(folder, 1, (2,)), "worker_up") == {of(worker="0"): 1.0}


def test_a_socket_that_cannot_be_made_is_a_fault_of_the_settings(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90) / ("y" * 90)
    long.parent.mkdir()
    with pytest.raises(SettingsError, match="let TMPDIR name another folder"), worker(long):
        pass


def test_the_past_of_all_shards_is_in_one_answer(folder: Path) -> None:
    with worker(folder / "0", SHARD), worker(folder / "1", OTHER):
        shards = view(folder, 3, (1, 1, 1)).history()["shards"]
    assert {name: past["metrics"] for name, past in shards.items()} == {
        "flights.events/3": {"Accuracy": [0.5]},
        "flights.events/4": {"Accuracy": [0.5]},
    }
