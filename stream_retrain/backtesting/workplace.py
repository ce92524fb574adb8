"""Where the jobs of a backtest run: in child processes, on a cluster, or in this process, where the variants cannot be sent to another."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from stream_retrain.backtesting.cluster import check_cluster, run_on_cluster
from stream_retrain.backtesting.grouping import grouped, groups_for
from stream_retrain.backtesting.job import Job, JobDone, run_job
from stream_retrain.backtesting.processes import HASH_SEED, hello_of, run_in_processes, unsendable
from stream_retrain.backtesting.spool import SpooledPartition
from stream_retrain.backtesting.variants import Variant
from stream_retrain.errors import SettingsError

__all__ = ["Workplace", "cores", "workplace"]

_Run: TypeAlias = Callable[[Sequence[Job], Callable[[int], None], Callable[[], bool]], list[JobDone]]
_EACH: Final = -1


class Workplace(NamedTuple):
    """A place to run jobs in."""

    run: _Run
    """The jobs, who is told the progress, and whether to stop; what the jobs came to, without those that were not begun."""
    processes: int
    """How many run side by side; -1: nobody knows."""
    notes: list[str]
    """What a reader of the result must know of it."""

    def groups(self, variants: Sequence[Variant], partitions: Sequence[SpooledPartition]) -> list[tuple[int, ...]]:
        """The variants by place, dealt into groups; each group over each partition is a job."""
        if self.processes == _EACH:
            return [(index,) for index in range(len(variants))]
        groups = groups_for(len(variants), len(partitions), self.processes)
        return grouped(variants, groups, max(partitions, key=lambda each: each.records))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workplace(
    variants: Sequence[Variant], *, target: str | None, processes: int | None, cluster: str | None, spool: Path | None
) -> Workplace:
    """The place for these variants. Raises `SettingsError` where there is none."""
    reason = unsendable(variants)
    if reason is not None:
        if cluster is not None:
            raise SettingsError(f"the variants cannot be sent to a cluster: {reason}")
        return Workplace(functools.partial(_run_here, variants), 1, _notes(reason))
    hello = hello_of(variants, target)
    if cluster is not None:
        return Workplace(functools.partial(run_on_cluster, check_cluster(cluster), hello, sees_spool=spool is not None), _EACH, [])
    count = processes or cores()
    return Workplace(functools.partial(run_in_processes, hello, count), count, [])


def _run_here(
    variants: Sequence[Variant], jobs: Sequence[Job], on_progress: Callable[[int], None], stopped: Callable[[], bool]
) -> list[JobDone]:
    return [run_job(job, variants, on_progress, stopped) for job in jobs if not stopped()]


def _notes(reason: str) -> list[str]:
    notes = [f"It ran in this process alone, because the variants cannot be sent to others: {reason}."]
    if os.environ.get("PYTHONHASHSEED") != HASH_SEED:
        notes.append(f"A model that iterates over sets may do so in another order next time; start Python with PYTHONHASHSEED={HASH_SEED}.")
    return notes
