"""The workers of a chaos run: real `stream-retrain run` processes, by name, and who looks after them as a supervisor would."""

from __future__ import annotations

import collections
import itertools
import os
import random
import re
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stream_retrain.local import LocalStack
from stream_retrain.local.process import Process

__all__ = ["SESSION_TIMEOUT_S", "STOP_LIMIT_S", "Fleet"]

SESSION_TIMEOUT_S: Final = 6.0
STOP_LIMIT_S: Final = 7.0
"""`shutdown_timeout_s`, 5 s by default, and 2 s."""
RESTART_AFTER_S: Final = 0.5
STOP_TIMEOUT_S: Final = 30.0
NOTED: Final = re.compile(r"WARNING|ERROR|error:|Traceback")


class Fleet:
    """Workers that are to run; one that ended by itself is started again."""

    def __init__(self, stack: LocalStack, pipeline: Path, replication: int, engine: str = "kafka") -> None:
        self._stack = stack
        self._command = [sys.executable, "-m", "stream_retrain", "run", str(pipeline), "--allow-unsigned", "--engine", engine]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": stack.redis_url,
            "STREAM_RETRAIN_HTTP": "false",
            "STREAM_RETRAIN_SESSION_TIMEOUT_MS": str(int(SESSION_TIMEOUT_S * 1000)),
            "STREAM_RETRAIN_TOPIC_REPLICATION": str(replication),
            "STREAM_RETRAIN_KAFKA_TOPIC_METADATA_REFRESH_INTERVAL_MS": "5000",
            "STREAM_RETRAIN_CHECKPOINT_EVENTS": "700",
            "STREAM_RETRAIN_CHECKPOINT_INTERVAL_S": "3",
            "NO_COLOR": "1",
        }
        self._processes: dict[str, Process] = {}
        self._busy: set[str] = set()
        """Those a fault is being done to: not chosen again, not looked after."""
        self._dismissed: list[Process] = []
        self._asked_at_s: dict[Process, float] = {}
        self.obeyed_s: list[float] = []
        """How long each took to end that was told to."""
        self._restart_at_s: dict[str, float] = {}
        self._exits: collections.Counter[int | None] = collections.Counter()
        self._numbers = itertools.count(1)

    @property
    def names(self) -> list[str]:
        """The workers that are to run."""
        return list(self._processes)

    def add(self) -> str:
        """One more."""
        name = f"worker-{next(self._numbers)}"
        self._spawn(name)
        return name

    def _spawn(self, name: str, more: Mapping[str, str] | None = None) -> Process:
        """Start one, this time with `more` in its environment."""
        self._processes[name] = process = self._stack.process(name, self._command, {**self._environment, **(more or {})})
        process.spawn()
        return process

    def runs(self, name: str) -> bool:
        """Whether it has not ended."""
        return self._processes[name].alive

    def choose(self, rng: random.Random) -> str | None:
        """One that runs and that nothing is being done to."""
        fit = [name for name, process in self._processes.items() if name not in self._busy and process.alive]
        return rng.choice(fit) if fit else None

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self._busy.add(name)
        self._processes[name].kill()

    def ask(self, name: str) -> None:
        """SIGTERM."""
        self._busy.add(name)
        self._ask(self._processes[name])

    def _ask(self, process: Process) -> None:
        if process.alive:
            process.signal(signal.SIGTERM)
            self._asked_at_s[process] = time.monotonic()

    def _watch_asked(self) -> None:
        for process, asked_s in list(self._asked_at_s.items()):
            took_s = time.monotonic() - asked_s
            if not process.alive:
                self.obeyed_s.append(took_s)
                del self._asked_at_s[process]

    def suspend(self, name: str) -> None:
        """SIGSTOP."""
        self._busy.add(name)
        self._processes[name].signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._processes[name].signal(signal.SIGCONT)
        self._busy.discard(name)

    def start(self, name: str) -> None:
        """Start one that was killed or asked; one that has not ended yet is killed first."""
        process = self._processes[name]
        if process.alive:
            if (asked_s := self._asked_at_s.pop(process, None)) is not None:
                self.obeyed_s.append(time.monotonic() - asked_s)
            process.kill()
        self._spawn(name)
        self._busy.discard(name)

    def start_all(self, more: Mapping[str, str] | None = None) -> None:
        """Start all that have ended, this time with `more` in their environment."""
        self._restart_at_s.clear()
        for name in self.names:
            if not self.runs(name):
                self._spawn(name, more)

    def trial(self, limit_s: float) -> tuple[int | None, str]:
        """Start one alone, and wait until it has ended by itself; its exit code, None where it had to be killed, and what it said."""
        process = self._spawn(self.names[0])
        exit_code = process.wait(limit_s)
        process.kill()
        return exit_code, process.output()

    def dismiss(self, name: str) -> None:
        """SIGTERM, and it does not come back."""
        process = self._processes.pop(name)
        self._ask(process)
        self._dismissed.append(process)

    def resume_all(self) -> None:
        """SIGCONT to all."""
        for name in self.names:
            self.resume(name)

    def look_after(self) -> None:
        """Start again what ended by itself, a moment later."""
        self._watch_asked()
        for name, process in list(self._processes.items()):
            if name in self._busy or process.alive:
                continue
            if name not in self._restart_at_s:
                self._exits[process.wait(0)] += 1
                self._restart_at_s[name] = time.monotonic() + RESTART_AFTER_S
            elif time.monotonic() >= self._restart_at_s[name]:
                del self._restart_at_s[name]
                self._spawn(name)

    def stop(self) -> None:
        """SIGTERM to all, and wait until they have written their last checkpoints."""
        for process in self._processes.values():
            self._ask(process)
        until_s = time.monotonic() + STOP_TIMEOUT_S
        while self._asked_at_s and time.monotonic() < until_s:
            self._watch_asked()
            time.sleep(0.02)
        self.obeyed_s += [time.monotonic() - asked_s for asked_s in self._asked_at_s.values()]

    def end(self) -> None:
        """Nothing runs afterwards."""
        for process in [*self._processes.values(), *self._dismissed]:
            process.kill()

    def summary(self) -> str:
        """What their logs say beside the ordinary, counted."""
        said: collections.Counter[str] = collections.Counter()
        for process in [*self._processes.values(), *self._dismissed]:
            for line in process.log.read_text(errors="replace").splitlines():
                if NOTED.search(line):
                    said[re.sub(r"[\d.,:]+|0x\w+", "#", line)[9:110]] += 1
        return f"ended by themselves {dict(self._exits)}; most said: " + "".join(f"\n  {n:5} {text}" for text, n in said.most_common(25))

    def tails(self) -> str:
        """The end of each log."""
        return "\n".join(f"{name}:\n{process.tail()}" for name, process in self._processes.items())
