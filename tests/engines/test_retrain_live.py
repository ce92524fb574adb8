"""`stream-retrain retrain` at a real Kafka and Redis: what stands in its way is said, and what comes of it is waited for."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.cli import main
from stream_retrain.loading import load_pipeline
from tests.conftest import Services
from tests.engines.live import Place

pytestmark = [pytest.mark.services, pytest.mark.slow]
Ran = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def ran(services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    for name in ("KAFKA", "REDIS"):
        monkeypatch.delenv(f"STREAM_RETRAIN_TEST_{name}", raising=False)
    for name, value in services.environment.items():
        if name.startswith("STREAM_RETRAIN_"):
            monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["retrain", *arguments, "--json"])
        told = capsys.readouterr()
        return int(str(ended.value.code)), json.loads(told.out), told.err

    return run


@contextlib.contextmanager
def events_meanwhile(place: Place) -> Iterator[None]:
    """A shard takes a request with its next event: so events come."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.3):
            place.send(1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(30)


def declared(place: Place, reaction: str) -> None:
    text = place.file.read_text().replace("import Pipeline, Schema", "import On, Pipeline, Reset, Retrain, Schema, Window")
    place.file.write_text(text.replace("Pipeline(name", f"Pipeline(react=[On.request({reaction})], name"))
    place.pipeline = load_pipeline(str(place.file))


def test_it_says_what_stands_in_its_way_and_that_nobody_trains(services: Services, tmp_path: Path, ran: Ran) -> None:
    place = Place(services, tmp_path)
    declared(place, "Retrain(window=Window(rows=5_000))")
    group = f"stream_retrain.{place.pipeline.name}"
    code, told, _ = ran(str(place.file), "--wait", "--timeout", "1")
    assert (code, told["notes"]) == (3, [f"no worker of group {group} runs: the request waits for one, for a week at most"])
    shown = {"outcome": "timed_out", "detail": "it is not taken yet: a shard takes it with its next event", "offset": None}
    assert told["outcomes"] == {"0": shown}
    with place.worker() as running:
        running.wait_for(lambda: running.status()["ready"])
        place.send(30)
        running.wait_for(lambda: ["under way" in note for note in ran(str(place.file))[1]["notes"]] == [True])
        with events_meanwhile(place):
            outcomes = [ran(str(place.file), "--wait", "--timeout", "60") for _ in range(2)]
        running.stop()
    assert {code for code, _, _ in outcomes} == {1}
    words = {told["outcomes"]["0"]["outcome"]: told["outcomes"]["0"]["detail"] for _, told, _ in outcomes}
    assert set(words) <= {"failed", "refused"}
    assert "there is no trainer (setting trainer)" in words.get("failed", "there is no trainer (setting trainer)")
    assert words.get("refused", "").endswith("Retrain: a training is in progress") or "refused" not in words


def test_a_reset_is_waited_for(services: Services, tmp_path: Path, ran: Ran) -> None:
    place = Place(services, tmp_path)
    declared(place, "Reset()")
    with place.worker() as running:
        running.wait_for(lambda: running.status()["ready"])
        with events_meanwhile(place):
            code, told, err = ran(str(place.file), "--wait", "--timeout", "60", "--partition", "0")
        running.stop()
    outcome = told["outcomes"]["0"]
    assert (code, outcome["outcome"], outcome["detail"]) == (0, "done", "the model was reset; generation 1 serves")
    assert "partition 0: it was taken; its rules are asked at the next label" in err
