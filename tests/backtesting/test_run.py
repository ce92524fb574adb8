"""A backtest from source to result: processes, groups, pooling, interruption, bad input."""

from __future__ import annotations

import dataclasses
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from river import forest

from stream_retrain import Pipeline
from stream_retrain.backtesting import workplace
from stream_retrain.backtesting.figures import figures
from stream_retrain.backtesting.grouping import grouped, groups_for
from stream_retrain.backtesting.result import BacktestSummary, Incident
from stream_retrain.backtesting.run import Options, Ran, run_backtest
from stream_retrain.backtesting.variants import Chosen, Variant, choose
from stream_retrain.errors import BacktestError, SettingsError
from stream_retrain.lane.batch import Record
from tests.backtesting.support import Log, drifting, log_of, retrains, slow, spooled, trains
from tests.core import streams

CASES = streams.oracle_cases()


def chosen(own: Pipeline, *names: str) -> Chosen:
    return choose({"own": own}, "own", list(names))


def unmeasured(ran: Ran) -> str:
    """Everything in a result that is not measured, as text: a float to its last digit."""
    measured = {"cpu_us": 0, "events_per_s": 0}
    summary = dataclasses.replace(
        ran.summary,
        seconds=0,
        variants=[dataclasses.replace(each, **measured) for each in ran.summary.variants],
        controls=[dataclasses.replace(each, **measured) for each in ran.summary.controls],
        notes=[note for note in ran.summary.notes if "in this process" not in note and "PYTHONHASHSEED" not in note],
    )
    return json.dumps([dataclasses.asdict(summary), dataclasses.asdict(ran.curves)])


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [1, 3])
def test_the_result_is_the_same_bytes_whatever_the_number_of_processes(partitions: int, tmp_path: Path) -> None:
    own, log = retrains(), drifting(1_500, 700, partitions)
    found = []
    for processes in (1, 2):
        ran = run_backtest(
            chosen(own, "none", "challenge", "adaptive"), log, Options(processes=processes, decisions=tmp_path / str(processes))
        )
        found.append((unmeasured(ran), files(tmp_path / str(processes))))
    assert found[0] == found[1]
    assert len(found[0][1]) == 6 * partitions
    assert found[0][1]["own.0.jsonl"]


@pytest.mark.slow
def test_in_this_process_it_comes_to_the_same_as_in_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, options = drifting(800, 400), Options(processes=2)
    elsewhere = run_backtest(chosen(trains(), "none"), log, options)
    monkeypatch.setattr(workplace, "unsendable", lambda _: "a test wants it so")
    in_here = run_backtest(chosen(trains(), "none"), log, options)
    assert unmeasured(elsewhere) == unmeasured(in_here)
    assert any("in this process alone" in note and "a test wants it so" in note for note in in_here.summary.notes)


