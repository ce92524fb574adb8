"""Jobs on the workers of a real dask scheduler, which come to what child processes here come to."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.backtesting import cluster
from stream_retrain.backtesting.cluster import check_cluster
from stream_retrain.backtesting.run import Options, run_backtest
from stream_retrain.backtesting.tuning.grid import load_grid
from stream_retrain.backtesting.tuning.tuned import run_tuned
from stream_retrain.backtesting.variants import choose
from stream_retrain.errors import BacktestError, SettingsError
from tests.backtesting.support import drifting, retrains
from tests.backtesting.test_run import Stopping, files, interrupt, is_sound, unmeasured

CHOSEN = choose({"own": retrains()}, "own", ["none"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
class TestOnALocalScheduler:
    @pytest.mark.parametrize("shared", [False, True], ids=["spool sent", "spool seen"])
    def test_the_result_is_the_same_as_in_processes_here(self, scheduler: Any, shared: bool, tmp_path: Path) -> None:
        log, spool = drifting(1_200, 600, 2), tmp_path / "spool"
        spool.mkdir()
        here = run_backtest(CHOSEN, log, Options(processes=1, decisions=tmp_path / "here", controls=False))
        address = scheduler.scheduler_address.replace("tcp://", "dask://")
        options = Options(cluster=address, decisions=tmp_path / "there", spool=spool if shared else None, controls=False)
        there = run_backtest(CHOSEN, log, options)
        assert unmeasured(here) == unmeasured(there)
        assert files(tmp_path / "here") == files(tmp_path / "there")
        assert len(there.jobs) == 4, "one for each variant and partition"

    def test_a_grid_comes_to_what_it_comes_to_here(self, scheduler: Any) -> None:
        own, log = retrains(), drifting(900, 300, 2)
        grid = load_grid({"grid": {"watch[0].detector.delta": [0.002, 0.5]}, "strategy": "halving"}, own)
        here, there = (
            run_tuned(own, "own", grid, log, Options(processes=1, cluster=cluster, controls=False))
            for cluster in (None, scheduler.scheduler_address)
        )
        assert here.tuning == there.tuning
        assert unmeasured(here) == unmeasured(there)
        assert there.tuning is not None
        assert [each.rank for each in there.tuning.trials] == [1, 2, 3]

    def test_interrupted_it_ends_with_what_the_workers_have(self, scheduler: Any) -> None:
        options = Options(cluster=scheduler.scheduler_address)
        ran = run_backtest(CHOSEN, drifting(6_000, 3_000, 2), options, Stopping(0.1, interrupt))
        is_sound(ran.summary, 6_000)
        assert len(ran.jobs) < 8

    def test_a_worker_that_is_killed_costs_its_jobs_an_attempt_and_no_more(self, scheduler: Any) -> None:
        """The records are sent along, and what it had of them the other has too."""
        [pid, _] = [worker.process.pid for worker in scheduler.workers.values()]
        options = Options(cluster=scheduler.scheduler_address, controls=False)
        ran = run_backtest(CHOSEN, drifting(400, 200, 2), options, Stopping(0.1, lambda: os.kill(pid, signal.SIGKILL)))
        assert (len(ran.jobs), ran.summary.partial) == (4, False)
        assert not Path(f"/proc/{pid}/exe").exists()

    def test_records_that_only_the_killed_worker_had_are_sent_again(self, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scheduler may drop the copies that other workers have."""
        from distributed import Client

        first = next(iter(scheduler.workers.values()))
        scatter = Client.scatter

        def to_one(client: Any, data: Any, **options: Any) -> Any:
            here = [address for address in client.scheduler_info()["workers"] if address == first.worker_address]
            return scatter(client, data, **{**options, "broadcast": False, "workers": here or None})

        monkeypatch.setattr(Client, "scatter", to_one)
        kill = first.process.pid
        options = Options(cluster=scheduler.scheduler_address, controls=False)
        ran = run_backtest(CHOSEN, drifting(400, 200, 2), options, Stopping(0.1, lambda: os.kill(kill, signal.SIGKILL)))
        assert (len(ran.jobs), ran.summary.partial) == (4, False)

    def test_what_a_job_raises_is_told(self, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from stream_retrain.backtesting import processes

        monkeypatch.setattr(processes, "versions", lambda: {"river": "0.1"})
        with pytest.raises(BacktestError, match=r"could not open the pipelines: ValueError: it has river .* and not 0\.1"):
            run_backtest(CHOSEN, drifting(100, 50), Options(cluster=scheduler.scheduler_address))

    def test_a_spool_that_workers_do_not_see_is_told(self, scheduler: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        submit = cluster._Under.submit

        def hidden(under: Any, jobs: Any) -> Any:
            futures = submit(under, jobs)
            for job in jobs:
                job.partition.path.unlink(missing_ok=True)
            return futures

        monkeypatch.setattr(cluster._Under, "submit", hidden)
        with pytest.raises(BacktestError, match="a worker does not see"):
            run_backtest(CHOSEN, drifting(100, 50), Options(cluster=scheduler.scheduler_address, spool=tmp_path))

    def test_a_spool_that_is_too_large_to_send_needs_a_folder(self, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cluster, "SENT_BYTES_MAX", 1_000)
        with pytest.raises(SettingsError, match="that every machine sees with --spool"):
            run_backtest(CHOSEN, drifting(100, 50), Options(cluster=scheduler.scheduler_address))

    def test_where_no_other_worker_is_left_it_says_so(self, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from distributed import Client

        def gone(*_: Any, **__: Any) -> Any:
            raise TimeoutError("No valid workers found")

        def killed() -> None:
            monkeypatch.setattr(Client, "scatter", gone)
            for worker in scheduler.workers.values():
                os.kill(worker.process.pid, signal.SIGKILL)

        options = Options(cluster=scheduler.scheduler_address, controls=False)
        with pytest.raises(BacktestError, match="there are no others; start more workers"):
            run_backtest(CHOSEN, drifting(400, 200, 2), options, Stopping(0.1, killed))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_where_no_scheduler_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(BacktestError, match=r"no dask scheduler answers at tcp://127\.0\.0\.1:1"):
        run_backtest(CHOSEN, drifting(100, 50), Options(cluster="dask://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("address", "dask"),
    [("dask://host:8786", "tcp://host:8786"), ("tcp://10.0.0.1:1", "tcp://10.0.0.1:1"), ("tls://host:2", "tls://host:2")],
)
def test_addresses_are_dask_s(address: str, dask: str) -> None:
    pytest.importorskip("distributed")
    assert check_cluster(address) == dask


@pytest.mark.parametrize("address", ["host:8786", "dask://host", "dask://:1", "http://host:80", "dask://host:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(SettingsError, match="write dask://HOST:PORT"):
        check_cluster(address)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'stream_retrain\[cluster\]'"):
        check_cluster("dask://host:8786")
