"""The artifact of a warm start gives back the model with which a shard began, and nothing else passes for it."""

from __future__ import annotations

import pytest
from river import linear_model

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.warm import open_warm, seal_warm, warm_name
from stream_retrain.core.digest import digest
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.warm import WarmModel
from tests.core import streams

PIPELINE = streams.pipeline()
SHARD = ShardId(PIPELINE.name, PIPELINE.source, 3)
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))


def warm(**parameters: float) -> WarmModel:
    model = linear_model.LogisticRegression(**parameters)
    for x, y in streams.rows(50):
        model.learn_one(x, y)
    return WarmModel(model, "additive")


WARM = warm()
NAME = warm_name(WARM)
SEALED = seal_warm(WARM, PIPELINE, SHARD, KEYRING, begins_at=7, origin="old/t/0 at offset 5")


def test_it_comes_back_as_it_was_and_says_where_it_comes_from() -> None:
    back = open_warm(SEALED, NAME, PIPELINE, SHARD, KEYRING)
    assert (back.family, digest(back.model)) == ("additive", digest(WARM.model))
    header, _ = unseal(SEALED, KEYRING)
    assert (header.offset, header.extra["origin"]) == (7, "old/t/0 at offset 5")


def test_another_model_of_another_shard_or_pipeline_is_refused() -> None:
    other = seal_warm(warm(l2=0.5), PIPELINE, SHARD, KEYRING, begins_at=7, origin="")
    with pytest.raises(StateError, match="what is kept as artifact warm-"):
        open_warm(other, NAME, PIPELINE, SHARD, KEYRING)
    with pytest.raises(StateError, match="of another partition"):
        open_warm(SEALED, NAME, PIPELINE, SHARD._replace(partition=4), KEYRING)
    with pytest.raises(StateError, match="pipeline_digest is another"):
        open_warm(SEALED, NAME, streams.pipeline(rolling_events=60), SHARD, KEYRING)


def test_one_that_was_changed_or_not_signed_is_refused() -> None:
    with pytest.raises(StateError):
        open_warm(SEALED[:-1] + b"x", NAME, PIPELINE, SHARD, KEYRING)
    unsigned = seal_warm(WARM, PIPELINE, SHARD, Keyring.unsigned(), begins_at=7, origin="")
    with pytest.raises(StateError, match="is not signed"):
        open_warm(unsigned, NAME, PIPELINE, SHARD, KEYRING)
