"""The jobs of a backtest in child processes: several at a time, each child one after another.

Children are started as the trainer's are: a program of their own with a socket pair, so that nothing of the caller's main module is run
again (a script or a notebook needs no guard), with a pinned hash seed, in a process group of their own, ended by the kernel when this
process ends. Which child runs which job makes no difference to what comes of it.
"""

from __future__ import annotations

import collections
import pickle
import pickletools
import select
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, assert_never

from stream_retrain.backtesting.child import Broken, Failed, Hello, Message, Moved, Ready, Stop, Up
from stream_retrain.backtesting.job import Job, JobDone
from stream_retrain.backtesting.variants import Variant
from stream_retrain.backtesting.versions import versions
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import how_it_ended, start_child
from stream_retrain.errors import BacktestError

__all__ = ["HASH_SEED", "hello_of", "run_in_processes", "unsendable"]

HASH_SEED: Final = "0"
WAIT_S: Final = 0.1
STOP_TIMEOUT_S: Final = 60.0
"""A child that was told to stop ends its piece of the log first; one that takes longer is given up, with what it had."""
_CHILD: Final = "stream_retrain.backtesting.child"


def hello_of(variants: Sequence[Variant], target: str | None) -> Hello:
    """What a child is told; `target` is the PIPELINE they were loaded from, if they were. Raises what pickling them raises."""
    pickled = pickle.dumps(list(variants), protocol=5)
    digests = tuple(variant.pipeline.digest() for variant in variants)
    return Hello(target=None if target is None else _wherever(target), variants=pickled, digests=digests, versions=versions())


def _wherever(target: str) -> str:
    """A PIPELINE that means the same in a process with another working directory, such as a worker of a cluster."""
    place, colon, name = target.partition(":")
    return f"{Path(place).absolute()}{colon}{name}" if place.endswith(".py") else target


def unsendable(variants: Sequence[Variant]) -> str | None:
    """Why the variants cannot be sent to another process, in words; None: they can."""
    try:
        pickled = pickle.dumps(list(variants), protocol=2)  # where a name is one operation
    except Exception as error:  # noqa: BLE001 - pickling runs the code of what is declared
        return f"they cannot be pickled: {type(error).__name__}: {error}"
    names = {str(argument).replace(" ", ".") for operation, argument, _ in pickletools.genops(pickled) if operation.name == "GLOBAL"}
    here = sorted(name.removeprefix("__main__.") for name in names if name.startswith("__main__."))
    return f"{', '.join(here)} is defined in the main program: put it into a module of its own" if here else None


def run_in_processes(
    hello: Hello, processes: int, jobs: Sequence[Job], on_progress: Callable[[int], None], stopped: Callable[[], bool]
) -> list[JobDone]:
    """Run the jobs, at most `processes` at a time, and return what they came to, in the order of the jobs.

    Those that were not begun when `stopped()` became true are left out. `on_progress` is told the lane records done since its last call.

    Raises `BacktestError` where a child cannot load the pipelines, a job raises, or a child is killed.
    """
    pool = _Pool(jobs, hello, on_progress)
    try:
        pool.start(min(processes, len(jobs)))
        while pool.busy:
            if stopped():
                pool.stop()
            pool.turn()
    finally:
        pool.end()
    return [pool.done[job.number] for job in jobs if job.number in pool.done]


class _Child:
    """A process, and the job it has."""

    def __init__(self) -> None:
        ours, theirs = Channel.pair()
        self.process = start_child(_CHILD, theirs.fileno(), PYTHONHASHSEED=HASH_SEED)
        theirs.close()
        self.channel = ours
        self.ready = False
        self.job: Job | None = None
        self.moved = 0

    def fileno(self) -> int:
        return self.channel.fileno()

    def send(self, message: Hello | Job | Stop) -> None:
        """Send a message; a child that does not take it is killed, and found ended at the next turn."""
        try:
            self.channel.send(message)
        except OSError:
            self.process.kill()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()


class _Pool:
    """The children of one backtest."""

    def __init__(self, jobs: Sequence[Job], hello: Hello, on_progress: Callable[[int], None]) -> None:
        # The longest first, so that the last to be begun is short.
        self._waiting = collections.deque(sorted(jobs, key=lambda job: -job.lane_records))
        self._hello = hello
        self._on_progress = on_progress
        self._children: list[_Child] = []
        self._stopped_at_s: float | None = None
        self.done: dict[int, JobDone] = {}

    @property
    def busy(self) -> bool:
        """Whether a job is under way, or waits to be begun."""
        return bool(self._waiting) or any(child.job is not None for child in self._children)

    def start(self, count: int) -> None:
        for _ in range(count):
            self._children.append(_Child())

    def stop(self) -> None:
        """Begin no more jobs, and let those under way end with what they have."""
        if self._stopped_at_s is not None:
            return
        self._stopped_at_s = time.monotonic()
        self._waiting.clear()
        for child in self._children:
            if child.job is not None:
                child.send(Stop())

    def turn(self) -> None:
        """Take what the children have sent; waits a little for it."""
        for child in select.select(self._children, [], [], WAIT_S)[0]:
            try:
                messages = child.channel.arrived()
            except EOFError:
                self._gone(child)
                continue
            for message in messages:
                self._take(message, child)
        if self._stopped_at_s is not None and time.monotonic() - self._stopped_at_s > STOP_TIMEOUT_S:
            self.end()

    def end(self) -> None:
        for child in self._children:
            child.end()
        self._children.clear()

    def _take(self, message: Message, child: _Child) -> None:
        match message:
            case Up():
                child.send(self._hello)
            case Ready():
                child.ready = True
                if all(each.ready for each in self._children):  # together, so that an interruption finds all about as far
                    for each in self._children:
                        self._begin(each)
            case Broken(error):
                raise BacktestError(f"a process of the backtest could not open the pipelines: {error}")
            case Moved(lane_records):
                child.moved += lane_records
                self._on_progress(lane_records)
            case Failed(error):
                assert child.job is not None
                raise BacktestError(f"the job over partition {child.job.partition.partition} failed: {error}")
            case JobDone():
                assert child.job is not None
                if self._stopped_at_s is None:
                    self._on_progress(child.job.lane_records - child.moved)
                self.done[message.number] = message
                self._begin(child)
            case _:
                assert_never(message)

    def _gone(self, child: _Child) -> None:
        """A child has ended, which is an error unless all were told to stop: what the others have is then enough."""
        if self._stopped_at_s is None:
            raise BacktestError(_how_it_ended(child.process.wait()))
        child.end()
        self._children.remove(child)

    def _begin(self, child: _Child) -> None:
        child.job, child.moved = (self._waiting.popleft() if self._waiting else None), 0
        if child.job is not None:
            child.send(child.job)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        more = "; what it said is on standard error"
    else:
        more = ": the machine may be out of memory; run with fewer processes" if -code == signal.SIGKILL else ""
    return f"a process of the backtest {how_it_ended(code)}{more}"
