"""Laws 1, 2 and 3 of the design, on the shard."""

from __future__ import annotations

import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, drift, evaluate, metrics, tree

from stream_retrain import Challenge, Evidence, Ignore, On, Pipeline, Reset, Shard, Watch
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import DuelEnded, DuelStarted, LeadChanged, ModelReset
from stream_retrain.facts.values import Event
from stream_retrain.models import adaptive_classifier
from tests.core import streams
from tests.lane.support import joined, restored, succession

CASES = streams.oracle_cases()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("delay", [None, 1, 37])
def test_scores_equal_progressive_val_score_to_the_last_digit(name: str, delay: int | None) -> None:
    pipeline, pairs = CASES[name]
    shard = Shard(pipeline)
    shard.process(streams.events(pairs) if delay is None else streams.questions_and_answers(pairs, delay))
    expected = {}
    for metric in pipeline.scores.metrics:
        scored = evaluate.progressive_val_score(pairs, pipeline.model.clone(), metric.clone(), delay=delay)
        expected[type(metric).__name__] = scored.get()
    assert shard.observe().running == expected


def test_a_label_changes_no_prediction_made_before_it() -> None:
    pairs = streams.rows(400)
    turned = [(x, y != (number == 200)) for number, (x, y) in enumerate(pairs)]
    first = Shard(streams.pipeline()).process(streams.events(pairs)).predicted
    second = Shard(streams.pipeline()).process(streams.events(turned)).predicted
    assert first[:201] == second[:201]
    assert first[201:] != second[201:]


PAIRS = streams.rows(700, flip_at=350)
MIXED: list[Event] = [
    *streams.events(PAIRS[:200]),
    *(event._replace(offset=event.offset + 200, id=f"q{event.id}") for event in streams.questions_and_answers(PAIRS[200:], 20)),
]
WATCHES = [Watch("error", drift.ADWIN()), Watch("error", drift.binary.DDM()), Watch("feature:a", drift.PageHinkley())]
PIPELINE = streams.pipeline(watch=WATCHES, metrics=[metrics.Accuracy(), metrics.ROCAUC()], pending_rows_max=30)
DUELLING = streams.pipeline(
    watch=WATCHES[:1],
    react=[On.drift("error", Challenge(evidence=Evidence(events_max=150)))],
    model=tree.HoeffdingTreeClassifier(grace_period=20),
    pending_rows_max=30,
)
WHOLES = {pipeline: (shard := Shard(pipeline), shard.process(MIXED)) for pipeline in (PIPELINE, DUELLING)}


def test_the_mixed_log_has_a_drift_a_reset_and_a_duel() -> None:
    assert [type(fact) for fact in WHOLES[PIPELINE][1].facts].count(ModelReset) > 0
    kinds = [type(fact) for fact in WHOLES[DUELLING][1].facts]
    assert {DuelStarted, LeadChanged, DuelEnded} <= set(kinds)


@pytest.mark.parametrize("pipeline", WHOLES, ids=["reset", "duel"])
@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, len(MIXED) - 1), max_size=8).map(sorted))
def test_any_split_into_batches_gives_the_same_facts_and_the_same_state(pipeline: Pipeline, cuts: list[int]) -> None:
    whole, whole_outcome = WHOLES[pipeline]
    shard = Shard(pipeline)
    borders = [0, *cuts, len(MIXED)]
    outcomes = [shard.process(MIXED[start:end]) for start, end in itertools.pairwise(borders)]
    assert joined(outcomes) == joined([whole_outcome])
    assert shard.digest() == whole.digest()


@pytest.mark.parametrize("pipeline", WHOLES, ids=["reset", "duel"])
@settings(max_examples=12, deadline=None)
@given(stops=st.lists(st.integers(0, len(MIXED)), min_size=1, max_size=4).map(sorted))
def test_restored_and_gone_on_is_never_stopped(pipeline: Pipeline, stops: list[int]) -> None:
    whole, whole_outcome = WHOLES[pipeline]
    shard = Shard(pipeline)
    outcomes = []
    borders = [0, *stops, len(MIXED)]
    for start, end in itertools.pairwise(borders):
        outcomes.append(shard.process(MIXED[start:end]))
        shard = restored(pipeline, shard)
    assert joined(outcomes) == joined([whole_outcome])
    assert shard.digest() == whole.digest()


