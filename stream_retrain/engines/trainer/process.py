"""The trainer beside a worker: one child process, and the code that watches it.

Everything happens in `submit` and `poll`, and neither waits for the child. Each of them:

1. reads the child's messages;
2. if the child has ended, puts its job back in the queue, or fails it after `attempts_max`; the next child starts after an exponential
   back-off;
3. if a job exceeds its time limit, kills the child and fails the job;
4. if jobs wait and none is running, starts a child, or sends the idle child the next job.

A training is cancelled by killing the child. That works whatever the model's code is doing, and the next child is ready about two
seconds later. The child ends when the worker does. It has a process group of its own, so that Ctrl-C in a terminal reaches only the
worker, which then stops the training itself.
"""

from __future__ import annotations

import dataclasses
import pickle
import signal
import subprocess
import time
from typing import Final, Literal, assert_never

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.sources import source_files, sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.backoff import Backoff
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import how_it_ended, start_child
from stream_retrain.engines.trainer.child import Broken, Failed, Hello, Message, Progressed, Ready, Up
from stream_retrain.engines.trainer.jobs import Job, JobDone, TopicReader, TrainerLimits, TrainerResult
from stream_retrain.engines.trainer.open_jobs import OpenJobs
from stream_retrain.facts.values import ShardId
from stream_retrain.logs import current_setup

__all__ = ["ProcessTrainer"]

START_TIMEOUT_S: Final = 120.0
PAUSE_MIN_S: Final = 0.2
PAUSE_MAX_S: Final = 30.0
_CHILD: Final = "stream_retrain.engines.trainer.child"


@dataclasses.dataclass(slots=True)
class _Child:
    """The process and its state. A message may be sent to it only when it waits for one."""

    process: subprocess.Popen[bytes]
    channel: Channel
    since_s: float
    """When it was started, or when it got its current job."""
    state: Literal["starting", "loading", "idle", "busy"] = "starting"
    shard: ShardId | None = None
    """Whose job it carries out."""

    def send(self, message: Hello | Job) -> None:
        """Send a message; a child that does not take it is killed, and found ended at the next step."""
        try:
            self.channel.send(message)
        except OSError:
            self.process.kill()

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
        parent: str = "worker",
    ) -> None:
        """`target` is the PIPELINE of the command line, for the child to load; without it the pipeline is sent as a pickle.

        `parent`: what this process is, a worker or a trainer.
        """
        self._limits = limits
        self._hello = Hello(
            target=target,
            pipeline=pickle.dumps(pipeline) if target is None else None,
            digest=pipeline.digest(),
            sources=sources_digest(pipeline),
            files=source_files(pipeline),
            redis_url=redis_url,
            keyring=keyring,
            memory_bytes_max=limits.memory_bytes_max,
            read_topic=None if read_topic is None else pickle.dumps(read_topic),
            log=current_setup(),
            parent=parent,
        )
        self._child: _Child | None = None
        self._jobs = OpenJobs(limits.attempts_max)
        self._backoff = Backoff(min_s=PAUSE_MIN_S, max_s=PAUSE_MAX_S)

    @property
    def child_pid(self) -> int | None:
        """The child's process id, while there is a child."""
        return self._child.process.pid if self._child else None

    def submit(self, job: Job) -> None:
        self._interrupt(job.shard)
        self._jobs.add(job)
        self._step()

    def poll(self) -> list[TrainerResult]:
        self._step()
        return self._jobs.take_results()

    def cancel(self, shard: ShardId) -> None:
        self._interrupt(shard)
        self._jobs.fail(shard, "cancelled")

    def close(self, deadline_s: float) -> None:  # noqa: ARG002 - a killed process does not take long
        self._jobs.clear()
        self._end_child()

    def _step(self) -> None:
        now_s = time.monotonic()
        self._read_messages()
        self._check_times(now_s)
        if self._jobs and self._backoff.may_try(now_s):
            self._begin(now_s)

    def _read_messages(self) -> None:
        """Read what the child has sent, and see whether it has ended."""
        while (child := self._child) is not None:
            try:
                messages = child.channel.arrived()
            except EOFError:
                self._ended(child)
                return
            if not messages:
                return
            for message in messages:
                self._take(message, child)

    def _take(self, message: Message, child: _Child) -> None:
        match message:
            case Up():
                child.state = "loading"
                child.send(self._hello)
            case Ready():
                child.state = "idle"
            case Broken(error):
                for waiting in self._jobs:
                    self._jobs.fail(waiting.job.shard, error)
            case Progressed() | Failed() | JobDone():
                if child.shard is not None:
                    self._take_of_job(message, child.shard, child)
            case _:
                assert_never(message)

    def _take_of_job(self, message: Progressed | Failed | JobDone, shard: ShardId, child: _Child) -> None:
        if isinstance(message, Progressed):
            self._jobs.progressed(shard, message.rows, message.rows_total)
            return
        child.state, child.shard = "idle", None
        match message:
            case JobDone():
                self._backoff.reset()
                self._jobs.done(message)
            case Failed(error, again):
                self._end_child()  # the next training starts in a new process, whatever went wrong in this one
                if again:
                    self._retry(shard, error)
                else:
                    self._jobs.fail(shard, error)
            case _:
                assert_never(message)

    def _ended(self, child: _Child) -> None:
        """The child has ended: its job is attempted again. A child that ended before it was ready used up an attempt of the next job."""
        child.channel.close()
        code = child.process.wait()
        self._child = None
        shard = child.shard
        if child.state in ("starting", "loading") and self._jobs:
            shard = next(iter(self._jobs)).job.shard
            self._jobs.begin(shard)
        if shard is not None:
            self._retry(shard, f"the trainer's process {_how_it_ended(code)}")

    def _check_times(self, now_s: float) -> None:
        """Kill a child whose job, or whose start, takes too long."""
        child = self._child
        if child is None:
            return
        if child.shard is not None and now_s - child.since_s > self._limits.timeout_s:
            self._end_child()
            self._jobs.fail(child.shard, self._limits.timeout_error)
        elif child.state in ("starting", "loading") and now_s - child.since_s > START_TIMEOUT_S:
            child.process.kill()  # found ended at the next step

    def _begin(self, now_s: float) -> None:
        """Send an idle child the next job; start a child if there is none."""
        child = self._child
        if child is None:
            self._child = _started(now_s)
        elif child.state == "idle":
            shard = next(iter(self._jobs)).job.shard
            child.state, child.shard, child.since_s = "busy", shard, now_s
            child.send(self._jobs.begin(shard))

    def _retry(self, shard: ShardId, error: str) -> None:
        if self._jobs.retry(shard, error):
            self._backoff.failed(time.monotonic())

    def _interrupt(self, shard: ShardId) -> None:
        """Kill the child if it carries out the shard's job."""
        if self._child is not None and self._child.shard == shard:
            self._end_child()

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _started(now_s: float) -> _Child:
    ours, theirs = Channel.pair()
    process = start_child(_CHILD, theirs.fileno())
    theirs.close()
    return _Child(process, ours, now_s)


def _how_it_ended(code: int) -> str:
    return how_it_ended(code) + (": the machine may be out of memory" if -code == signal.SIGKILL else "")
