"""What the trial made is written and opened: a checkpoint that could not be opened is refused when the pipeline is loaded."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from river import base, drift, feature_extraction, linear_model, metrics

from stream_retrain import Challenge, On, Pipeline, PipelineError, Schema, Watch
from stream_retrain.codec.trial import checkpointable
from stream_retrain.models import adaptive_classifier
from tests.core import streams

LR = linear_model.LogisticRegression


class Keeping(base.Classifier):
    """A user's own model."""

    def __init__(self, part: Any = None) -> None:
        self.part = part
        self.kept: Any = None

    def learn_one(self, *_: Any) -> None:
        self.kept = self.part

    def predict_one(self, *_: Any) -> bool:
        return self.kept is not None


class Getter(Keeping):
    """Keeps, when it has learned, what its module does not define."""

    def learn_one(self, *_: Any) -> None:
        self.kept = operator.itemgetter("a")


class Forgetting(Keeping):
    """Does not pickle what it has learned."""

    def learn_one(self, *_: Any) -> None:
        self.kept = "something"

    def __getstate__(self) -> dict[str, Any]:
        return {"part": None, "kept": None}


class Addressed(Keeping):
    """Looks up the address of an object it keeps."""

    def learn_one(self, *_: Any) -> None:
        self.kept = {id(self): True}

    def predict_one(self, *_: Any) -> bool:
        return self.kept is None or self.kept[id(self)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": feature_extraction.RandomTreesEmbedding(seed=1) | LR()}, "cannot go on after it was written and opened"),
        ({"model": Getter()}, "model: Getter: a checkpoint with it could not be opened: it names operator.itemgetter"),
        ({"model": Forgetting()}, "Forgetting goes on differently after it was written and opened"),
        ({"model": Addressed()}, "cannot go on after it was written and opened"),
        ({"react": [On.every(events=9, do=Challenge(challengers=(Getter(),)))]}, "challenger 'another': Getter: a checkpoint"),
    ],
)
def test_a_state_that_could_not_be_used_is_refused(change: dict[str, Any], words: str) -> None:
    pipeline = streams.pipeline(**change)
    with pytest.raises(PipelineError) as caught:
        checkpointable(pipeline)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_what_can_be_opened_passes_and_what_is_declared_has_learned_nothing() -> None:
    pipeline = streams.pipeline(model=adaptive_classifier(), metrics=[metrics.ROCAUC()], watch=[Watch("error", drift.ADWIN())])
    before = pipeline.digest()
    assert checkpointable(pipeline) is pipeline
    assert pipeline.digest() == before


def test_a_user_s_own_part_passes() -> None:
    schema = Schema(label="y", features={"a": float})
    checkpointable(Pipeline(name="own", task="binary", source="t", schema=schema, model=Keeping(Keeping(len))))
