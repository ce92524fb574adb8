"""A process that runs jobs of a backtest for the one that started it.

1. It sends `Up` and receives a `Hello`: the variants.
2. It opens them and sends `Ready`; if that fails, `Broken`, and it ends.
3. For each job: it sends `Moved` at intervals, and then the `JobDone` or `Failed`. It looks for `Stop` between two pieces of the log; the
   job is then over with what it has come to.
4. It ends with the process that started it.

Its hash seed is pinned by whoever starts it, so that a model that iterates over a set does so in the same order in every process.
"""

from __future__ import annotations

import dataclasses
import pickle
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from stream_retrain.backtesting.job import Job, JobDone, run_job
from stream_retrain.backtesting.variants import Variant
from stream_retrain.backtesting.versions import versions
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import serve_parent
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.parent import end_with_parent
from stream_retrain.loading import load_pipeline

__all__ = ["Broken", "Failed", "Hello", "Message", "Moved", "Ready", "Stop", "Up", "main", "run"]

WAIT_S_MAX: Final = 86_400.0
PROGRESS_EVERY_S: Final = 0.2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the child needs for its jobs."""

    target: str | None
    """What to load first, so that the variants' own classes are found; None: they are of installed packages."""
    variants: bytes
    """A pickle of them."""
    digests: tuple[str, ...]
    """Of their pipelines: a child whose pipelines are others must not run."""
    versions: dict[str, str]
    """A child on another machine may have others, and would come to other figures."""


@dataclasses.dataclass(frozen=True, slots=True)
class Up:
    """The process runs and reads messages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The process takes jobs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """The process cannot take jobs, and another one could not either."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Moved:
    """So many lane records of the current job were done since the last message."""

    lane_records: int


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """The current job raised."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """To the child: end the job with what it has come to."""


Message: TypeAlias = Up | Ready | Broken | Moved | Failed | JobDone


def main(descriptor: int, parent: int) -> None:
    """Serve the process at the other end of `descriptor` until it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is for the one that started it, which then says `Stop`
    end_with_parent(parent, signal.SIGKILL)
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(Up())
    hello: Hello = channel.receive(WAIT_S_MAX)
    try:
        variants = opened(hello)
    except Exception as error:  # noqa: BLE001 - the pipelines are foreign code, and what they raised must be reported
        channel.send(Broken(f"{type(error).__name__}: {error}"))
        return
    spare_the_collector()
    channel.send(Ready())
    while isinstance(job := channel.receive(WAIT_S_MAX), Job):
        channel.send(_ran(job, variants, channel))


def opened(hello: Hello) -> list[Variant]:
    """The variants of a hello. Raises what loading and unpickling them raises, and ValueError where something is another here."""
    if (here := versions()) != hello.versions:
        differ = ", ".join(
            f"{name} {here.get(name)} and not {wanted}" for name, wanted in hello.versions.items() if here.get(name) != wanted
        )
        raise ValueError(f"it has {differ}")
    if hello.target is not None:
        load_pipeline(hello.target)
    variants: list[Variant] = pickle.loads(hello.variants)
    if tuple(variant.pipeline.digest() for variant in variants) != hello.digests:
        raise ValueError("the pipelines are others here: their code has changed since the backtest began")
    return variants


def _ran(job: Job, variants: Sequence[Variant], channel: Channel) -> JobDone | Failed:
    try:
        return run_job(job, variants, _throttled(channel), lambda: Stop() in channel.arrived())
    except EOFError:
        raise
    except OSError as error:
        where = error.filename or job.decisions or "a file"  # the log of decisions is all that a job writes
        return Failed(f"{where}: {error.strerror or error}")
    except MemoryError:
        return Failed("there is not enough memory; run with fewer processes")
    except Exception:  # noqa: BLE001 - it is a fault of ours, and is reported with where it was
        return Failed(traceback.format_exc())


def _throttled(channel: Channel) -> Callable[[int], None]:
    """Sends the progress, but not more often than every `PROGRESS_EVERY_S`."""
    sent_s, waiting = time.monotonic(), 0

    def send(lane_records: int) -> None:
        nonlocal sent_s, waiting
        waiting += lane_records
        if time.monotonic() - sent_s >= PROGRESS_EVERY_S:
            channel.send(Moved(waiting))
            sent_s, waiting = time.monotonic(), 0

    return send


def run(arguments: list[str]) -> None:
    """The process: its end of the channel, as a file descriptor, and its parent's id."""
    serve_parent(main, arguments)
