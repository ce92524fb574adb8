"""A real Kafka and a real Valkey on this machine, for as long as they are wanted: one launcher for the demo, tests and benchmarks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stream_retrain.errors import LocalStackError
from stream_retrain.local import artifacts
from stream_retrain.local.guardian import Guardian
from stream_retrain.local.kafka import KafkaCluster
from stream_retrain.local.process import Process
from stream_retrain.local.valkey import ValkeyServer

__all__ = ["LocalStack"]


class LocalStack:
    """What runs: made by `start`, ended by `stop` or by leaving the `with` block.

        with LocalStack.start() as stack:
            ...  # stack.bootstrap_servers, stack.redis_url

    Should this process end in any other way, a guardian process ends the servers and removes a temporary directory within seconds.
    """

    def __init__(self, guardian: Guardian) -> None:
        self.directory = guardian.directory
        self._guardian = guardian
        self._kafka: KafkaCluster | None = None
        self._valkey: ValkeyServer | None = None

    @classmethod
    def start(
        cls,
        *,
        brokers: int = 1,
        directory: Path | None = None,
        kafka: bool = True,
        redis: bool = True,
        on_progress: Callable[[str], None] | None = None,
    ) -> LocalStack:
        """Start what is asked for and return when all of it answers.

        `brokers` is 1 or 3. Without a `directory` a temporary one is made, and removed at the end; a given one is kept, and the next start
        with it finds topics and keys again. `on_progress` is called with a line for a person at each step.

        Raises LocalStackError, with nothing left running.
        """
        if os.name != "posix":
            raise LocalStackError("the local stack runs on Linux and macOS: start Kafka and Redis another way")
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            directory = directory.resolve()
        stack = cls(Guardian(directory))
        try:
            stack._start(brokers if kafka else None, redis, on_progress or _no_progress)
        except BaseException:
            stack.stop()
            raise
        return stack

    @property
    def kafka(self) -> KafkaCluster:
        """The brokers, to kill and start again."""
        if self._kafka is None:
            raise LocalStackError("this local stack has no Kafka: start it with kafka=True")
        return self._kafka

    @property
    def valkey(self) -> ValkeyServer:
        """The server, to kill, suspend and start again."""
        if self._valkey is None:
            raise LocalStackError("this local stack has no Redis: start it with redis=True")
        return self._valkey

    @property
    def bootstrap_servers(self) -> str:
        """Where Kafka's clients connect."""
        return self.kafka.bootstrap_servers

    @property
    def redis_url(self) -> str:
        """Where Redis's clients connect."""
        return self.valkey.url

    def process(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """A further process of this stack (not started yet), with the same promise: nothing of it is left behind."""
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        return Process(name, command, directory=directory, guardian=self._guardian, environment=environment)

    def stop(self) -> None:
        """End everything; more than once does no harm.

        1. Kafka, then Valkey, each asked first.
        2. The guardian: it ends what the first step may have left, also if that was interrupted, and removes a temporary directory.
        """
        try:
            if self._kafka is not None:
                self._kafka.stop()
            if self._valkey is not None:
                self._valkey.stop()
        finally:
            self._guardian.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    def _start(self, brokers: int | None, redis: bool, on_progress: Callable[[str], None]) -> None:
        if redis:
            self._valkey = ValkeyServer.start_in(self.directory / "valkey", self._guardian, on_progress)
        if brokers is not None:
            staging = self.directory / "downloads"
            command = artifacts.kafka_command(staging, on_progress)
            shutil.rmtree(staging, ignore_errors=True)
            self._kafka = KafkaCluster.start_in(self.directory / "kafka", self._guardian, on_progress, command=command, brokers=brokers)


def _no_progress(line: str) -> None:
    pass
