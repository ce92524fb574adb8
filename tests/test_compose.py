"""The composition root: which keys, which trainer, which labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_retrain import compose
from stream_retrain.engines.trainer import ProcessTrainer
from stream_retrain.errors import SettingsError
from stream_retrain.facts.worker import Retrying
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from tests.core import streams

PIPELINE = streams.pipeline()


def settings(**changes: Any) -> Settings:
    return load_settings(None, {}, changes)


def test_a_key_file_signs(tmp_path: Path) -> None:
    file = tmp_path / "signing.key"
    file.touch(mode=0o600)
    file.write_text(f"k1:{'ab' * 16}\n")
    keyring = compose.keyring_of(settings(signing_key_file=str(file), allow_unsigned=True))
    assert keyring.signing_key is not None
    assert keyring.signing_key.id == "k1"


def test_without_a_key_unsigned_must_be_allowed() -> None:
    assert compose.keyring_of(settings(allow_unsigned=True)).signs is False
    with pytest.raises(SettingsError, match=r"(?s)signing_key_file.*--allow-unsigned"):
        compose.keyring_of(settings())


@pytest.mark.parametrize(("wanted", "kind"), [("process", ProcessTrainer), ("off", type(None))])
def test_the_trainer_is_the_one_of_the_setting(wanted: str, kind: type) -> None:
    stores, unsigned = connect("memory://"), compose.keyring_of(settings(allow_unsigned=True))
    with compose.trainer_of(PIPELINE, settings(trainer=wanted), stores, unsigned, None) as trainer:
        assert isinstance(trainer, kind)


def test_the_metrics_know_watches_and_reactions_beforehand() -> None:
    labels = compose._labels(PIPELINE)
    assert (labels.name, labels.topic, labels.task) == ("test", "events", "binary")
    assert labels.watches == (("ADWIN", "error"),)
    assert labels.reactions == ("Reset",)
    assert labels.metrics == (("Accuracy", True),)


def test_a_model_is_named_by_its_steps() -> None:
    from river import linear_model, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    assert compose._labels(streams.pipeline(model=model)).model == "StandardScaler | LogisticRegression"
    assert compose._labels(streams.pipeline(model=linear_model.Perceptron())).model == "Perceptron"


def test_every_view_is_told_every_fact_in_order() -> None:
    told: list[tuple[str, float]] = []
    tell = compose.all_of(lambda fact: told.append(("a", fact.wait_s)), lambda fact: told.append(("b", fact.wait_s)))  # type: ignore[union-attr]
    tell(Retrying(error="x", wait_s=1.0))
    tell(Retrying(error="x", wait_s=2.0))
    assert told == [("a", 1.0), ("b", 1.0), ("a", 2.0), ("b", 2.0)]


def test_the_group_is_made_of_the_pipeline_unless_it_is_set() -> None:
    assert settings().group_of("orders") == "stream_retrain.orders"
    assert settings(group="mine").group_of("orders") == "mine"
