"""What is written of versions in MLflow, from the versions of real runs; no MLflow is needed."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.callbacks.child import module_handlers
from stream_retrain.facts.decision import Decision
from stream_retrain.facts.version import Version
from stream_retrain.integrations.mlflow_values import KINDS, TEXT_CHARS_MAX, is_written, key_of, model_text, run_values, version_tags
from stream_retrain.lane.decision import read_decision
from stream_retrain.stores.versions_told import PipelineVersions
from tests.engines.past_support import COUNT, KEYRING, LiveRun
from tests.engines.test_keeper import ALL, RACING, TRAINING, shard_of

NAME = re.compile(r"[\w\-. /:]{1,250}")
"""What MLflow takes as the name of a parameter, a metric or a tag."""


class Past:
    """A run, the versions it left and the decisions it made, in order."""

    def __init__(self, pipeline: Pipeline) -> None:
        run = LiveRun()
        run.work(COUNT, pipeline, keeps=ALL, stop=True)
        self.told = PipelineVersions(run.stores, pipeline, KEYRING)
        self.versions = self.told.of(0)
        read = [read_decision(each.put.value) for kind in KINDS for each in run.topics["decisions"] if each.identity.fact == kind]
        self.decisions = [each for each in read if each is not None]
        self.joined = {each.data["training"]: each.offset for each in self.decisions if each.kind == "training.joined"}
        assert {version.id for version in self.versions} == {version.id for version in run.stores.versions.all(shard_of(pipeline))}

    def as_of(self, offset: int, *, before: bool) -> list[Version]:
        """The versions as they were written down just before what happened at an offset, or just after."""

        def had(at: int | None) -> bool:
            return at is not None and (at < offset if before else at <= offset)

        return [self._was(version, had) for version in self.versions if version.began is not None and had(version.began.offset)]

    def _was(self, version: Version, had: Any) -> Version:
        changes: dict[str, Any] = {}
        if version.ended is not None and not had(version.ended.offset):
            changes |= {"ended": None, "ended_by": None}
        if version.generation is None and version.trained_on is not None and not had(self.joined.get(version.training)):
            changes |= {"trained_on": dataclasses.replace(version.trained_on, learned_through=None), "duel": None}
        return dataclasses.replace(version, **changes)


@pytest.fixture(scope="module")
def racing() -> Past:
    return Past(RACING)


@pytest.fixture(scope="module")
def training() -> Past:
    return Past(TRAINING)


@pytest.fixture(scope="module", params=["racing", "training"])
def past(request: pytest.FixtureRequest) -> Past:
    found: Past = request.getfixturevalue(request.param)
    return found


def test_each_version_is_a_run_of_its_own_key_and_says_what_became_of_it(past: Past) -> None:
    runs = {version.id: run_values(version, "a model") for version in past.versions}
    assert len({run.key for run in runs.values()}) == len(runs) > 2
    for version in past.versions:
        run = runs[version.id]
        assert (run.status == "RUNNING") == (version.ended is None)
        assert (run.tags["sr_outcome"] == "serves") == version.serves
        assert run.start_ms is not None
        assert (run.end_ms is None) == (version.ended is None)
        assert run.tags.items() >= version_tags(version).items()
        assert run.params["pipeline_digest"] == version.pipeline_digest
        assert run.params["river"] == version.software.river


def test_names_and_texts_are_such_as_mlflow_takes(past: Past) -> None:
    for version in past.versions:
        run = run_values(dataclasses.replace(version, cause="x" * 5_000, challenger=version.challenger and "a/b=c"), "m" * 5_000)
        for name in (*run.params, *run.metrics, *run.tags):
            assert NAME.fullmatch(name), name
        assert all(0 < len(text) <= TEXT_CHARS_MAX for text in run.params.values())
        assert len(run.tags["mlflow.note.content"]) < 8_000


def test_a_training_has_what_it_learned_and_what_its_duel_said(training: Past) -> None:
    raced = [version for version in training.versions if version.generation is None and version.standings]
    assert raced
    for version in raced:
        run, trained = run_values(version, "a model"), version.trained_on
        assert trained is not None
        assert run.name == f"{version.id} challenger {version.challenger}"
        assert run.metrics["training/lessons"] == trained.lessons
        assert run.params["learned_through_offset"] == str(trained.learned_through)
        assert run.params["window"] == "the last 500 rows"
        [own] = [each for each in version.standings if each.name == version.challenger]
        evidence = own.e_value if version.won_by is None else version.won_by
        assert run.metrics["duel/e_value"] == evidence
        assert run.metrics["duel/p_value_at_most"] == min(1.0, 1 / evidence)
        assert {name for name in run.metrics if name.startswith("duel/loss ")} == {f"duel/loss {each.name}" for each in version.standings}
        assert f"Duel {version.duel}" in run.tags["mlflow.note.content"]


def test_a_generation_has_its_quality_before_and_since(racing: Past) -> None:
    won = next(version for version in racing.versions if version.came == "lead")
    run = run_values(won, "a model")
    assert {name: run.metrics[f"before/{name}"] for name in won.quality.before} == won.quality.before
    assert {name: run.metrics[f"since/{name}"] for name in won.quality.since} == won.quality.since
    assert (run.metrics["since/events"], run.step) == (won.quality.events, won.quality.events)
    assert f"It replaced {won.replaced}." in model_text(won, "a model")
    [told] = [each for each in racing.decisions if each.kind == "duel.lead_changed" and each.data["generation"] == won.generation]
    [standing] = [each for each in told.data["standings"] if each["name"] == won.challenger]
    assert run.metrics["duel/e_value"] == won.won_by == standing["e_value"] > 1, "by what it won, and not how it stood at the end"


def test_the_same_version_has_the_same_state_and_one_that_went_on_another(racing: Past) -> None:
    champion = racing.versions[-1]
    went_on = dataclasses.replace(champion, quality=dataclasses.replace(champion.quality, events=champion.quality.events + 1))
    assert run_values(champion, "m").state == run_values(dataclasses.replace(champion), "m").state != run_values(went_on, "m").state


def test_a_shard_that_began_anew_has_other_keys(racing: Past) -> None:
    first = racing.versions[0]
    assert first.began is not None
    anew = dataclasses.replace(first, began=dataclasses.replace(first.began, offset=first.began.offset + 1))
    assert (anew.id, key_of(anew)) == (first.id, f"{first.topic}/0/{anew.began.offset if anew.began else ''}/{first.id}")
    assert key_of(anew) != key_of(first)


def test_what_was_lost_is_not_said_to_have_finished(racing: Past) -> None:
    lost = dataclasses.replace(racing.versions[-1], ended=racing.versions[-1].began, ended_by="begun_anew")
    assert (run_values(lost, "m").status, run_values(lost, "m").tags["sr_outcome"]) == ("KILLED", "lost: the shard began anew")


def test_after_each_decision_the_registry_is_waited_for_and_no_longer_than_needed(past: Past) -> None:
    assert {each.kind for each in past.decisions} >= {"duel.ended", "model.reset"}
    for decision in past.decisions:
        before, after = past.as_of(decision.offset, before=True), past.as_of(decision.offset, before=False)
        assert is_written(decision, after), decision.id
        if not _changes_nothing(decision, past):
            assert not is_written(decision, before), decision.id


def _changes_nothing(decision: Decision, past: Past) -> bool:
    """The end of a duel in which no challenger of a training raced ends no version."""
    return decision.kind == "duel.ended" and not any(
        version.duel == decision.data["duel"] and version.generation is None for version in past.versions
    )


def test_what_the_registry_has_forgotten_is_not_waited_for(training: Past) -> None:
    first = min(training.decisions, key=lambda each: each.offset)
    assert is_written(first, training.versions[-1:])
    assert not is_written(first, [])


def test_the_model_of_a_family_is_named_and_a_family_that_is_gone_by_its_name(racing: Past) -> None:
    assert racing.told.model_words("") == str(RACING.model)
    assert racing.told.model_words("gone") == "gone"


def test_module_handlers_gives_the_pipeline_with_its_handlers() -> None:
    module = module_handlers("tests.engines.test_keeper:RACING")
    assert (module.pipeline, module.handlers) == (RACING, {})