@pytest.mark.usefixtures("here")
class TestSummary:
    @pytest.fixture
    def ran(self) -> Ran:
        return run_backtest(chosen(trains(), "none"), drifting(1_600, 800, 2), Options())

    def test_controls_come_last_and_kappa_temporal_is_measured_against_the_previous_label(self, ran: Ran) -> None:
        summary = ran.summary
        assert [each.name for each in summary.variants] == ["own", "none"]
        assert [each.name for each in summary.controls] == ["previous label", "blind reset"]
        base = summary.controls[0].loss
        assert base is not None
        for each in [*summary.variants, *summary.controls]:
            assert each.loss is not None
            assert each.kappa_temporal == pytest.approx(1 - each.loss / base)
        assert summary.controls[0].kappa_temporal == 0

    def test_means_over_partitions_are_weighted_by_labels(self) -> None:
        """Partition 1 has a third of the events."""
        pairs = streams.rows(1_200, flip_at=600)
        rows, offsets = [], [0, 0]
        for number, (_, record) in enumerate(log_of(streams.events(pairs)).rows):
            partition = int(number % 3 == 0)
            rows.append((partition, record._replace(offset=offsets[partition])))
            offsets[partition] += 1
        ran = run_backtest(chosen(trains()), Log(rows), Options())
        alone = [run_backtest(chosen(trains()), Log([row for row in rows if row[0] == of]), Options()).summary for of in (0, 1)]
        [own, one, two] = [summary.variants[0] for summary in (ran.summary, *alone)]
        assert (own.labelled, one.labelled, two.labelled) == (1_200, 800, 400)
        assert one.quality is not None
        assert two.quality is not None
        assert own.quality == pytest.approx((2 * one.quality + two.quality) / 3)
        together = [each for each in ran.curves.intervals if each.partition is None and each.variant == "own"]
        apart = [each for each in ran.curves.intervals if each.partition == 1 and each.variant == "own"]
        assert sum(each.labelled for each in together) == 1_200
        assert sum(each.labelled for each in apart) == 400

    def test_curves_go_by_variant_all_partitions_together_first_then_each(self, ran: Ran) -> None:
        order = list(dict.fromkeys((each.variant, each.partition) for each in ran.curves.intervals))
        names = ["own", "none", "previous label", "blind reset"]
        assert order == [(name, partition) for name in names for partition in (None, 0, 1)]
        assert ran.summary.interval_records == 25
        assert [each.position for each in ran.curves.intervals[:3]] == [0, 25, 50]

    def test_what_was_asked_for_is_in_it(self, ran: Ran) -> None:
        summary = ran.summary
        assert (summary.pipeline, summary.task, summary.source, summary.partitions) == ("test", "binary", "a log", [0, 1])
        assert (summary.events, summary.rejected, summary.partial) == (1_600, 0, False)
        assert (summary.from_time_s, summary.to_time_s) == (0.0, 1_599.0)
        assert summary.variants[0].generations.keys() == {0, 1}
        assert {"river", "python", "stream_retrain", "numpy"} == summary.versions.keys()
        assert any("joins 500 labelled events after" in note for note in summary.notes)

    def test_incidents_and_the_source_s_notes_are_handed_on(self) -> None:
        log = drifting(200, 100)
        log.notes = ["retention has deleted the first 7 records"]
        options = Options(incidents=[Incident(text="a new sensor", position=100)])
        summary = run_backtest(chosen(streams.pipeline()), log, options).summary
        assert summary.incidents == [Incident(text="a new sensor", position=100)]
        assert summary.notes[0] == "retention has deleted the first 7 records"

    def test_late_labels_are_counted_where_they_come(self) -> None:
        log = log_of(streams.questions_and_answers(streams.rows(600), 100))
        ran = run_backtest(chosen(streams.pipeline(), "none"), log, Options())
        first = [each for each in ran.curves.intervals if each.variant == "none" and each.partition is None][:4]
        assert [(each.events, each.labelled) for each in first] == [(25, 0)] * 4
        assert [each.loss for each in first] == [None] * 4
        assert (ran.summary.events, ran.summary.variants[0].labelled) == (1_200, 600)

    def test_the_ranking_puts_neighbours_side_by_side_controls_included(self, ran: Ran) -> None:
        everyone = sorted([*ran.summary.variants, *ran.summary.controls], key=lambda each: each.loss or 0)
        pairs = [(pair.better, pair.worse) for pair in ran.summary.ranking]
        assert pairs == [(one.name, two.name) for one, two in itertools.pairwise(everyone)]
        assert all(pair.low <= pair.difference <= pair.high for pair in ran.summary.ranking)

    def test_without_labels_there_is_no_quality_and_that_is_said(self) -> None:
        log = drifting(200, 100)
        bare = [(of, record._replace(value=(record.value or b"").replace(b'"y"', b'"z"'))) for of, record in log.rows]
        summary = run_backtest(chosen(streams.pipeline()), Log(bare), Options()).summary
        assert all(each.quality is None and each.loss is None and each.kappa_temporal is None for each in summary.variants)
        assert summary.ranking == []
        assert any("No label came" in note and "'y'" in note for note in summary.notes)

    def test_rejected_records_are_counted_and_the_first_is_quoted(self) -> None:
        log = drifting(200, 100)
        spoiled = [(of, record._replace(value=b"{") if record.offset in (7, 90) else record) for of, record in log.rows]
        summary = run_backtest(chosen(streams.pipeline()), Log(spoiled), Options()).summary
        assert (summary.events, summary.rejected) == (198, 2)
        assert any("partition 0, offset 7, decode: " in note for note in summary.notes)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", CASES)
