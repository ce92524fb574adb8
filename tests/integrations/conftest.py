"""What the tests of all tools share: a pipeline that learns all the time, and one whose trainings always fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Services
from tests.integrations.running import Running, running


@pytest.fixture(scope="session")
def place(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker with a trainer: a retrain succeeds."""
    with running(services, tmp_path_factory.mktemp("place"), trainer="process") as started:
        yield started


@pytest.fixture(scope="session")
def untrained(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker without a trainer: a retrain is taken and fails."""
    with running(services, tmp_path_factory.mktemp("untrained"), trainer="off") as started:
        yield started
