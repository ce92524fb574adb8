"""What is asked on the command line at a real Kafka and Redis: what stands in its way is said, and what comes of it is waited for."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.cli import COMMANDS, main
from stream_retrain.loading import load_pipeline
from tests.conftest import Services
from tests.engines.live import Place, has, shard_of

pytestmark = [pytest.mark.services, pytest.mark.slow]
Ran = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def ran(services: Services, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    services.given_here(monkeypatch)

    def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*(() if arguments[0] in COMMANDS else ("retrain",)), *arguments, "--json"])
        told = capsys.readouterr()
        return int(str(ended.value.code)), json.loads(told.out or "{}"), told.err

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
    code, told, err = ran(str(place.file), "--wait", "--timeout", "1")
    assert code == 3, err
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


def test_a_reset_by_hand_is_done_once_whoever_asks_again_and_a_version_that_is_not_there_is_not_asked_for(
    services: Services, tmp_path: Path, ran: Ran
) -> None:
    place = Place(services, tmp_path)
    with place.worker() as running:
        running.wait_for(lambda: running.status()["ready"])
        with events_meanwhile(place):
            for _ in range(2):
                code, told, _ = ran("reset", str(place.file), "--wait", "--timeout", "60", "--token", "once", "--reason", "it is odd")
                assert (code, told["outcomes"]["0"]["detail"]) == (0, "the model was reset; generation 1 serves")
        assert (told["do"], told["token"], told["requests"]) == ("reset", "once", {"0": "once"})
        assert told["by"].startswith("cli:")
        code, _, err = ran("models", "promote", str(place.file), "0-g99")
        assert (code, "0-g99" in err) == (2, True)
        code, _, err = ran("models", "promote", str(place.file), "newest")
        assert (code, "'newest' names no version that can be promoted" in err) == (2, True)
        assert ran(str(place.file))[0] == 2, "no rule on requests"
        assert running.counts("resets") == {f'stream_retrain_resets_total{{partition="0",pipeline="{place.pipeline.name}"}}': 1.0}
        running.stop()


def test_a_pause_by_hand_lasts_over_a_restart_until_it_is_resumed(services: Services, tmp_path: Path, ran: Ran) -> None:
    place = Place(services, tmp_path)
    with place.worker() as running:
        running.wait_for(lambda: running.status()["ready"])
        place.send(5)
        running.wait_for(has(running, 5))
        code, told, _ = ran("pause", str(place.file), "--wait", "--timeout", "60", "--reason", "the source is broken")
        assert (code, told["outcomes"]["0"]) == (0, {"outcome": "done", "detail": "it is paused at offset 5", "offset": 5})
        assert ran("pause", str(place.file))[1]["notes"] == ["partition 0 was paused before"]
        place.send(5)
        running.stop()
    with place.worker() as running:
        running.wait_for(lambda: shard_of(running).get("state") == "paused")
        assert shard_of(running)["paused_by"]["reason"] == "the source is broken"
        assert running.status()["ready"]
        assert "is paused at offset 5, until stream-retrain resume, by cli:" in running.log
        code, told, _ = ran("resume", str(place.file))
        assert (code, told["new"]) == (0, [0])
        running.wait_for(lambda: place.answered()[0] == 10)
        assert ran("resume", str(place.file), "--partition", "0")[0] == 2
        running.stop()
