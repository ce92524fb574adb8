"""The benchmark of many models: rows come out as computed by hand, are kept, and tables hold the models against each other."""

from __future__ import annotations

import json
import lzma
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from benchmarks import members, members_data, members_packages, members_r, quality_measures
from benchmarks.members_models import MODELS, Model, named, of_expression
from benchmarks.members_peers import PEERS, adapted, as_told
from benchmarks.members_runs import Job, prequential, run, state_bytes
from benchmarks.members_streams import DOCS, KINDS, MADE, development_streams
from stream_retrain.models import AdditiveClassifier, adaptive_classifier

EVENTS = 700
HERE = ("--events-max", str(EVENTS), "--seeds", "1", "--jobs", "1")


def test_a_run_ends_in_rows_and_tables_and_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, tables = tmp_path / "rows.jsonl", tmp_path / "tables.md"
    asked = ["--stream", "sea_abrupt", "--stream", "planes", "--model", "first", "--model", "tree", "--delay", "0", "--delay", "50"]
    where = ["--json", str(rows), "--markdown", str(tables), "--plots", str(tmp_path / "plots"), *HERE]
    assert members.main([*asked, *where]) == 0
    kept = rows.read_text()
    found = [json.loads(line) for line in kept.splitlines()]
    assert [(row["stream"], row["model"], row["delay"]) for row in found] == [
        (stream, model, delay) for stream in ("sea_abrupt", "planes") for model in ("first", "tree") for delay in (0, 50)
    ]
    assert all(row["us"] > 0 and row["state_bytes"] > 0 and row["taken"] == EVENTS for row in found)
    assert "| first |" in capsys.readouterr().out
    drawn = (tmp_path / "plots" / "classification-cost.svg").read_text()
    assert ">first<" in drawn
    assert "CPU an event, us (log scale)" in drawn
    text = tables.read_text()
    for part in ("Classification, labels at once", "Regression, labels 50 events later", "### Difference to first", "### Log loss, bits"):
        assert part in text

    rows.write_text(kept + '{"stream": "sea_ab')  # a run that was stopped while it wrote
    assert members.main([*asked, *where]) == 0
    assert rows.read_text() == kept + '{"stream": "sea_ab'
    assert tables.read_text() == text


def test_an_expression_is_a_model_of_its_task() -> None:
    assert of_expression("slow=AdditiveClassifier(rate=0.1)", "classification") == Model(
        "slow", "classification", "AdditiveClassifier(rate=0.1)"
    )
    assert of_expression("AdditiveClassifier(rate=0.1)", "classification").name == "AdditiveClassifier(rate=0.1)"
    assert isinstance(of_expression("AdditiveClassifier(rate=0.1)", "classification").make(), AdditiveClassifier)
    assert all({"first", "tree", "ARF10"} <= {*named(task)} for task in MODELS)
    assert named("classification")["first"].release != named("classification")["tree"].release


@pytest.mark.parametrize("name", ["agrawal_abrupt", "random_tree", "stagger_recurring", "agrawal_missing"])
def test_blocks_and_single_events_give_the_same(name: str) -> None:
    pairs = MADE[name].events(0, EVENTS)
    found = prequential(adaptive_classifier(), MADE[name].task, pairs, 0)
    model = adaptive_classifier()
    for number, (x, y) in enumerate(pairs):
        proba = model.predict_proba_one(x)
        assert found.of_label[number] == proba.get(y, 0.0)
        model.learn_one(x, y)
    assert found.changes == model.changes


def test_with_late_labels_only_what_had_come_is_known() -> None:
    stream = MADE["pure_noise"]
    changed = stream.events(0, EVENTS)
    before = prequential(adaptive_classifier(), "binary", changed, 50)
    changed[400] = (changed[400][0], not changed[400][1])
    after = prequential(adaptive_classifier(), "binary", changed, 50)
    assert before.predictions == prequential(adaptive_classifier(), "binary", stream.events(0, EVENTS), 50).predictions
    assert before.of_label[:400] == after.of_label[:400]
    assert before.of_label[401:451] == after.of_label[401:451]
    assert before.of_label[451:] != after.of_label[451:]


def test_what_a_model_raised_on_counts_as_wrong() -> None:
    row = run(Job(MADE["stagger_recurring"], 0, of_expression("river.linear_model.LogisticRegression()", "classification"), 0, EVENTS))
    assert row["raised"] > 0
    assert row["accuracy"] == 0.0


def test_a_state_that_is_too_deep_has_no_size() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert state_bytes(deep) is None
    assert state_bytes([]) == len(pickle.dumps([], 5))


def test_measures_as_computed_by_hand() -> None:
    assert quality_measures.log_loss_bits([0.5, 0.25]) == 1.5
    assert quality_measures.log_loss_bits([0.0]) == pytest.approx(9.9658, abs=1e-3)
    assert quality_measures.balanced_accuracy([1, 1, 1, 0], [1, 1, None, 1]) == pytest.approx(100 / 3)


