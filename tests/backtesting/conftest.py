"""What all tests of backtests need of their process."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def can_be_interrupted() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests themselves run in the background of a shell, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
