"""In which order files of tests are begun by the processes of `make test`.

1. Those that take longest first, so that no process is left with one of them when the others have nothing more to do. How long a file takes
   is told by its marks: what needs services waits, what is slow starts processes or computes.
2. Between them, those without services: they keep the cores busy while the others wait.

The tests of a file stay together and in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

__all__ = ["in_order"]

SECONDS: Final = {"services": 4.0, "slow": 6.0}
"""What a test with the mark takes, about; one with both takes as much as they do together."""
OTHERWISE_S: Final = 0.02


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The same tests, in the order in which they are to be begun."""
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    seconds = {name: sum(map(_seconds, tests)) for name, tests in files.items()}
    longest_first = sorted(files, key=lambda name: -seconds[name])
    waiting = [name for name in longest_first if any(item.get_closest_marker("services") for item in files[name])]
    computing = [name for name in longest_first if name not in waiting]
    return [item for name in _between(waiting, computing) for item in files[name]]


def _seconds(item: pytest.Item) -> float:
    return sum(each for mark, each in SECONDS.items() if item.get_closest_marker(mark)) or OTHERWISE_S


def _between(first: Sequence[str], second: Sequence[str]) -> Iterator[str]:
    """Both in their order, the second spread evenly among the first."""
    places = [(number / len(names), names is second, name) for names in (first, second) for number, name in enumerate(names)]
    return (name for _, _, name in sorted(places))
