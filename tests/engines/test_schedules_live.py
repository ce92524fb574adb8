"""A schedule of every second at a real Kafka, through a kill: each time is asked once, and verify repeats them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_retrain.cli import main
from stream_retrain.facts.request import due_in
from stream_retrain.loading import load_pipeline
from tests.conftest import Services
from tests.engines.live import Place, shard_of
from tests.engines.support import read_topic

pytestmark = [pytest.mark.services, pytest.mark.slow]


def asked(place: Place) -> list[str]:
    """The tokens of what schedules have asked, as the decisions tell."""
    found = [json.loads(each.value or b"") for each in read_topic(place.services, f"{place.pipeline.name}.decisions")[0]]
    return [each["data"]["token"] for each in found if each["type"] == "io.streamretrain.policy.requested.v1"]


def test_each_time_is_asked_once_through_a_kill(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services.given_here(monkeypatch)
    place = Place(services, tmp_path)
    rule = 'On.cron("* * * * * *", do=Ignore(), timezone="Europe/Berlin")'
    text = place.file.read_text().replace("import Pipeline", "import Ignore, On, Pipeline")
    place.file.write_text(text.replace("pipeline = Pipeline(", f"pipeline = Pipeline(react=[{rule}], "))
    place.pipeline = load_pipeline(str(place.file))
    place.send(3)

    def more(count: int) -> bool:
        place.send(1)
        return len(asked(place)) >= count

    with place.worker(session_timeout_ms=6_000) as running:  # killed at the end
        running.wait_for(lambda: "worker is running" in running.log)  # the topics are there from then on
        running.wait_for(lambda: more(3))
        assert shard_of(running)["schedules"][0]["schedule"] == "cron:* * * * * * Europe/Berlin"
    before = len(asked(place))
    with place.worker() as running:
        running.wait_for(lambda: more(before + 3))
        running.stop()
    tokens = asked(place)
    times = [due for due in map(due_in, tokens) if due is not None]
    assert len(times) == len(tokens)
    assert times == sorted(set(times)), "in their order, and none twice"
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(place.file), "--predictions"])
    assert int(str(ended.value.code)) == 0, capsys.readouterr()
