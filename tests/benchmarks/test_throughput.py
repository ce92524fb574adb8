"""The benchmark of throughput: its ratios, tables and verdicts from rows; its peers; and a small run of worker and peer on a real Kafka."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import throughput_peers, throughput_tables
from benchmarks.peers.common import CHUNK, Given, Models, in_order
from benchmarks.throughput import NOTHING_ON, ON, Bench, Job, jobs, measured
from benchmarks.throughput_peers import FOLDER, LINES_MAX, PEERS, Peer, PeerError, lines_of, requirements, run_peer
from benchmarks.throughput_plot import plot
from benchmarks.throughput_tables import BARE, BEGIN, END, SAME_TREE, WORKER, Shown, into_page, markdown, must_show, paired, row_of
from benchmarks.throughput_worker import MODELS, OFF, PARTITIONS, Clock, Cost, pipeline, stream
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Assigned, Checkpointed, Committed, WorkerStateChanged
from tests.conftest import Services

TREE = "HoeffdingTreeClassifier"
REQUIREMENTS = requirements((FOLDER / "requirements.txt").read_text())


def row(case: str, model: str, *cpu_us: float | None, ratios: Any = (), features: int = 8, **more: Any) -> dict[str, Any]:
    costs = [None if each is None else Cost(each, 2 * each) for each in cpu_us]
    return row_of(case, model, features, 1_000, costs, ratios or [None] * len(costs), machine="a machine", **more)


ROWS = [
    row(BARE, TREE, 40.0, 44.0, 42.0, ratios=[1.0, 1.0, 1.0]),
    row(BARE, SAME_TREE, 50.0, 60.0, 55.0),
    row(BARE, "QuickTree", 3.0, 3.3, 3.1),
    row(WORKER, TREE, 50.0, 55.0, 52.0, ratios=[0.92, 0.91, 0.80]),
    row(WORKER, "QuickTree", 10.0, 15.0, 11.0, ratios=[0.30, 0.28, 0.32]),
    row("plain loop, transactions, orjson", "samlb HoeffdingTree", 9.0, 14.0, 12.0, lines=33),
    row("Quix Streams, at least once", TREE, 60.0, 66.0, 63.0, lines=21),
    row("faust-streaming, at least once", TREE, None, None, None, lines=30, note="it could not be installed: no"),
    row("worker without window", "QuickTree", 9.0, 9.0, 9.0, of_whole_rounds=[0.75, 0.9, 0.8]),
]


def test_a_row_has_the_medians_of_its_rounds_and_leaves_out_those_that_failed() -> None:
    made = row("Quix", TREE, 60.0, None, 80.0, 61.0, ratios=[0.5, None, 0.7, 0.6])
    assert {name: made[name] for name in ("case", "model", "features", "events_per_s", "cpu_us_per_event", "ratio_to_limit")} == {
        "case": "Quix",
        "model": TREE,
        "features": 8,
        "events_per_s": round(1e6 / 122),
        "cpu_us_per_event": 61.0,
        "ratio_to_limit": 0.6,
    }
    assert made["cpu_us_rounds"] == [60.0, None, 80.0, 61.0]
    none = row("Faust", TREE, None, None)
    assert (none["events_per_s"], none["cpu_us_per_event"], none["ratio_to_limit"]) == (None, None, None)


def test_two_rows_are_compared_round_by_round() -> None:
    one, other = row("a", TREE, 10.0, 40.0, None, 90.0), row("b", TREE, 5.0, 10.0, 1.0, 30.0)
    assert paired(one, other) == 3.0, "of 2, 4 and 3; the medians alone would say 5.3"
    assert paired(one, None) is None
    assert paired(row("c", TREE, None), other) is None


def test_of_a_row_that_is_in_several_runs_the_last_counts() -> None:
    rows = throughput_tables.joined([ROWS, [row(WORKER, TREE, 9.0), row(WORKER, TREE, 90.0, features=50)]])
    assert len(rows) == len(ROWS) + 1
    assert [each["cpu_us_per_event"] for each in rows if (each["case"], each["model"]) == (WORKER, TREE)] == [9.0, 90.0]


def test_what_was_to_be_shown_is_reached_or_not_or_was_not_measured() -> None:
    said = {shown.what: shown for shown in must_show(ROWS)}
    assert len(said) == 10
    whole = said["worker with QuickTree / River's bare loop of the same tree"]
    assert (whole.figure, whole.reached) == (0.2, True)
    assert said["events/s of one worker with QuickTree"].figure == round(1e6 / 22), "the wall clock of the median round"
    assert said["events/s of one worker with QuickTree"].reached is False
    assert said["HoeffdingTreeClassifier: bare loop / worker"].figure == 0.91, "that of the twin in its process"
    assert said["Quix Streams, at least once, with River's tree / worker with QuickTree"].figure == pytest.approx(63 / 11)
    assert said["plain loop around samlb's tree / worker with QuickTree"].reached is False
    for name in ("faust-streaming, at least once, with River's tree / worker with QuickTree", "the same with 50 features"):
        assert (said[name].figure, said[name].reached) == (None, None)
        assert str(said[name]).endswith("not measured)")


@pytest.mark.parametrize(
    ("figure", "at_most", "told"),
    [
        (0.3, True, "w: 0.30 (at most 0.25: NOT reached)"),
        (0.25, True, "w: 0.25 (at most 0.25: reached)"),
        (0.2, False, "w: 0.20 (at least 0.25: NOT reached)"),
    ],
)
def test_a_bound_is_reached_from_its_side(figure: float, at_most: bool, told: str) -> None:
    assert str(Shown(what="w", figure=figure, bound=0.25, at_most=at_most)) == told


def test_the_tables_hold_every_row_where_it_belongs() -> None:
    lines = markdown(ROWS, "images/plot.svg").splitlines()
    assert lines[0] == "Measured on a machine; medians of 3 round(s)."
    assert f"| 8 | `{TREE}` | 42.0 | 52.0 | 0.91 | 9,615 |" in lines
    assert f"| 8 | `{SAME_TREE}` | 55.0 | - | - | - |" in lines
    assert "| without window | 9.0 | 0.8 |" in lines, "of the worker right before it, not of the row above"
    assert f"| 8 | Quix Streams, at least once | `{TREE}` | 7,937 | 63.0 | 1.5 | 1.2 | 5.73 | 21 |" in lines
    assert "| 8 | plain loop, transactions, orjson | `samlb HoeffdingTree` | 41,667 | 12.0 | 0.29 | - | 0.93 | 33 |" in lines
    assert f"| 8 | faust-streaming, at least once | `{TREE}`: it could not be installed: no | - | - | - | - | - | 30 |" in lines
    assert "![CPU time of an event, worker and peers](images/plot.svg)" in lines
    assert sum(line.startswith("- ") for line in lines) == 10
    widths = {line.count("|") - line.count("\\|") for line in lines if "| 8 | " in line and "`samlb" in line}
    assert widths == {10}


def test_a_model_with_a_bar_in_its_name_does_not_break_a_table() -> None:
    name = "StandardScaler | LogisticRegression"
    [line] = [line for line in markdown([row(BARE, name, 13.0)]).splitlines() if line.startswith("| 8 | `Standard")]
    assert "`StandardScaler \\| LogisticRegression`" in line


def test_only_what_is_between_the_marks_of_a_page_is_made_anew(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    into_page(page, "new\n")
    into_page(page, "newer\n")
    assert page.read_text() == f"# Before\n\n{BEGIN}\n\nnewer\n\n{END}\n\nafter\n"
    other = tmp_path / "tables.md"
    into_page(other, "new\n")
    assert other.read_text() == "new\n"


def test_the_plot_has_a_bar_for_each_case_that_has_a_figure() -> None:
    drawn = ElementTree.fromstring(plot(ROWS))
    names = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert f"{WORKER}: QuickTree" in names
    assert not any("faust" in (name or "") or "without" in (name or "") for name in names)
    bars = [each for each in drawn.iter("{http://www.w3.org/2000/svg}rect") if each.get("x") == "420"]
    assert len(bars) == 7
    widths = [float(each.get("width", 0)) for each in bars]
    assert widths == sorted(widths), "from the cheapest to the dearest"
    assert float(drawn.get("viewBox", "").split()[3]) > 7 * 18


def test_a_checkpoint_that_did_not_come_is_charged_and_one_that_came_is_not() -> None:
    shard = ShardId("p", "t", 0)
    clock = Clock(100_000, None)
    clock.tell(Checkpointed(shard=shard, offset=0, bytes=1, seconds=0.0, at_s=0.0))  # of a new shard
    clock.tell(Assigned(shard=shard, offset=0, live_from=0))
    clock.tell(Committed(outputs=1, offsets={shard: 60_000}, seconds=0.0))
    clock.tell(Checkpointed(shard=shard, offset=60_000, bytes=1, seconds=0.0, at_s=0.0))
    assert clock.ended is None
    clock.tell(Committed(outputs=1, offsets={ShardId("p", "t", 1): 40_000}, seconds=0.0))
    assert clock.ended is not None
    clock.tell(WorkerStateChanged(state="draining"))
    clock.tell(Checkpointed(shard=shard, offset=60_001, bytes=1, seconds=0.0, at_s=0.0))
    clock.began, clock.ended = (1.0, 10.0), (2.0, 12.0)
    assert clock.cost(100_000)[:2] == (10.0, 20.0), "one was due, and one came"
    charged = clock.cost(25_000)
    assert charged.cpu_us == pytest.approx(10.0 + charged.checkpoint_us)
    assert charged.checkpoint_us > 0, "four were due"


def test_each_model_has_its_limit_before_it_in_a_round() -> None:
    planned = jobs(["limit", "worker", "off", "peers"], [], [8, 50])
    places = {(job.case, job.model, job.features): number for number, job in enumerate(planned)}
    assert len(places) == len(planned)
    for job in planned:
        limit = (BARE, throughput_tables.LIMIT_OF.get(job.model, job.model), job.features)
        assert limit in places
        assert places[limit] <= places[job.case, job.model, job.features]
    assert {job.model for job in planned if job.group == "limit"} == set(MODELS)
    assert {job.off for job in planned if job.features == 8} == set(OFF)
    few = jobs(["worker"], ["Quick"], [8], 20)
    assert [(job.model, job.events, job.off) for job in few] == [("QuickTree", 11_000, ON)]


def test_what_is_switched_off_makes_a_pipeline_that_loads() -> None:
    for name, off in OFF.items():
        made = pipeline("QuickTree", "events", **off.declared)
        assert (made.window_rows_max == 0) == (name in ("without window", NOTHING_ON))
        assert (not made.watch) == (name in ("without ADWIN", NOTHING_ON))
    assert len(pipeline("QuickTree", "events", 50).schema.features) == 50
    assert set(stream(1, 50)[0]) == {"id", "y", *(f"f{number}" for number in range(50))}


def test_the_requirements_are_exact_and_name_no_address() -> None:
    assert {peer.environment for peer in PEERS} == set(REQUIREMENTS)
    lines = [line for part in REQUIREMENTS.values() for line in part]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)
    with pytest.raises(AssertionError, match="no part"):
        requirements("river==1.0\n")


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.case)
def test_a_peer_is_a_small_file(peer: Peer) -> None:
    text = (FOLDER / f"{peer.module}.py").read_text()
    assert 5 < lines_of(text) <= LINES_MAX
    assert set(peer.wide) <= set(peer.models)


def test_lines_are_of_code_alone() -> None:
    parts = [
        '"""A text\nof two lines."""',
        "",
        "import os  # one",
        "# none",
        "for name in (",
        '    "two",',
        "    os.name,",
        "):",
        "    print(name)",
    ]
    assert lines_of("\n".join([*parts, "report()", ""])) == 5


def test_every_event_comes_once_in_the_order_of_its_partition() -> None:
    rows = list(range(5 * CHUNK + 3))
    chunks = list(in_order(rows, PARTITIONS))
    assert sorted(event for _, chunk in chunks for event in chunk) == rows
    for partition in range(PARTITIONS):
        assert [event for of, chunk in chunks if of == partition for event in chunk] == rows[partition::PARTITIONS]
    assert max(len(chunk) for _, chunk in chunks) == CHUNK


def test_a_peer_has_a_model_for_each_partition() -> None:
    models = Models(list)
    assert models[3] is models[3]
    assert models[3] is not models[1]
    assert len(models) == 2


def test_a_peer_that_cannot_be_installed_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(throughput_peers, "ENVIRONMENTS", tmp_path)
    monkeypatch.setattr(throughput_peers, "sys", type("", (), {"executable": "/bin/false"}))
    with pytest.raises(PeerError, match="could not be installed: it said nothing"):
        throughput_peers.installed("plain")


@pytest.fixture
def in_this_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Peers run with this Python, which has River and confluent-kafka."""
    monkeypatch.setattr(throughput_peers, "installed", lambda _: Path(sys.executable))
    monkeypatch.setattr(throughput_peers, "ENVIRONMENTS", tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_environment")
def test_a_peer_whose_run_fails_says_why() -> None:
    peer = next(peer for peer in PEERS if peer.module == "quix")
    with pytest.raises(PeerError, match="ended with 1: ModuleNotFoundError: No module named 'quixstreams'"):
        run_peer(peer, Given("", "", "", "group", TREE, 8, 10, PARTITIONS, ""))


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.usefixtures("in_this_environment")
def test_worker_and_peer_are_measured_on_the_same_events(services: Services, tmp_path: Path) -> None:
    bench = Bench(services.bootstrap_servers, services.redis_url, tmp_path, alone=False)
    off = Job(group="off", case="worker " + NOTHING_ON, model="QuickTree", features=8, events=400, off=NOTHING_ON)
    [peer] = (job for job in jobs(["peers"], [TREE], [8], 400) if job.peer and job.peer.module == "plain_at_least_once")
    bench.prepare([off, peer])
    cost = bench.worker(off, NOTHING_ON, twinned=True)
    assert 0.0 < cost.twin_us < cost.cpu_us < 10_000.0
    assert cost.checkpoint_us < 0.1, "one of each thousand million events is charged"
    [[plain]] = measured(bench, [peer], 1)
    assert plain["cpu_us_per_event"] > 5.0
    assert plain["events"] == peer.events == off.events
    assert "note" not in plain