def test_every_task_runs_with_all_built_in_variants_and_controls(name: str) -> None:
    own, pairs = CASES[name]
    summary = run_backtest(chosen(own, "none", "reset", "challenge", "adaptive"), log_of(streams.events(pairs[:200])), Options()).summary
    everyone = [*summary.variants, *summary.controls]
    assert len(everyone) == 7
    assert all(each.loss is not None and each.labelled == 200 for each in everyone)
    assert summary.controls[0].name == ("last value" if own.task == "regression" else "previous label")
    assert len(summary.ranking) == 6
    figures(summary)


@pytest.mark.usefixtures("here")
class TestRefused:
    def test_a_source_without_records(self) -> None:
        with pytest.raises(SettingsError, match="a log: it has no records"):
            run_backtest(chosen(streams.pipeline()), Log([]), Options())

    def test_records_of_which_none_is_an_event(self) -> None:
        log = Log([(0, Record(offset, None, b'{"other": 1}', 0)) for offset in range(10)])
        with pytest.raises(SettingsError, match=r"none of its 10 records is an event of the schema; .*offset 0, schema: "):
            run_backtest(chosen(streams.pipeline()), log, Options())

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (Options(joins_after_events=0), "joins_after_events is 0"),
            (Options(processes=0), "processes is 0"),
            (Options(spool=Path("/nowhere/at/all")), "there is no such folder"),
            (Options(cluster="host:8786"), "write dask://HOST:PORT"),
        ],
    )
    def test_options_out_of_range_before_the_source_is_read(self, options: Options, words: str) -> None:
        class Unread(Log):
            def records(self) -> Iterator[tuple[int, Record]]:
                raise AssertionError("it was read")

        with pytest.raises(SettingsError, match=words):
            run_backtest(chosen(streams.pipeline()), Unread([]), options)


class TestGroups:
    @pytest.mark.parametrize(
        ("variants", "partitions", "processes", "groups"),
        [(4, 1, 1, 1), (4, 1, 2, 2), (4, 1, 8, 4), (4, 4, 4, 1), (4, 8, 4, 1), (4, 2, 4, 2), (4, 3, 4, 2), (4, 1, 3, 3)],
    )
    def test_there_are_only_as_many_as_keep_all_processes_at_work(
        self, variants: int, partitions: int, processes: int, groups: int
    ) -> None:
        assert groups_for(variants, partitions, processes) == groups

    def test_the_dearest_variant_has_a_group_of_its_own(self, tmp_path: Path) -> None:
        cheap = streams.pipeline(watch=(), react=())
        variants = [Variant(name=str(number), pipeline=cheap) for number in range(4)]
        variants[2] = Variant(name="dear", pipeline=dataclasses.replace(cheap, model=forest.ARFClassifier(seed=1)))
        [partition] = spooled(drifting(600, 300), tmp_path).partitions
        assert sorted(grouped(variants, 2, partition)) == [(0, 1, 3), (2,)]
        assert grouped(variants, 1, partition) == [(0, 1, 2, 3)]


class Stopping:
    """A `Watching` that interrupts the run when so much of it is done."""

    def __init__(self, share: float, interrupt: Callable[[], None]) -> None:
        self._share = share
        self._interrupt = interrupt
        self._told = False

    def reading(self, records: int, about: int | None) -> None: ...

    def running(self, lane_records: int, total: int) -> None:
        if lane_records >= self._share * total and not self._told:
            self._told = True
            self._interrupt()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def is_sound(summary: BacktestSummary, records: int) -> None:
    """What holds of every partial result."""
    assert summary.partial
    [note] = [note for note in summary.notes if note.startswith("It was interrupted.")]
    assert "kappa-temporal and the ranking are of the " in note
    assert all(0 <= each.labelled <= records for each in summary.variants)
    assert sum(each.labelled for each in summary.variants) < len(summary.variants) * records


