"""The trainer beside a worker: one child process, and who looks after it.

Everything happens in `submit` and `poll`, and neither waits for the child. At each of them:

1. take what the child has said;
2. if it has died, put the job it was at back in the queue, or give it up after `attempts_max`; the next child waits a little longer
   after every death;
3. if a job has had its time, end the child and give the job up;
4. if there is a job and nobody at it, start a child, or give it the job.

A training is cancelled by ending the child: it is the one way that is sure, whatever the model's code is doing, and the next child
is there two seconds later. The child ends when the worker does, and has a process group of its own, so that Ctrl-C in a terminal
leaves the training to the worker's orderly stop.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from typing import Final, Literal, assert_never

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.channel import Channel
from stream_retrain.engines.trainer.child import Broken, Failed, Hello, Message, Progressed, Ready, Up
from stream_retrain.engines.trainer.jobs import (
    REPLACED,
    Job,
    TopicReader,
    Trained,
    TrainerLimits,
    TrainerResult,
    TrainingFailed,
    TrainingProgressed,
    without_stale,
)

__all__ = ["ProcessTrainer"]

START_TIMEOUT_S: Final = 120.0
PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 30.0
_PROGRAM: Final = "import sys; from stream_retrain.engines.trainer.child import run; run(sys.argv[1:])"


@dataclasses.dataclass(slots=True)
class _Asked:
    """A job, how often it was begun, and since when it has been under way."""

    job: Job
    attempts: int = 0
    started_s: float = 0.0


@dataclasses.dataclass(slots=True)
class _Child:
    """The process and where it stands; nothing may be sent to it but when it waits for that."""

    process: subprocess.Popen[bytes]
    channel: Channel
    started_s: float
    state: Literal["starting", "loading", "idle", "busy"] = "starting"

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.channel.close()


class ProcessTrainer:
    """A `Trainer` with one child process, started with the first job."""

    def __init__(
        self,
        pipeline: Pipeline,
        redis_url: str,
        keyring: Keyring,
        limits: TrainerLimits,
        *,
        target: str | None = None,
        read_topic: TopicReader | None = None,
    ) -> None:
        """`target` is what the command line names, for the child to load; without it the pipeline itself is sent, as a pickle."""
        self._limits = limits
        self._hello = Hello(
            target=target,
            pipeline=pickle.dumps(pipeline) if target is None else None,
            digest=pipeline.digest(),
            redis_url=redis_url,
            keyring=keyring,
            memory_bytes_max=limits.memory_bytes_max,
            read_topic=None if read_topic is None else pickle.dumps(read_topic),
        )
        self._child: _Child | None = None
        self._waiting: dict[ShardId, _Asked] = {}
        self._running: _Asked | None = None
        self._results: list[TrainerResult] = []
        self._deaths = 0
        self._not_before_s = 0.0

    @property
    def child_pid(self) -> int | None:
        """The child's process id, while there is one."""
        return self._child.process.pid if self._child else None

    def submit(self, job: Job) -> None:
        self._give_up(job.shard, REPLACED)
        self._results = without_stale(self._results, job)
        self._waiting[job.shard] = _Asked(job)
        self._step()

    def poll(self) -> list[TrainerResult]:
        self._step()
        results, self._results = self._results, []
        return results

    def cancel(self, shard: ShardId) -> None:
        self._give_up(shard, "cancelled")

    def close(self, deadline_s: float) -> None:  # noqa: ARG002 - a killed process does not take long
        self._waiting.clear()
        self._running = None
        self._end_child()

    def _step(self) -> None:
        now_s = time.monotonic()
        self._listen()
        self._watch_the_clock(now_s)
        if self._running is None and self._waiting and now_s >= self._not_before_s:
            self._begin(now_s)

    def _listen(self) -> None:
        """Take what the child has said, and see whether it lives."""
        while self._child is not None:
            try:
                messages = self._child.channel.arrived()
            except EOFError:
                self._died()
                return
            if not messages:
                return
            for message in messages:
                self._take(message, self._child)

    def _take(self, message: Message, child: _Child) -> None:
        match message:
            case Up():
                child.state = "loading"
                self._send(child, self._hello)
            case Ready():
                child.state = "idle"
            case Broken(error):
                for asked in self._waiting.values():
                    self._fail(asked, error)
                self._waiting.clear()
            case Progressed() | Failed() | Trained():
                if self._running is not None:
                    self._take_about(self._running, message, child)
            case _:
                assert_never(message)

    def _take_about(self, asked: _Asked, message: Progressed | Failed | Trained, child: _Child) -> None:
        shard, number = asked.job.shard, asked.job.training.number
        if isinstance(message, Progressed):
            self._results.append(TrainingProgressed(shard=shard, number=number, rows=message.rows, rows_total=message.rows_total))
            return
        self._running, child.state = None, "idle"
        if isinstance(message, Trained):
            self._deaths = 0
            self._results.append(message)
            return
        self._end_child()  # whatever went wrong in it, the next training begins in a process of its own
        if message.again:
            self._again(asked, message.error)
        else:
            self._fail(asked, message.error)

    def _died(self) -> None:
        """The child is gone: who was at a job goes on with the next one; and one that cannot even start is not tried for ever."""
        assert self._child is not None
        starting = self._child.state in ("starting", "loading")
        self._child.channel.close()
        code = self._child.process.wait()
        self._child = None
        asked, self._running = self._running, None
        if asked is None and starting and self._waiting:
            asked = self._waiting.pop(next(iter(self._waiting)))
            asked.attempts += 1
        if asked is not None:
            self._again(asked, f"the trainer's process {_how_it_ended(code)}")

    def _watch_the_clock(self, now_s: float) -> None:
        if self._running is not None and now_s - self._running.started_s > self._limits.timeout_s:
            asked, self._running = self._running, None
            self._end_child()
            self._fail(asked, f"it took longer than train_timeout_s = {self._limits.timeout_s:g} s")
        child = self._child
        if child is not None and child.state in ("starting", "loading") and now_s - child.started_s > START_TIMEOUT_S:
            child.process.kill()  # found dead at the next step

    def _begin(self, now_s: float) -> None:
        """Give the idle child the next job; start one if there is none."""
        if self._child is None:
            self._child = _started(now_s)
        elif self._child.state == "idle":
            asked = self._waiting.pop(next(iter(self._waiting)))
            asked.attempts += 1
            asked.started_s = now_s
            self._running, self._child.state = asked, "busy"
            self._send(self._child, asked.job)

    def _send(self, child: _Child, message: Hello | Job) -> None:
        try:
            child.channel.send(message)
        except OSError:
            child.process.kill()  # found dead at the next step

    def _again(self, asked: _Asked, error: str) -> None:
        """Put a job back, or give it up when it has had its attempts."""
        if asked.attempts >= self._limits.attempts_max:
            self._fail(asked, error)
            return
        self._not_before_s = time.monotonic() + min(PAUSE_MAX_S, PAUSE_MIN_S * 2**self._deaths)
        self._deaths += 1
        self._waiting.setdefault(asked.job.shard, asked)

    def _fail(self, asked: _Asked, error: str) -> None:
        job = asked.job
        self._results.append(TrainingFailed(shard=job.shard, number=job.training.number, error=error, attempts=asked.attempts))

    def _give_up(self, shard: ShardId, why: str) -> None:
        if (asked := self._waiting.pop(shard, None)) is not None:
            self._fail(asked, why)
        if self._running is not None and self._running.job.shard == shard:
            asked, self._running = self._running, None
            self._end_child()
            self._fail(asked, why)

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _started(now_s: float) -> _Child:
    ours, theirs = Channel.pair()
    command = [sys.executable, "-P", "-c", _PROGRAM, str(theirs.fileno()), str(os.getpid())]
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)  # noqa: PTH109 - what an empty entry means
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": paths},
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=2,  # a command's standard output is its result's
        process_group=0,
    )
    theirs.close()
    return _Child(process, ours, now_s)


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was ended by {name}" + (": the machine may be out of memory" if -code == signal.SIGKILL else "")
