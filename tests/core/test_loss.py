"""The losses of a duel of classifiers: in [0, 1] whatever a model says, and proper where they are of probabilities."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import ensemble, imblearn, linear_model, multiclass, naive_bayes, preprocessing, tree

from stream_retrain import Evidence
from stream_retrain.core.contest.loss import PROBABILITY_MIN, Scoring, scoring_of
from stream_retrain.core.serve.predictor import gives_probabilities
from stream_retrain.models import AdditiveClassifier, adaptive_classifier

COSTS: dict[Any, float] = {(True, False): 1.0, (False, True): 0.05}


def scored(scoring: Scoring, y: Any, y_pred: Any, proba: Any = None) -> float:
    return scoring.loss(y, scoring.vote(y_pred, proba))


@pytest.mark.parametrize("loss", ["log", "brier", "miss", COSTS], ids=str)
@pytest.mark.parametrize("task", ["binary", "multiclass"])
@given(st.booleans(), st.one_of(st.none(), st.booleans()), st.dictionaries(st.booleans(), st.floats(allow_nan=True)))
def test_every_loss_is_from_0_to_1_whatever_is_said(loss: Any, task: str, y: bool, y_pred: Any, proba: Any) -> None:
    assert 0.0 <= scored(scoring_of(loss, task, probabilities=True), y, y_pred, proba) <= 1.0


@pytest.mark.parametrize("loss", ["log", "brier"])
def test_two_classes_are_scored_the_same_as_a_binary_task(loss: Any) -> None:
    binary, several = (scoring_of(loss, task, probabilities=True) for task in ("binary", "multiclass"))
    for p in (0.0, 0.001, 0.3, 0.5, 0.97, 1.0):
        for y in (False, True):
            proba = {False: 1 - p, True: p}
            assert scored(binary, y, None, proba) == pytest.approx(scored(several, y, None, proba))


def test_log_loss_is_scaled_by_its_clip() -> None:
    log = scoring_of("log", "binary", probabilities=True)
    assert scored(log, True, None, {False: 0.0, True: 1.0}) == 0.0
    assert scored(log, True, None, {False: 0.5, True: 0.5}) == pytest.approx(math.log(2) / -math.log(PROBABILITY_MIN))
    assert scored(log, True, None, {False: 1.0}) == 1.0


@pytest.mark.parametrize("loss", ["log", "brier"])
def test_the_true_probability_has_the_least_expected_loss(loss: Any) -> None:
    """Also of a class as rare as one in fifty, which is what it is for."""
    scoring = scoring_of(loss, "binary", probabilities=True)
    for true in (0.02, 0.3):

        def expected(p: float, true: float = true) -> float:
            proba = {False: 1 - p, True: p}
            return true * scored(scoring, True, None, proba) + (1 - true) * scored(scoring, False, None, proba)

        assert min((number / 100 for number in range(1, 100)), key=expected) == true


def test_costs_are_by_label_and_predicted_label() -> None:
    cost = scoring_of(COSTS, "binary", probabilities=True)
    assert [scored(cost, y, y_pred) for y, y_pred in [(True, True), (True, False), (False, True), (False, False)]] == [0, 1, 0.05, 0]
    assert scored(cost, True, None) == 1.0, "no prediction is the worst"
    assert scored(scoring_of({("a", "b"): 0.5}, "multiclass", probabilities=True), "a", "c") == 1.0, "what is not listed costs 1"


def test_no_prediction_is_the_worst_and_a_label_alone_is_taken_to_be_sure() -> None:
    for task in ("binary", "multiclass"):
        log = scoring_of("log", task, probabilities=True)
        assert scored(log, True, None, {}) == 1.0
        assert scored(log, True, True, None) == 0.0
        assert scored(log, True, False, None) == 1.0


def test_without_probabilities_the_labels_decide() -> None:
    assert scoring_of("log", "binary", probabilities=False).name == "miss"
    assert scoring_of(COSTS, "binary", probabilities=False).name == "cost"


SAID = st.one_of(st.just({}), st.dictionaries(st.sampled_from("abc"), st.floats(0, 1), min_size=1))


@given(st.lists(SAID, min_size=2, max_size=4), st.sampled_from("abcd"))
def test_of_log_loss_it_is_known_before_the_label_how_much_a_rival_can_lose(said: list[dict[str, float]], y: str) -> None:
    """Also where the label is one that nobody has heard of; and it is no more than some label would cost."""
    log = scoring_of("log", "multiclass", probabilities=True)
    assert log.most_lost is not None
    votes = [log.vote(None, proba) for proba in said]
    lost = {label: [log.loss(label, vote) - log.loss(label, votes[1]) for vote in votes] for label in "abcd"}
    most = log.most_lost(votes, 1)
    assert all(one <= bound for one, bound in zip(lost[y], most, strict=True))
    assert most == [max(0.0, *(lost[label][index] for label in "abc")) for index in range(len(votes))]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=2, max_size=4))
def test_of_two_classes_it_is_what_the_worse_label_would_cost(votes: list[float | None]) -> None:
    log = scoring_of("log", "binary", probabilities=True)
    assert log.most_lost is not None
    expected = [max(log.loss(y, vote) - log.loss(y, votes[0]) for y in (False, True)) for vote in votes]
    assert log.most_lost(votes, 0) == expected
    assert scoring_of("brier", "binary", probabilities=True).most_lost is None


def test_a_vote_is_small() -> None:
    assert scoring_of("log", "binary", probabilities=True).vote(True, {True: 0.7, False: 0.3}) == 0.7
    many = {f"class {number}": 0.001 for number in range(100)} | {"a": 0.9}
    assert scoring_of("log", "multiclass", probabilities=True).vote("a", many) == {"a": 0.9}


@pytest.mark.parametrize(
    ("loss", "fault"),
    [
        ("auc", "loss is 'auc'; use 'log', 'brier', 'miss', or costs by"),
        ({}, "there are no costs"),
        ({"a": 1.0}, "'a' is not a pair"),
        ({(True, False): 3}, r"the cost of \(True, False\) is 3; use a number from 0 to 1"),
    ],
)
def test_faults_name_the_remedy(loss: Any, fault: str) -> None:
    [told] = Evidence(loss=loss).faults()
    assert re.search(fault, told)


VOTING = ensemble.VotingClassifier([linear_model.LogisticRegression(), naive_bayes.GaussianNB()])
LOGISTIC = linear_model.LogisticRegression()


@pytest.mark.parametrize(
    ("model", "gives"),
    [
        (LOGISTIC, True),
        (preprocessing.StandardScaler() | LOGISTIC, True),
        (tree.HoeffdingTreeClassifier(), True),
        (naive_bayes.GaussianNB(), True),
        (AdditiveClassifier(), True),
        (adaptive_classifier(), True),
        (multiclass.OneVsRestClassifier(LOGISTIC), True),
        (imblearn.RandomUnderSampler(LOGISTIC, {False: 0.5, True: 0.5}, seed=1), True),
        (VOTING, False),
        (preprocessing.StandardScaler() | VOTING, False),
        (imblearn.RandomUnderSampler(preprocessing.StandardScaler() | VOTING, {True: 1.0}, seed=1), False),
        (imblearn.RandomUnderSampler(VOTING, {False: 0.5, True: 0.5}, seed=1), False),
    ],
    ids=str,
)
def test_who_gives_probabilities(model: Any, gives: bool) -> None:
    assert gives_probabilities(model) is gives