PROGRAM = """
from river import drift, forest, metrics, neighbors, tree
from stream_retrain import Schema, Shard, Watch, On, Reset
from tests.core import streams
words = ["red", "green", "blue", "grey", "pink"]
schema = Schema(id="id", label="y", features={**dict.fromkeys(streams.FEATURES, float), "word": str})
pairs = [({**x, "word": words[n * 7 % 5]}, y) for n, (x, y) in enumerate(streams.rows(700, flip_at=300))]
for model in (tree.HoeffdingTreeClassifier(grace_period=20), forest.ARFClassifier(n_models=3, seed=1)):
    shard = Shard(streams.pipeline(schema=schema, model=model))
    outcome = shard.process(streams.events(pairs))
    print(shard.digest(), outcome.predicted[-1])
nearest = neighbors.KNNClassifier(n_neighbors=3, weighted=False, engine=neighbors.LazySearch(window_size=100))
parts = {"task": "multiclass", "model": nearest, "metrics": [metrics.CrossEntropy()], "watch": [], "react": []}
shard = Shard(streams.pipeline(schema=Schema(id="id", label="word", features=dict.fromkeys(streams.FEATURES, float)), **parts))
asked = [({name: round(x[name]) for name in streams.FEATURES}, x["word"]) for x, _ in pairs]
print([(each.prediction, each.probability) for each in shard.process(streams.events(asked)).predicted])
"""


@pytest.mark.slow
def test_state_is_a_function_of_the_log_whatever_the_hash_seed() -> None:
    """Another process orders its sets of strings in another way; the state must not depend on that."""
    root = str(Path(__file__).parents[2])
    seen = set()
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        ran = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        seen.add(ran.stdout)
    assert len(seen) == 1


def test_getting_better_is_no_drift() -> None:
    """A detector on the error sees it fall while the fresh model learns; a reset would start it all over."""
    pairs = streams.rows(4_000)
    slow = tree.HoeffdingTreeClassifier(grace_period=100)
    shard = Shard(streams.pipeline(model=slow, watch=[Watch("error", drift.ADWIN(delta=0.05, clock=8))]))
    outcome = shard.process(streams.events(pairs))
    assert shard.generation == 0
    assert not outcome.facts
    both = Shard(streams.pipeline(model=slow, watch=[Watch("error", drift.ADWIN(delta=0.05, clock=8), direction="both")]))
    both.process(streams.events(pairs))
    assert both.generation > 0, "the stream must be one on which a two-sided detector would have fired"


@pytest.mark.parametrize("reaction", [Reset(), Challenge()], ids=["reset", "challenge"])
def test_a_stationary_stream_replaces_nothing(reaction: Reset | Challenge) -> None:
    shard = Shard(streams.pipeline(watch=[Watch("error", drift.ADWIN())], react=[On.drift("error", reaction)]))
    shard.process(streams.events(streams.rows(20_000, seed=3)))
    assert shard.generation == 0


class Uneven(base.Classifier):
    """Predicts the last label, and raises on some events before or while it learns."""

    def __init__(self) -> None:
        self.last = False

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        if x["b"] > 1.5:
            raise ValueError("too much to learn")
        self.last = y

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        if x["a"] > 1.5:
            raise ValueError("no prediction")
        return self.last


PLAIN: dict[str, Any] = {
    "reset": {},
    "challenge": {"react": [On.drift("error", Challenge(evidence=Evidence(events_max=200)))]},
    "probabilities": {"metrics": [metrics.ROCAUC(), metrics.Accuracy()], "watch": [Watch("loss", drift.ADWIN())], "react": []},
    "a model that raises": {"model": Uneven(), "react": [On.drift("error", Challenge(evidence=Evidence(events_max=200)))]},
    "members": {"model": adaptive_classifier(), "watch": [], "react": []},
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_looked_at_besides_changes_nothing(name: str) -> None:
    """A rule that wants to see every event and never holds, or a question that waits for ever, leaves all that happens as it is."""
    pairs = streams.rows(3_000, flip_at=1_200)
    asked, answered = streams.events(pairs), list(streams.questions_and_answers(pairs[:100], 3))
    log = [*asked[:1_700], *(event._replace(offset=event.offset + 1_700, id=f"late {event.id}") for event in answered)]
    log += [event._replace(offset=event.offset + 200) for event in asked[1_700:]]
    pipeline = streams.pipeline(**PLAIN[name])
    plain, shown = Shard(pipeline), Shard(dataclasses.replace(pipeline, react=[*pipeline.react, On.every(events=10**9, do=Ignore())]))
    waited = Shard(pipeline)
    [unanswered] = waited.process([Event(-1, "for ever", -1.0, pairs[0][0], None)]).predicted
    assert unanswered.id == "for ever"
    for start in range(0, len(log), 250):
        batch = log[start : start + 250]
        expected = plain.process(batch)
        assert shown.process(batch) == waited.process(batch) == expected
    assert waited.waiting == plain.waiting + 1
    for other in (shown, waited):
        assert other.observe().running == plain.observe().running
        assert digest(succession(other)) == digest(succession(plain))
        assert digest(other.snapshot()["reactions"]["watches"]) == digest(plain.snapshot()["reactions"]["watches"])