def test_streams_have_kinds_and_the_promised_shares() -> None:
    found, _ = development_streams(None)
    assert {stream.name for stream in found} <= set(KINDS)
    assert {*KINDS} - {stream.name for stream in found} == {*members_data.FILES}
    assert {*DOCS} <= set(KINDS)
    for name, share in (("agrawal_rare", 0.01), ("sea_rare", 0.05), ("pure_noise_uneven", 0.2)):
        labels = [bool(y) for _, y in MADE[name].events(1, 10_000)]
        assert sum(labels) / len(labels) == pytest.approx(share, rel=0.3)
    missing = sum(9 - len(x) for x, _ in MADE["agrawal_missing"].events(0, EVENTS))
    assert missing / (9 * EVENTS) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("name", MADE)
def test_every_stream_is_the_same_twice_and_another_for_another_seed(name: str) -> None:
    stream = MADE[name]
    assert stream.events(0, 90) == stream.events(0, 90) != stream.events(1, 90)


def test_a_peer_is_told_places_of_categories_and_classes() -> None:
    pairs: list[Any] = [({"a": "red", "b": 1.5}, True), ({"a": "blue"}, False)]
    told = as_told("binary", pairs)
    expected = {"features": [("a", ["blue", "red"]), ("b", None)], "labels": [False, True], "x": [(1, 1.5), (0, None)], "y": [1, 0]}
    assert told == expected
    peers = {peer.name: peer for peer in PEERS}
    assert adapted(peers["CapyMOA ARF30"], told) == (expected, "")
    assert adapted(peers["CapyMOA SOKNL"], told) == ({**expected, "x": [[1, 1.5], [0, 0]]}, "missing as 0")
    assert adapted(peers["samlb ARF10"], told)[1] == "categories one-hot, missing as 0"


def integers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


def text(value: str | None) -> bytes:
    return integers(9, -1) if value is None else integers(9, len(value)) + value.encode()


def attribute(name: str, value: bytes) -> bytes:
    return integers(0x402, 1) + text(name) + value


def strings(*values: str | None) -> bytes:
    return integers(16, len(values)) + b"".join(map(text, values))


END = integers(254)


def test_a_data_frame_of_r_is_read(tmp_path: Path) -> None:
    factor = integers(0x30D, 3, 2, 1, members_r.NA_INTEGER) + attribute("levels", strings("low", "high")) + END
    numbers = integers(14, 3) + struct.pack(">3d", 1.5, float("nan"), 2.0)
    run_of_numbers = (
        integers(238) + integers(2) + integers(1) + text("compact_intseq") + END + integers(14, 3) + struct.pack(">3d", 3, 4, 1)
    )
    run_of_numbers += END
    body = integers(0x313, 4) + factor + numbers + run_of_numbers + strings("a", None, "c")
    body += attribute("names", strings("f", "n", "i", "s")) + attribute("class", strings("data.frame")) + END
    whole = b"RDX3\nX\n" + integers(3, 0, 0, 5) + b"UTF-8" + attribute("frame", body) + END
    path = tmp_path / "frame.rda"
    path.write_bytes(lzma.compress(whole))
    frame = {"f": ["high", "low", ""], "n": ["1.5", "", "2.0"], "i": ["4", "5", "6"], "s": ["a", "", "c"]}
    assert members_r.frames(path) == {"frame": frame}
    assert members_packages.from_frame(frame, "f") == (["n", "i", "s", "target"], [["1.5", "4", "a", "high"], ["", "5", "", "low"]])


def test_tables_are_made_of_what_packages_have(tmp_path: Path) -> None:
    table = members_packages.from_csv("a, b,class\n1,2,x\n3,4,y\n5,6,x\n", 2)
    assert table == (["a", "b", "target"], [["1", "2", "x"], ["3", "4", "y"]])
    many = members_packages.Table(["a", "target"], [[str(number), "0"] for number in range(50)])
    mixed = members_packages.shuffled(many)
    assert mixed == members_packages.shuffled(many) != many
    assert sorted(mixed.rows) == sorted(many.rows)
    bits = {f"V{place}": ["100"[(place - 1) % 3]] for place in range(1, 181)} | {"Class": ["n"]}
    assert members_data.dna_letters(bits).rows == [["A"] * 60 + ["n"]]
    members_packages.write(tmp_path / "tiny.csv.gz", members_packages.from_csv("a,class\n1,x\n,y\n", 9))
    [tiny] = [stream for stream in development_streams(tmp_path)[0] if stream.name == "tiny"]
    assert tiny.events(0, None) == [({"a": 1.0}, False), ({}, True)]
