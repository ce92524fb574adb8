"""The quality benchmark: it gives the same twice, measures what it says, and takes files it has never seen."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from river import tree

from benchmarks import quality, quality_measures
from benchmarks.quality_policies import champions, policies
from benchmarks.quality_runs import Job, run
from benchmarks.quality_streams import SYNTHETIC, Drift, streams_of
from benchmarks.quality_tables import rows

pytestmark = pytest.mark.slow

KEYS = [
    "stream",
    "seed",
    "champion",
    "policy",
    "accuracy",
    "kappa",
    "kappa_temporal",
    "after_drift",
    "delay",
    "false_alarms_per_10k",
    "replacements",
    "cpu_ratio",
]
EVENTS = 1_200


def results(stream: Any, *names: str, champion: str = "HoeffdingTree", events: int = EVENTS) -> dict[str, Any]:
    return {name: run(Job(stream, 0, champion, name, events)) for name in names}


def without_costs(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "cpu_ratio"} for row in found]


def write(path: Path, header: list[str], body: list[list[Any]]) -> None:
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows([header, *body])


def test_controls_come_out_as_computed_by_hand() -> None:
    pairs = SYNTHETIC["agrawal_abrupt"].events(0, EVENTS)
    labels = [y for _, y in pairs]
    found = results(SYNTHETIC["agrawal_abrupt"], "none", "previous label", "blind reset 100")

    assert found["previous label"].score == 100 * sum(a == b for a, b in itertools.pairwise(labels)) / (EVENTS - 1)
    assert found["previous label"].kappa_temporal == pytest.approx(0.0)
    for name, every in (("none", EVENTS), ("blind reset 100", 100)):
        model, right, scored = tree.HoeffdingTreeClassifier(), 0, 0
        for number, (x, y) in enumerate(pairs, start=1):
            y_pred = model.predict_one(x)
            scored += y_pred is not None
            right += y_pred is not None and y_pred == y
            model.learn_one(x, y)
            if number % every == 0:
                model = tree.HoeffdingTreeClassifier()
        assert found[name].score == pytest.approx(100 * right / scored)
    assert found["blind reset 100"].replacements == EVENTS // 100


@pytest.mark.parametrize("name", ["sea_abrupt", "bikes"])
def test_every_policy_that_is_not_slow_runs(name: str) -> None:
    stream = SYNTHETIC[name]
    first, *others = champions(stream.task)
    asked = [(first, policy.name) for policy in policies(stream.task) if not policy.slow]
    asked += [(champion, "Challenge") for champion in others]
    for champion, policy in asked:
        result = run(Job(stream, 0, champion, policy, 100))
        assert (result.refused, result.events) == (0, 100), policy


def test_a_challenger_of_the_trainer_joins_and_may_win() -> None:
    [result] = results(SYNTHETIC["agrawal_abrupt"], "Retrain 1000", events=6_000).values()
    assert result.replacements >= 1


def test_the_command_gives_the_same_twice_with_the_rows_promised(tmp_path: Path) -> None:
    def once(name: str) -> list[dict[str, Any]]:
        asked = ["--only", "Reset", "--only", "DRC(DDM)", "--stream", "agrawal_abrupt", "--champion", "HoeffdingTree", "--seeds", "1"]
        files = ["--json", str(tmp_path / name), "--markdown", str(tmp_path / "tables.md"), "--plots", str(tmp_path)]
        assert quality.main([*asked, "--events-max", "1200", "--jobs", "1", *files]) == 0
        found: list[dict[str, Any]] = json.loads((tmp_path / name).read_text())
        return found

    first = once("first.json")
    assert [row["policy"] for row in first] == ["none", "Reset", "DRC(DDM)"]
    assert all(list(row) == KEYS for row in first)
    assert first[0]["cpu_ratio"] == 1.0
    assert without_costs(first) == without_costs(once("second.json"))
    assert "| HoeffdingTree | Reset |" in (tmp_path / "tables.md").read_text()
    assert (tmp_path / "agrawal_abrupt-time.svg").read_text().startswith("<svg")


def test_a_file_never_seen_before_runs(tmp_path: Path) -> None:
    rng = random.Random(7)
    body = []
    for _ in range(300):
        a, colour = rng.random(), rng.choice(("red", "green"))
        body.append([a, "" if rng.random() < 0.1 else rng.random(), colour, "low" if a < 0.3 else "mid" if a < 0.6 else "high"])
    write(tmp_path / "paint.csv.gz", ["a", "b", "colour", "target"], body)
    write(tmp_path / "coins.csv.gz", ["a", "target"], [[row[0], int(row[0] > 0.5)] for row in body])
    write(tmp_path / "price.csv.gz", ["a", "target"], [[row[0], 2.5 * row[0]] for row in body])
    write(tmp_path / "other.csv.gz", ["a", "label"], [[row[0], 1] for row in body])

    streams, passed_over = streams_of(tmp_path)

    assert {stream.name: stream.task for stream in streams} == {"coins": "binary", "paint": "multiclass", "price": "regression"}
    assert passed_over == ["other.csv.gz: its header does not end in `target`"]
    for stream in streams:
        for champion in champions(stream.task):
            found = results(stream, "none", "Reset", champion=champion, events=300)
            assert all(result.refused == 0 for result in found.values())
            assert all(row["after_drift"] is None and row["false_alarms_per_10k"] is None for row in rows(list(found.values())))
    assert results(streams[1], "adaptive_classifier", "HAT", "DRC(DDM)", events=300)["adaptive_classifier"].score > 60
    [priced] = rows([results(streams[2], "Additive", champion="HoeffdingTreeRegressor", events=300)["Additive"]])
    assert list(priced) == [*KEYS, "r2", "mae"]
    assert priced["accuracy"] is None


def test_alarms_are_for_a_drift_or_false() -> None:
    drifts = (Drift(1_000), Drift(5_000, 1_000))

    assert quality_measures.match([1_040, 1_100, 4_000, 5_500], drifts) == (270.0, 2, 2)
    assert quality_measures.match([900, 8_500], drifts) == (None, 0, 2)
    assert quality_measures.match([10], ()) == (None, 0, 1)
    assert quality_measures.match([10], None) == (None, 0, None)


def test_measures_of_a_small_table() -> None:
    labels, answers = [1, 1, 0, 0, 1], [None, 1, 0, 1, 1]

    assert quality_measures.accuracy(labels, answers) == 75
    assert quality_measures.kappa(labels, answers) == pytest.approx(50)
    assert quality_measures.kappa_temporal(labels, answers) == pytest.approx(50)
    assert quality_measures.r2([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == 1
    assert quality_measures.r2([1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) == 0
    assert quality_measures.mae([1.0, 2.0], [2.0, 0.0]) == 1.5
