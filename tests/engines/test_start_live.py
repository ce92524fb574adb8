"""A model from history, on real services: a worker begins with it, and serves it again where somebody asks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.errors import BrokerError
from tests.conftest import Services
from tests.engines.live import Place
from tests.engines.support import read_topic

pytestmark = [pytest.mark.slow, pytest.mark.services]


def command(place: Place, *arguments: str) -> Any:
    made = [sys.executable, "-m", "stream_retrain", *arguments, "--json"]
    done = subprocess.run(made, env=place.services.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def until(holds: Callable[[], Any]) -> None:
    end_s = time.monotonic() + 60
    while True:
        with contextlib.suppress(BrokerError):  # the topic is made by the worker
            if holds():
                return
        assert time.monotonic() < end_s
        time.sleep(0.3)


def test_from_history_to_a_shard_and_again_by_hand(services: Services, tmp_path: Path) -> None:
    place = Place(services, tmp_path)
    file, out, history = (str(tmp_path / name) for name in ("pipeline.py", "made.model", "history.jsonl"))
    rows = [json.dumps({"id": f"h{number}", "a": float(number % 7), "y": number % 7 > 3}) for number in range(700)]
    Path(history).write_text("\n".join(rows))
    made = command(place, "train", file, "--source", history, "--out", out, "--register")
    place.file.write_text(place.file.read_text().replace("source=", f'start="{out}", source=', 1))
    place.send(100)

    def decisions(kind: str) -> list[dict[str, Any]]:
        found = read_topic(services, f"{place.pipeline.name}.decisions").get(0, [])
        events = [json.loads(each.value or b"") for each in found]
        return [each["data"] for each in events if each["type"] == f"io.streamretrain.{kind}.v1"]

    def fed() -> bool:
        place.send(1)
        return True

    with place.worker():
        until(lambda: place.answered().get(0) == 100)
        command(place, "models", "promote", file, made["version"], "--partition", "0")
        place.send(5)
        until(lambda: place.answered().get(0) == 105)
        until(lambda: fed() and decisions("model.promoted"))  # it takes effect with an event
    [begun], [promoted] = decisions("shard.restored"), decisions("model.promoted")
    assert (begun["how"], begun["origin"].partition(" ")[0]) == ("warm", "made.model")
    assert promoted["version"] == made["version"]
    command(place, "verify", file)
