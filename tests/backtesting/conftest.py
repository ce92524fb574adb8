"""What all tests of backtests need of their process."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from stream_retrain.backtesting import workplace


@pytest.fixture(autouse=True)
def can_be_interrupted() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests themselves run in the background of a shell, which has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run in this process, which is quicker: what is shown does not depend on where."""
    monkeypatch.setattr(workplace, "unsendable", lambda _: "a test wants it so")


@pytest.fixture(scope="package")
def scheduler() -> Iterator[Any]:
    """A scheduler of dask with two workers, in processes of their own."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
            yield local