@pytest.mark.usefixtures("here")
def test_interrupted_it_ends_with_what_the_lanes_share() -> None:
    before = signal.getsignal(signal.SIGINT)
    ran = run_backtest(chosen(trains(), "none"), drifting(2_000, 1_000), Options(), Stopping(0.4, interrupt))
    is_sound(ran.summary, 2_000)
    own, none = ran.summary.variants
    assert own.labelled == none.labelled == 800
    whole = run_backtest(chosen(trains(), "none"), drifting(2_000, 1_000), Options())
    assert [each for each in whole.curves.intervals if each.number < 80 // 10] == [
        each for each in ran.curves.intervals if each.number < 80 // 10
    ]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("here")
def test_partitions_that_were_not_begun_are_in_no_comparison() -> None:
    ran = run_backtest(chosen(trains(), "none"), drifting(2_000, 1_000, 2), Options(), Stopping(0.3, interrupt))
    is_sound(ran.summary, 2_000)
    assert {each.partition for each in ran.curves.intervals} == {None, 0}
    assert ran.summary.partitions == [0, 1]
    assert ran.summary.variants[0].kappa_temporal is not None


@pytest.mark.slow
def test_interrupted_child_processes_hand_over_what_they_have() -> None:
    own, log = slow()
    ran = run_backtest(chosen(own, "adaptive"), log, Options(processes=2), Stopping(0.02, interrupt))
    is_sound(ran.summary, 6_000)
    assert all(each.labelled > 0 for each in ran.summary.variants)
    assert ran.summary.variants[0].kappa_temporal is not None


def test_interrupted_while_reading_there_is_nothing_to_show() -> None:
    class Slow(Log):
        def records(self) -> Iterator[tuple[int, Record]]:
            yield from self.rows
            interrupt()
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        run_backtest(chosen(streams.pipeline()), Slow(drifting(100, 50).rows), Options())


@pytest.mark.slow
def test_a_child_that_is_killed_is_an_error_that_says_so() -> None:
    def kill_one() -> None:
        children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        ours = [pid for pid in children if b"backtesting.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        os.kill(int(ours[0]), signal.SIGKILL)

    own, log = slow()
    with pytest.raises(BacktestError, match=r"ended by SIGKILL: the machine may be out of memory"):
        run_backtest(chosen(own), log, Options(processes=2), Stopping(0.001, kill_one))


_PARENT = """
import sys
from tests.backtesting.test_run import Stopping, chosen
from tests.backtesting.support import slow
from stream_retrain.backtesting.run import Options, run_backtest
own, log = slow()
run_backtest(chosen(own), log, Options(processes=2), Stopping(0.001, lambda: print("on", flush=True)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children on Linux only")
def test_children_end_with_their_parent(tmp_path: Path) -> None:
    given = {**os.environ, "TMPDIR": str(tmp_path)}  # its spool stays behind
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True, env=given) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "on\n"
        children = [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
        assert len(children) == 2
        parent.kill()
    until_s = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
def test_no_process_is_left_behind_and_no_spool(tmp_path: Path) -> None:
    before = multiprocessing.active_children()
    with pytest.raises(SettingsError, match="none of its"):
        run_backtest(chosen(streams.pipeline()), Log([(0, Record(0, None, b"{", 0))]), Options(spool=tmp_path, processes=1))
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == before


def test_what_is_defined_in_the_main_program_runs_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from river import linear_model

    class Own(linear_model.LogisticRegression):  # type: ignore[misc]
        pass

    monkeypatch.setattr(sys.modules["__main__"], "Own", Own, raising=False)
    Own.__module__, Own.__qualname__ = "__main__", "Own"
    summary = run_backtest(chosen(streams.pipeline(model=Own(), watch=(), react=())), drifting(200, 100), Options()).summary
    [note] = [note for note in summary.notes if "in this process alone" in note]
    assert "Own is defined in the main program" in note
    assert any("PYTHONHASHSEED=0" in note for note in summary.notes) == (os.environ.get("PYTHONHASHSEED") != "0")
