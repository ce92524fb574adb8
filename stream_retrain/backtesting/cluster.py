"""The jobs of a backtest on the workers of a dask scheduler: more than one machine, and the same results.

Each job is one task. On its worker it runs in a child process, exactly as on this machine: with the pinned hash seed, and without holding
the worker up. Workers need this package in the same version, with the same River, numpy and Python; that is compared before a job begins.

The spool of a partition is either in a folder that all workers see (`--spool`), or it is sent along, where all of them are small. Decision
logs come back with the results. A worker that is lost costs its job an attempt, and the scheduler begins it again elsewhere.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from stream_retrain.backtesting.child import Hello
from stream_retrain.backtesting.job import Job, JobDone
from stream_retrain.backtesting.processes import run_in_processes
from stream_retrain.errors import BacktestError, SettingsError, StreamRetrainError

__all__ = ["check_cluster", "run_on_cluster"]

CONNECT_TIMEOUT_S: Final = 15.0
SENT_BYTES_MAX: Final = 64_000_000
WAIT_S: Final = 0.5
ATTEMPTS: Final = 2
SENDINGS_MAX: Final = 4
"""How often records are sent, should they be lost."""
FORM: Final = "dask://HOST:PORT"


class _Sent(NamedTuple):
    """What a job comes back with."""

    done: JobDone
    decisions: dict[str, bytes]
    """Its decision logs by file name, compressed."""


def check_cluster(address: str) -> str:
    """The address as dask writes it. Raises `SettingsError` where it is none, or the extra `cluster` is not installed."""
    _distributed()
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme not in ("dask", "tcp", "tls") or not host or not port.isdigit():
        raise SettingsError(f"cluster {address!r} is no address of a scheduler; write {FORM}")
    return f"{'tcp' if scheme == 'dask' else scheme}://{place}"


def run_on_cluster(
    address: str,
    hello: Hello,
    jobs: Sequence[Job],
    on_progress: Callable[[int], None],
    stopped: Callable[[], bool],
    *,
    sees_spool: bool,
) -> list[JobDone]:
    """Run the jobs on the workers of a scheduler, and return what they came to, in the order of the jobs.

    sees_spool
        Whether the workers see the spool's folder; if not, the spool is sent.

    Raises `SettingsError` where the spool is too large to be sent, `BacktestError` where no scheduler answers, a job fails, or workers are
    lost again and again.
    """
    distributed = _distributed()
    if not sees_spool:
        _check_size(jobs)
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise BacktestError(f"no dask scheduler answers at {address}: {error}") from None
    with client, client.as_current():
        if not client.scheduler_info()["workers"]:
            raise BacktestError(f"the dask scheduler at {address} has no workers; start some with `dask worker {address}`")
        under = _Under(client, hello, sees_spool)
        under.submit(sorted(jobs, key=lambda job: -job.lane_records))
        return _gathered(under, on_progress, stopped)


class _Under:
    """The jobs that are under way, and the records that were sent for them."""

    def __init__(self, client: Any, hello: Hello, sees_spool: bool) -> None:
        self.client = client
        self.stop = f"stream-retrain-stop-{uuid.uuid4().hex}"
        """The name of the event that tells the jobs to stop."""
        self.jobs: dict[Any, Job] = {}
        """By the future of each."""
        self._hello = hello
        self._sees_spool = sees_spool
        self._sendings = 0

    def submit(self, jobs: Sequence[Job]) -> set[Any]:
        """Send the records of these jobs, and have them carried out; their futures."""
        self._sendings += 1
        paths = () if self._sees_spool else dict.fromkeys(job.partition.path for job in jobs)
        # To every worker: what one alone has goes with it, and the jobs that need it with that.
        spools = {path: self.client.scatter(path.read_bytes(), broadcast=True, hash=False) for path in paths}
        futures = {}
        for job in jobs:
            # A folder of this machine means nothing there: whether there are decision logs is all a worker needs to know.
            sent = dataclasses.replace(job, decisions=None)
            arguments = (sent, self._hello, job.decisions is not None, self.stop, spools.get(job.partition.path))
            futures[self.client.submit(_carried_out, *arguments, pure=False, retries=ATTEMPTS - 1)] = job
        self.jobs |= futures
        return set(futures)

    def submit_again(self, waiting: set[Any], error: Exception) -> set[Any]:
        """The futures to wait for after records were lost with their worker: a scheduler keeps one copy of each, by its own choice.

        Raises `BacktestError` where that has happened too often.
        """
        gone = {future for future in waiting if future.status in ("cancelled", "lost")}
        if not gone:  # the scheduler has not said yet which
            time.sleep(WAIT_S)
            return waiting
        lost = "all workers that had the records were lost"
        remedy = "start more workers, or name a folder that every machine sees with --spool"
        if self._sendings == SENDINGS_MAX:
            raise BacktestError(f"{lost}, again and again; {remedy}") from error
        try:
            return waiting - gone | self.submit([self.jobs.pop(future) for future in gone])
        except TimeoutError:
            raise BacktestError(f"{lost}, and there are no others; {remedy}") from error


def _gathered(under: _Under, on_progress: Callable[[int], None], stopped: Callable[[], bool]) -> list[JobDone]:
    """Wait for the jobs; those that were told to stop before they began come to nothing."""
    distributed = _distributed()
    waiting, done = set(under.jobs), {}
    told = False
    while waiting:
        if stopped() and not told:
            told = True
            distributed.Event(under.stop, client=under.client).set()
        try:
            finished = distributed.wait(waiting, timeout=WAIT_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            continue
        except CancelledError as error:
            waiting = under.submit_again(waiting, error)
            continue
        for future in finished:
            waiting.discard(future)
            job = under.jobs[future]
            sent = _result(future, job)
            on_progress(job.lane_records)
            if sent is not None:
                done[job.number] = sent.done
                _write(sent, job)
    return [done[job.number] for job in sorted(under.jobs.values(), key=lambda job: job.number) if job.number in done]


def _result(future: Any, job: Job) -> _Sent | None:
    try:
        result: _Sent | None = future.result()
    except StreamRetrainError:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise BacktestError(f"the job over partition {job.partition.partition} failed on the cluster: {told}") from error
    return result


def _write(sent: _Sent, job: Job) -> None:
    for name, compressed in sent.decisions.items():
        assert job.decisions is not None
        (job.decisions / name).write_bytes(zlib.decompress(compressed))


def _carried_out(job: Job, hello: Hello, decisions: bool, stop: str, spool: bytes | None) -> _Sent | None:
    """A job on a worker; None where it was told to stop before it began."""
    stopped = _throttled(_distributed().Event(stop))
    if stopped():
        return None
    with tempfile.TemporaryDirectory(prefix="stream-retrain-job-") as name:
        folder = Path(name)
        path = job.partition.path
        if spool is not None:
            path = folder / "partition.spool"
            path.write_bytes(spool)
        elif not path.exists():
            raise BacktestError(f"a worker does not see {path}: name a folder that every machine sees with --spool")
        logs = folder / "decisions"
        logs.mkdir()
        here = dataclasses.replace(job, partition=dataclasses.replace(job.partition, path=path), decisions=logs if decisions else None)
        done = run_in_processes(hello, 1, [here], lambda _: None, stopped)
        return _Sent(done[0], {file.name: zlib.compress(file.read_bytes()) for file in sorted(logs.iterdir())}) if done else None


def _throttled(event: Any) -> Callable[[], bool]:
    """Whether the event is set, which is asked of the scheduler once a second."""
    asked_s, is_set = float("-inf"), False

    def stopped() -> bool:
        nonlocal asked_s, is_set
        if not is_set and time.monotonic() - asked_s >= 1.0:
            asked_s, is_set = time.monotonic(), bool(event.is_set())
        return is_set

    return stopped


def _check_size(jobs: Sequence[Job]) -> None:
    if any(job.topic for job in jobs):
        raise SettingsError("a challenger learns from the whole topic: name a folder that every machine sees with --spool")
    sizes = {job.partition.path: job.partition.path.stat().st_size for job in jobs}
    if (total := sum(sizes.values())) > SENT_BYTES_MAX:
        raise SettingsError(
            f"the records take {total / 1e6:,.0f} MB, and at most {SENT_BYTES_MAX / 1e6:,.0f} MB are sent to a cluster:"
            " name a folder that every machine sees with --spool"
        )


def _distributed() -> ModuleType:
    try:
        import distributed
    except ImportError:
        raise SettingsError("a cluster needs dask.distributed: pip install 'stream_retrain[cluster]'") from None
    module: ModuleType = distributed
    return module
