"""An artifact gives back the challenger as it came, and nothing else."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from river import linear_model

from stream_retrain.codec.artifacts import artifact_name, open_artifact, seal_artifact
from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.models import seal_model
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.core.digest import digest
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from tests.core import streams

PIPELINE = streams.pipeline()
SHARD = ShardId(PIPELINE.name, PIPELINE.source, 0)
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))


def trained(**changes: object) -> Trained:
    model = linear_model.LogisticRegression()
    for x, y in streams.rows(50):
        model.learn_one(x, y)
    given = {"training": 3, "model": model, "lessons": 120, "learned_through": 77, "caught_up": 4, "gap": True, "digest": digest(model)}
    return Trained(**{**given, **changes})  # type: ignore[arg-type]


CHALLENGER = trained()
NAME = artifact_name(3, CHALLENGER.digest)
SEALED = seal_artifact(CHALLENGER, PIPELINE, SHARD, KEYRING)


def test_it_comes_back_as_it_was() -> None:
    back = open_artifact(SEALED, NAME, PIPELINE, SHARD, KEYRING)
    told = [field.name for field in dataclasses.fields(Trained) if field.name != "model"]
    assert {name: getattr(back, name) for name in told} == {name: getattr(CHALLENGER, name) for name in told}
    assert digest(back.model) == CHALLENGER.digest
    assert isinstance(back.gap, bool)


@pytest.mark.parametrize("name", [artifact_name(4, CHALLENGER.digest), artifact_name(3, "f" * 64), "", "3-"])
def test_under_another_name_it_is_none(name: str) -> None:
    with pytest.raises(StateError, match="what is kept as artifact"):
        open_artifact(SEALED, name, PIPELINE, SHARD, KEYRING)


def test_a_model_that_was_changed_under_a_good_seal_is_found_by_its_digest() -> None:
    other = seal_artifact(trained(model=linear_model.LogisticRegression(l2=0.5)), PIPELINE, SHARD, KEYRING)
    with pytest.raises(StateError, match="what is kept as artifact"):
        open_artifact(other, NAME, PIPELINE, SHARD, KEYRING)


def test_a_sealed_model_that_is_no_artifact_is_refused() -> None:
    model = seal_model(CHALLENGER.model, PIPELINE, SHARD, KEYRING, learned_through=77)
    with pytest.raises(StateError, match="its header lacks 'training'"):
        open_artifact(model, NAME, PIPELINE, SHARD, KEYRING)


def test_a_header_with_a_number_that_is_none_is_refused() -> None:
    header, payload = unseal(SEALED, KEYRING)
    changed = msgspec.structs.replace(header, extra={**header.extra, "lessons": "many"})
    with pytest.raises(StateError, match="is none"):
        open_artifact(seal(changed, payload, KEYRING), NAME, PIPELINE, SHARD, KEYRING)


@pytest.mark.parametrize("where", [5, 60, 300, len(SEALED) - 1])
def test_damage_is_found_before_anything_is_unpickled(where: int) -> None:
    damaged = bytearray(SEALED)
    damaged[where] ^= 1
    with pytest.raises(StateError):
        open_artifact(bytes(damaged), NAME, PIPELINE, SHARD, KEYRING)


def test_one_of_another_shard_or_a_checkpoint_is_refused() -> None:
    with pytest.raises(StateError, match="another partition"):
        open_artifact(SEALED, NAME, PIPELINE, SHARD._replace(partition=1), KEYRING)
    header, payload = unseal(SEALED, KEYRING)
    checkpoint = seal(checkpoint_header(PIPELINE, SHARD, 78, 0, extra=header.extra), payload, KEYRING)
    with pytest.raises(StateError, match="another kind"):
        open_artifact(checkpoint, NAME, PIPELINE, SHARD, KEYRING)


def test_the_same_model_of_two_trainings_has_two_names() -> None:
    assert artifact_name(3, "ab") != artifact_name(4, "ab")
