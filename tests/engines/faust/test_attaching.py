"""Into which Faust apps a pipeline can be put, with which settings, and what agents get of it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import faust
import pytest
from faust.types import TP
from river import linear_model

from stream_retrain import Pipeline, Schema
from stream_retrain.attaching import Attached
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.engines.faust import DeadLetter, Decision, Prediction, attach
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings

KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))
PIPELINE = Pipeline(
    name="shop",
    task="binary",
    source="shop.events",
    schema=Schema(id="id", label="y", features={"a": float}),
    model=linear_model.Perceptron(),
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests says nothing."""
    for name in [name for name in os.environ if name.startswith("STREAM_RETRAIN_")]:
        monkeypatch.delenv(name)


def app(**options: Any) -> faust.App:
    return faust.App("team", **{"broker": "kafka://one:9093;two:9094", "store": "memory://"} | options)


def attached(to: Any) -> Attached:
    return attach(to, PIPELINE, keyring=KEYRING)


def started() -> faust.App:
    team = app()
    team._started.set()
    return team


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: app(processing_guarantee="exactly_once"), "in two transactions"),
        (lambda: app(broker="confluent://one:9092"), "confluent driver"),
        (started, "has been started"),
    ],
)
def test_an_app_in_which_nothing_would_be_exactly_once_is_refused(made: Callable[[], Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        attached(made())


def test_two_pipelines_of_one_source_are_refused_in_one_app() -> None:
    team = app()
    attached(team)
    attach(team, dataclasses.replace(PIPELINE, name="other", source="other.events"), keyring=KEYRING)
    with pytest.raises(SettingsError, match=r"reads 'shop\.events', and both would commit its offsets"):
        attach(team, dataclasses.replace(PIPELINE, name="again"), keyring=KEYRING)


def test_what_is_no_app_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"a pipeline is attached to a faust.App"):
        attached(type("Other", (), {"conf": faust.App("team", broker="kafka://one:9093").conf})())


def test_without_settings_kafka_is_where_the_app_s_broker_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_RETRAIN_REDIS_URL", "redis://cache:6379/3")
    settings = attached(app())._attachment.settings
    assert settings.kafka_bootstrap_servers == "one:9093,two:9094"
    assert settings.redis_url == "redis://cache:6379/3"
    assert (settings.group_of("shop"), settings.http, settings.static_membership) == ("team", False, False)


def test_the_group_is_the_app_s_whatever_the_settings_say() -> None:
    given = attach(app(), PIPELINE, Settings(group="other", kafka_bootstrap_servers="three:9092"), keyring=KEYRING)._attachment.settings
    assert given.group_of("shop") == "team"
    assert given.kafka_bootstrap_servers == "three:9092"


def test_without_a_key_it_is_refused_as_the_command_line_does() -> None:
    with pytest.raises(SettingsError, match="there is no signing_key_file"):
        attach(app(), PIPELINE)


def test_faust_is_to_commit_nothing_of_the_source() -> None:
    team = app()
    pipeline = attached(team)
    [source] = [agent.channel for agent in team.agents.values()]
    assert source.topics == ["shop.events"]
    assert not source.acks
    assert pipeline.status() == {}
    assert pipeline._answer("/status", "")[0] == 503


def test_an_agent_that_acknowledges_the_source_stops_the_app_before_its_offsets_race() -> None:
    """Faust would commit offsets beside the pipeline's transactions, and what lies between would be lost."""
    team = app()
    attachment = attached(team)._attachment
    team.topics.acking_topics.add("shop.events")
    with pytest.raises(SettingsError, match="another agent of this Faust app acknowledges"):
        asyncio.run(attachment._on_assigned(None, {TP("shop.events", 0)}))


def test_topics_of_outputs_are_typed() -> None:
    pipeline = attached(app())
    topics = (pipeline.predictions, pipeline.decisions, pipeline.dead_letters)
    assert [list(topic.topics) for topic in topics] == [["shop.predictions"], ["shop.decisions"], ["shop.dead_letters"]]
    assert (pipeline.predictions.value_type, pipeline.decisions.value_type) == (Prediction, Decision)


def test_a_prediction_is_read_though_a_later_release_says_more() -> None:
    told = {"id": "e1", "offset": 3, "prediction": None, "probability": 0.25, "generation": 2, "later": [1]}
    prediction = Prediction.loads(json.dumps(told).encode())
    assert (prediction.id, prediction.offset, prediction.prediction) == ("e1", 3, None)
    assert (prediction.probability, prediction.generation) == (0.25, 2)


def test_a_decision_has_its_kind() -> None:
    told = {
        "specversion": "1.0",
        "id": "t/0/9/0/drift.detected",
        "source": "/pipelines/shop",
        "type": "io.streamretrain.drift.detected.v1",
        "subject": "t/0",
        "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {"offset": 9},
    }
    decision = Decision.loads(json.dumps(told).encode())
    assert (decision.kind, decision.data["offset"], decision.subject) == ("drift.detected", 9, "t/0")


def test_a_dead_letter_is_made_of_what_its_headers_say() -> None:
    headers = {"reason": b"schema", "detail": b"why", "field": b"a", "pipeline": b"shop", "topic": b"shop.events"}
    headers |= {"partition": b"2", "offset": b"17", "bytes": b"4"}
    message = type("Message", (), {"headers": [(f"sr_{name}", value) for name, value in headers.items()], "value": b"{bad"})
    letter = DeadLetter.of(type("Event", (), {"message": message}))
    assert (letter.reason, letter.field, letter.partition, letter.offset, letter.bytes) == ("schema", "a", 2, 17, 4)
    assert letter.value == b"{bad"
