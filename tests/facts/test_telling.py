"""How facts are told: what each class declares once, and our words, as a table."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from stream_retrain.facts.drift import DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.duel import ContestantFailed, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.failures import MetricFailed, PredictionFailed
from stream_retrain.facts.member import LeaderChanged, LeaderWavered, MemberRestarted
from stream_retrain.facts.memory import MemoryReached, ModelPruned
from stream_retrain.facts.policy import Decided, ModelPromoted, ModelReset, Requested, RequestRefused
from stream_retrain.facts.records import IntakePaused, Passed, Rejected, Unmatched
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.shard import SHARD_FACTS, ShardFact
from stream_retrain.facts.telling import Counter, Level, counted_labels, without_values
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits, TrainingFailed, TrainingRequested
from stream_retrain.views.catalogue import CATALOGUE
from tests.facts.examples import EXAMPLES

PUBLISHED = {
    "drift.warned",
    "drift.detected",
    "drift.detector_failed",
    "policy.requested",
    "policy.decided",
    "request.refused",
    "model.promoted",
    "model.reset",
    "memory.reached",
    "memory.pruned",
    "training.requested",
    "training.failed",
    "training.joined",
    "training.waits",
    "member.restarted",
    "member.leads",
    "duel.started",
    "duel.lead_changed",
    "duel.contestant_failed",
    "duel.ended",
    "shard.restored",
    "intake.paused",
}
"""What programs that read the decisions topic know: an entry may be added, none renamed."""

NOT_DONE = "drift:error -> Challenge: not done: "
SENTENCES: list[tuple[type[ShardFact], dict[str, object], str]] = [
    (Rejected, {}, "sent to the dead-letter topic (schema): field 'a': Expected `float`, got `str`"),
    (Rejected, {"reason": "empty", "field": None, "detail": "no value"}, "sent to the dead-letter topic (empty): no value"),
    (Passed, {}, "passed over by decode"),
    (
        IntakePaused,
        {},
        (
            "500 of the last 1,000 records were refused, the last one for 'schema': no more are taken until `stream-retrain resume`,"
            " or a start with a changed pipeline"
        ),
    ),
    (Unmatched, {}, "the label of 'e7' has no waiting question"),
    (Unmatched, {"reason": "duplicate"}, "the label of 'e7' came again: its question was answered before"),
    (Unmatched, {"reason": "late"}, "the label of 'e7' came after its question had expired"),
    (Unmatched, {"reason": "expired_age"}, "question 'e7' waited longer than pending_age_max_s"),
    (Unmatched, {"reason": "expired_rows"}, "question 'e7' expired: more than pending_rows_max questions were waiting"),
    (Unmatched, {"reason": "expired_bytes"}, "question 'e7' expired: the waiting questions took more than pending_bytes_max"),
    (PredictionFailed, {}, "the prediction of generation 2 is not usable: nan is not a finite number"),
    (MetricFailed, {}, "metric RMSLE raised ValueError: math domain error; it goes on without this prediction"),
    (DriftDetected, {}, "ADWIN detected that error went up"),
    (DriftDetected, {"signal": "feature:a", "value": None}, "a is missing more often than before"),
    (DriftDetected, {"signal": "feature:a", "value": None, "direction": "down"}, "a is missing less often than before"),
    (WarningRaised, {}, "DDM on error entered its warning zone"),
    (DetectorFailed, {}, "KSWIN on feature:a raised ValueError: too few; a fresh one takes its place"),
    (Requested, {}, "a reaction was requested: a new season"),
    (Requested, {"by": "cli:ann"}, "a reaction was requested by cli:ann: a new season"),
    (RequestRefused, {}, "a promote that was asked for by cli:ann was refused: there is no version 0-g9"),
    (Decided, {}, "drift:error -> Challenge: started"),
    (Decided, {"outcome": "ignored", "reaction": "Ignore"}, "drift:error -> Ignore: nothing to do but to say so"),
    (Decided, {"outcome": "cooldown"}, f"{NOT_DONE}it is cooling down, or another rule acted at this event"),
    (Decided, {"outcome": "in_duel"}, f"{NOT_DONE}a duel is in progress"),
    (Decided, {"outcome": "in_training"}, f"{NOT_DONE}a training is in progress"),
    (ModelReset, {}, "the model was reset; generation 3 serves"),
    (MemoryReached, {}, "the largest model takes about 64,000,001 bytes, all of the shard 70,000,000: more than is allowed"),
    (ModelPruned, {}, "models were pruned from about 70,000,000 to 41,000,000 bytes"),
    (ModelReset, {"by": "cli:ann", "token": "8f"}, "the model was reset by cli:ann; generation 3 serves"),
    (ModelPromoted, {}, "version 0-g1 was promoted by cli:ann; generation 4 serves"),
    (ModelPromoted, {"how": "rollback", "by": ""}, "version 0-g1 serves again, after a rollback; generation 4 serves"),
    (TrainingRequested, {}, "training 5 of challenger retrained was requested"),
    (ChallengerJoined, {}, "challenger retrained of training 5 joined duel 1 after learning 12,000 rows"),
    (ChallengerWaits, {}, "challenger retrained of training 5 waits for the end of a duel after learning 12,000 rows"),
    (TrainingFailed, {}, "training 5 of challenger retrained failed: took longer than 600 s"),
    (MemberRestarted, {}, "member tree restarted; 1 restart so far"),
    (MemberRestarted, {"restarts": 2}, "member tree restarted; 2 restarts so far"),
    (LeaderChanged, {}, "member linear leads in place of tree"),
    (LeaderWavered, {}, "member tree leads for now"),
    (DuelStarted, {}, "duel 1 started: champion, fresh; the log loss decides"),
    (
        DuelStarted,
        {"cause": "rematch", "contestants": ("champion", "rival")},
        "duel 1 started, a rematch: champion, rival; the log loss decides",
    ),
    (LeadChanged, {}, "fresh serves in place of champion: the evidence says that its log loss is lower"),
    (LeadChanged, {"loss": "miss"}, "fresh serves in place of champion: the evidence says that its share of labels missed is lower"),
    (LeadChanged, {"cause": "failure"}, "fresh serves in place of champion: champion is out"),
    (ContestantFailed, {}, "fresh is out of duel 1: it raised OverflowError: math range error"),
    (DuelEnded, {}, "duel 1 ended, promoted by log loss: fresh is the champion"),
    (DuelEnded, {"result": "undecided", "winner": "champion"}, "duel 1 ended, undecided by log loss: the champion stays"),
    (
        DuelEnded,
        {"result": "undecided", "winner": "champion", "held_by": "F1"},
        "duel 1 ended, undecided by log loss: the champion stays; another has the lower loss, and was held up because its F1 is worse",
    ),
    (DuelEnded, {"result": "superseded", "winner": ""}, "duel 1 ended, superseded: somebody asked for another champion"),
    (ShardRestored, {}, "the shard goes on from its checkpoint at offset 80"),
    (
        ShardRestored,
        {"differs": ("metric F1",)},
        "the shard goes on from its checkpoint at offset 80, under a pipeline that has changed in its metric F1",
    ),
    (ShardRestored, {"how": "previous"}, "the shard goes on from the checkpoint before its newest one, at offset 80"),
    (ShardRestored, {"how": "window"}, "the shard begins with a model that was trained on its window"),
    (ShardRestored, {"how": "earliest"}, "the shard has learned again from offset 80 on, without the inputs it had before"),
    (ShardRestored, {"how": "latest"}, "the shard has lost its state, and begins untrained at offset 80"),
    (ShardRestored, {"how": "new"}, "the shard is new, and begins at offset 80"),
    (
        ShardRestored,
        {"how": "warm", "model": "warm-1f", "origin": "old/t/0 at offset 5"},
        "the shard is new, and begins at offset 80 with the model of old/t/0 at offset 5",
    ),
]
facts_of_each_kind = pytest.mark.parametrize("kind", SHARD_FACTS, ids=lambda kind: kind.__name__)


def test_there_is_an_example_of_each_fact() -> None:
    assert set(EXAMPLES) == set(SHARD_FACTS) == {kind for kind, _, _ in SENTENCES}


@facts_of_each_kind
def test_a_fact_declares_how_it_is_told(kind: type[ShardFact]) -> None:
    assert vars(kind).keys() >= {"kind", "published", "counted", "level", "sentence"}
    assert isinstance(kind.kind, str)
    assert isinstance(kind.published, bool)
    assert isinstance(kind.counted, Counter)
    assert kind.level in typing.get_args(Level)
    assert isinstance(vars(kind)["sentence"], property)


@facts_of_each_kind
def test_a_fact_that_is_published_says_when_it_happened(kind: type[ShardFact]) -> None:
    fields = {field.name for field in dataclasses.fields(kind)}
    assert "offset" in fields
    assert "time_s" in fields or not kind.published


@facts_of_each_kind
def test_the_counter_of_a_fact_is_in_the_catalogue_with_as_many_labels(kind: type[ShardFact]) -> None:
    counter = kind.counted
    families = [family for family in CATALOGUE if family.name == counter.name]
    assert [family.kind for family in families] == ["counter"]
    assert counter.value is None or not counter.fields, "one fixed value, or fields"
    labels = tuple(label for label in families[0].labels if label != "partition")  # which decisions are counted by, too
    assert len(counted_labels(EXAMPLES[kind])) == len(labels)
    if counter.fields:
        assert counter.fields == labels


def test_kinds_are_unique() -> None:
    kinds = [kind.kind for kind in SHARD_FACTS]
    assert len(set(kinds)) == len(kinds)


def test_the_kinds_on_the_wire_are_these() -> None:
    assert {kind.kind for kind in SHARD_FACTS if kind.published} == PUBLISHED


def test_what_failed_is_an_error_and_what_an_operator_should_see_is_a_warning() -> None:
    by_level = {level: {kind for kind in SHARD_FACTS if kind.level == level} for level in ("error", "warning")}
    assert by_level["error"] == {PredictionFailed, TrainingFailed, IntakePaused}
    assert by_level["warning"] == {
        *(Rejected, Unmatched, MetricFailed, DetectorFailed, ContestantFailed, MemoryReached, RequestRefused),
    }
    assert {kind for kind in SHARD_FACTS if kind.level == "debug"} == {Passed, LeaderWavered, ShardRestored}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the model raised ValueError: could not convert 'a lot'\nof it", "the model raised ValueError"),
        ("the model raised on every row, 7 of them; first KeyError: 'blue'", "the model raised on every row, 7 of them; first KeyError"),
        ("Invalid enum value 'blue'", "Invalid enum value …"),
        ("Invalid enum value 7", "Invalid enum value …"),
        ("1.76e+12 s since the epoch is no date of the years 1 to 9999", "… s since the epoch is no date of the years 1 to 9999"),
        ("str 'it\\'s' in place of a label", "str … in place of a label"),
        ('str "blue" in place of a label', "str … in place of a label"),
        ("Expected `float`, got `str`", "Expected `float`, got `str`"),
        ("it took longer than train_timeout_s = 8 s", "it took longer than train_timeout_s = 8 s"),
    ],
)
def test_a_text_without_values_keeps_what_is_ours(text: str, told: str) -> None:
    assert without_values(text) == told
