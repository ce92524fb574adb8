"""A partition that is shredded pauses at a real Kafka; the other goes on, a restart finds it paused, and it goes on where it is told to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from stream_retrain.cli import main
from stream_retrain.loading import load_pipeline
from tests.conftest import Services
from tests.engines.live import Place, has, shard_of
from tests.engines.support import Worker, read_topic

pytestmark = [pytest.mark.services, pytest.mark.slow]


def limited(place: Place) -> None:
    text = place.file.read_text()
    place.file.write_text(text.replace("pipeline = Pipeline(", "pipeline = Pipeline(rejects_share_max=0.5, rejects_over_records=10, "))
    place.pipeline = load_pipeline(str(place.file))


def rubbish(place: Place, count: int) -> None:
    producer = Producer({"bootstrap.servers": place.services.bootstrap_servers})
    for _ in range(count):
        producer.produce(place.source, b"rubbish", partition=0)
    assert producer.flush(20) == 0


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(str(ended.value.code))


def is_paused(running: Worker) -> bool:
    return bool(shard_of(running).get("state") == "paused")


def test_it_pauses_stays_so_and_goes_on_and_verifies(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    services.given_here(monkeypatch)
    place = Place(services, tmp_path, partitions=2)
    limited(place)
    place.send(20)
    rubbish(place, 7)
    place.send(3)
    with place.worker() as running:
        running.wait_for(lambda: is_paused(running))
        place.send(9, partition=1)
        running.wait_for(has(running, 9, partition=1))
        assert shard_of(running)["records"] == 25, "twenty, and five that were refused"
        assert running.counts("intake_pauses") == {
            f'stream_retrain_intake_pauses_total{{partition="{number}",pipeline="{place.pipeline.name}"}}': float(number == 0)
            for number in (0, 1)
        }
        assert running.status()["ready"], "the worker is well"
        assert "5 of the last 10 records were refused, the last one for 'decode'" in running.log
        running.stop()
    assert place.committed()[0] == 25
    assert exit_code("resume", str(place.file)) == 3
    assert "no worker of group" in capsys.readouterr().err
    with place.worker() as running:
        running.wait_for(lambda: is_paused(running))
        running.wait_for(lambda: exit_code("resume", str(place.file), "--json") == 0 and '"0": 25' in capsys.readouterr().out)
        running.wait_for(lambda: place.answered()[0] == 23)
        assert not is_paused(running)
        running.wait_for(lambda: exit_code("resume", str(place.file), "--partition", "0") == 2)
        running.stop()
    assert place.ids() == [f"e{number}" for number in range(1, 24)]
    decisions = [json.loads(each.value or b"") for each in read_topic(services, f"{place.pipeline.name}.decisions")[0]]
    assert [each["type"] for each in decisions] == ["io.streamretrain.intake.paused.v1"]
    assert {"offset": 24, "rejected": 5, "over_records": 10, "reason": "decode"}.items() <= decisions[0]["data"].items()
    assert len(read_topic(services, f"{place.pipeline.name}.dead_letters")[0]) == 7
    assert exit_code("verify", str(place.file), "--predictions") == 0, capsys.readouterr()
