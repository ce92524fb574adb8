"""The guard of the process's memory: it warns, and says when the process has to end."""

from __future__ import annotations

from typing import Any

import pytest

from stream_retrain.engines.memory_guard import MemoryGuard, resident_bytes
from stream_retrain.errors import LimitError
from stream_retrain.facts.memory import MemoryHigh

MB = 1_000_000


class Process:
    """A process whose memory a test says."""

    def __init__(self, bytes_max: int | None = 100 * MB) -> None:
        self.resident = 10 * MB
        self.reads = 0
        self.told: list[Any] = []
        self.saved = 0
        self.guard = MemoryGuard(bytes_max, self.told.append, self.save, self.read)

    def save(self) -> None:
        self.saved += 1

    def read(self) -> int:
        self.reads += 1
        return self.resident


def test_it_looks_about_once_a_second_and_says_nothing_below_80_percent() -> None:
    process = Process()
    process.resident = 79 * MB
    for tenth in range(100):
        process.guard.look(tenth / 10)
    assert process.reads == 10
    assert process.told == []


def test_from_80_percent_on_it_warns_each_minute() -> None:
    process = Process()
    process.resident = 80 * MB
    for second in range(150):
        process.guard.look(second)
    assert process.saved == 0
    assert process.told == [MemoryHigh(resident_bytes=80 * MB, bytes_max=100 * MB)] * 3


def test_above_the_limit_everything_is_saved_and_the_process_ends() -> None:
    process = Process()
    process.resident = 100 * MB + 1
    with pytest.raises(LimitError, match="100,000,001 bytes of memory, and memory_bytes_max = 100,000,000"):
        process.guard.look(1.0)
    assert (process.saved, len(process.told)) == (1, 1)


def test_without_a_limit_it_does_not_even_look() -> None:
    for none in (None, 0):
        process = Process(none)
        process.guard.look(1.0)
        assert process.reads == 0


def test_it_reads_what_this_process_has() -> None:
    before = resident_bytes()
    held = bytearray(60 * MB)
    held[::4_096] = b"x" * len(held[::4_096])
    assert resident_bytes() - before == pytest.approx(60 * MB, rel=0.3)
